"""The command line of bids_xai_simulate."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from bids_xai.cli import simulate
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
    assert printed.err == "1/1 sub-01 AD 1 session\n"
    assert printed.out == ""
    readme = (out / "README").read_text()
    for text in ("n_participants=1", "voxel_mm=8.0", "max_sessions=1", "seed=3", "snr=40.0"):
        assert text in readme
    assert "effect_percent=10.0" in readme


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
