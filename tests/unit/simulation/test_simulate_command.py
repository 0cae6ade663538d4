"""The command line of bids_xai_simulate."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from bids_xai.cli import simulate
from bids_xai.simulation.kinds import KINDS
from bids_xai.simulation.write import simulate_cohort


def test_parser_imports_nothing_slow() -> None:
    code = (
        "import sys; from bids_xai.cli.simulate import parser; parser(); "
        "print([m for m in ('numpy', 'scipy', 'nibabel', 'nilearn', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_option_is_a_parameter_with_the_same_default() -> None:
    options = vars(simulate.parser().parse_args(["out"]))
    parameters = inspect.signature(simulate_cohort).parameters
    assert set(options) == set(parameters) - {"progress"}
    for name, value in options.items():
        if name != "out":
            assert value == parameters[name].default


def test_options_arrive(tmp_path, capsys) -> None:
    out = tmp_path / "new"
    words = ["--n-participants", "1", "--voxel-mm", "8", "--sessions", "1"]
    words += ["--seed", "3", "--snr", "40", "--effect", "10"]
    assert simulate.main([str(out), *words]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("1/1 sub-01 AD 1 session\n")
    assert printed.err.endswith(f"next:  bids_xai {out} {out}_out participant\n")
    assert printed.out == ""
    readme = (out / "README").read_text()
    for text in ("n_participants=1", "voxel_mm=8.0", "max_sessions=1", "seed=3", "snr=40.0"):
        assert text in readme
    assert "effect_percent=10.0" in readme


def test_kind_and_cheat_arrive(tmp_path, capsys) -> None:
    small = ["--n-participants", "1", "--voxel-mm", "8", "--sessions", "1"]
    for words, text in (
        (["--kind", "t1w", "--cheat"], "kind=t1w, cheat=0.9"),
        (["--kind", "megre", "--cheat", "0.6"], "seed=0, cheat=0.6"),
        (["--kind", "flair", "--cheat", "0.3", "--cheat-controls", "0.2"], "cheat_controls=0.2"),
        (["--kind", "digits"], "kind=digits"),
    ):
        out = tmp_path / words[1]
        assert simulate.main([str(out), *small, *words]) == 0
        assert text in (out / "README").read_text()
    assert "1/1 sub-01 digit 0 1 session\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--cheat", "1.5"], "cheat = 1.5 is out of range"),
        (["--cheat", "1", "--cheat-controls", "2"], "cheat_controls = 2.0 is out of range"),
        (["--cheat-controls", "0.2"], "give --cheat, too"),
        (["--kind", "t1w", "--effect", "60"], "effect_percent = 60.0 is out of range"),
        (["--kind", "digits", "--effect", "10"], "no effect"),
        (["--kind", "digits", "--cheat"], "no markers"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, words, problem) -> None:
    assert simulate.main([str(tmp_path / "new"), *words]) == 64
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_kinds_of_command_line_and_table_are_the_same() -> None:
    actions = {action.dest: action for action in simulate.parser()._actions}
    assert list(actions["kind"].choices) == list(KINDS)
    for name in KINDS:
        assert f"{name}:" in actions["kind"].help


def test_user_errors_are_one_line_and_a_status(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("x")
    assert simulate.main([str(tmp_path)]) == 73
    assert simulate.main([str(tmp_path / "new"), "--voxel-mm", "0.1"]) == 64
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("bids_xai_simulate: ") for line in lines)


def test_usage_errors_end_with_64(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        simulate.main(["out", "--n-participants", "many"])
    assert caught.value.code == 64
    assert "invalid int value" in capsys.readouterr().err
