"""The command line: all options used, nothing heavy imported, every refusal with its status."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bids_xai
from bids_xai.cli.main import main
from bids_xai.cli.parser import asks_for_threads, build_parser, parse_settings
from bids_xai.errors import UsageError
from bids_xai.settings import OutputSpace, RunSettings, to_toml

FIELDS = [field.name for field in dataclasses.fields(RunSettings)]
PACKAGE = Path(bids_xai.__file__).parent
MINIMAL = ("/in", "/out", "participant")


def test_destinations_are_the_fields_of_the_settings() -> None:
    destinations = {action.dest for action in build_parser()._actions}
    assert destinations - {"help", "version", "bids_exec_spec"} == set(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_every_option_is_used(field: str) -> None:
    """Read as an attribute somewhere else than where it is declared and parsed."""
    pattern = re.compile(rf"\bsettings\.{field}\b|\bself\.{field}\b")
    files = [p for p in PACKAGE.rglob("*.py") if p.name != "parser.py"]
    assert any(pattern.search(path.read_text(encoding="utf-8")) for path in files)


def test_defaults_of_parser_and_settings_agree() -> None:
    assert parse_settings(MINIMAL) == RunSettings(Path("/in"), Path("/out"), "participant")


ALL_OPTIONS = """
/in /out group --participant_label 01 sub-02 --session-label 1 --bids-filter-file f.json
--skip-bids-validation --assume-orientation
--nprocs 3 --omp-nthreads 2 --mem-mb 4000 --device cuda:1 --sloppy
--r2star-method loglin --output-spaces MNI152NLin6Asym:res-1 MNI152NLin2009aSym
--random-seed 5 --model m --attribution lrp-zplus --target AD --renormalise --study s.toml
--steps cohort train --configuration A B --split 0 3 --tensorboard --keep-withdrawn -vv -w /w
--clean-workdir
--stop-on-first-crash --dry-run --bids-database-dir /db -d q=/q other=o --inputs T1w,R1map
--noise-floor 3 --rician --megre-transform affine --brain-mask synthstrip --synthstrip-model s.pt
--registration linear --registration-engine greedy --atlas A=/a.nii.gz,/a.tsv B:desc-th25
--use-plugin p.yml --reports-only
"""


def test_every_option_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # relative paths are made absolute: steps run in other folders
    settings = parse_settings(ALL_OPTIONS.split())
    assert settings == RunSettings(
        bids_dir=Path("/in"),
        output_dir=Path("/out"),
        analysis_level="group",
        participant_label=("01", "sub-02"),
        session_label=("1",),
        bids_filter_file=tmp_path / "f.json",
        use_plugin=tmp_path / "p.yml",
        skip_bids_validation=True,
        assume_orientation=True,
        nprocs=3,
        omp_nthreads=2,
        mem_mb=4000,
        device="cuda:1",
        sloppy=True,
        r2star_method="loglin",
        output_spaces=(OutputSpace("MNI152NLin6Asym", 1), OutputSpace("MNI152NLin2009aSym", 2)),
        random_seed=5,
        model=tmp_path / "m",
        attribution=("lrp-zplus",),
        target="AD",
        renormalise=True,
        study="s.toml",
        steps=("cohort", "train"),
        configuration=("A", "B"),
        split=(0, 3),
        keep_withdrawn=True,
        tensorboard=True,
        verbose=2,
        work_dir=Path("/w"),
        clean_workdir=True,
        stop_on_first_crash=True,
        dry_run=True,
        reports_only=True,
        bids_database_dir=Path("/db"),
        derivatives=(("q", Path("/q")), ("other", tmp_path / "o")),
        inputs=("T1w", "R1map"),
        noise_floor=3.0,
        rician=True,
        megre_transform="affine",
        brain_mask="synthstrip",
        synthstrip_model=tmp_path / "s.pt",
        registration="linear",
        registration_engine="greedy",
        atlas=("A=/a.nii.gz,/a.tsv", "B:desc-th25"),
    )
    default = RunSettings(Path("/in"), Path("/out"), "group")
    same = [name for name in FIELDS if getattr(settings, name) == getattr(default, name)]
    assert set(same) <= {"bids_dir", "output_dir", "analysis_level", "attribution", "nprocs"}


def test_settings_are_written_as_toml_that_reads_back() -> None:
    settings = parse_settings([*MINIMAL, "--target", 'a "b" \\ ö', "--split", "1", "2", "-v"])
    back = tomllib.loads(to_toml(settings.as_plain()))
    assert list(back) == FIELDS
    assert back["target"] == 'a "b" \\ ö'
    assert back["split"] == [1, 2]
    assert back["dry_run"] is False
    assert back["output_spaces"] == ["MNI152NLin2009cAsym:res-2"]


def test_a_path_with_a_line_break_is_written_as_toml() -> None:
    assert tomllib.loads(to_toml({"a": "x\ny"})) == {"a": "x\ny"}


def test_folders_of_work_and_threads_have_defaults() -> None:
    settings = parse_settings([*MINIMAL, "--nprocs", "3"])
    assert settings.work_folder == Path("/out/work")
    assert settings.training_threads == 3
    assert parse_settings([*MINIMAL, "-w", "/w"]).work_folder == Path("/w")
    assert parse_settings([*MINIMAL, "--omp-nthreads", "2"]).training_threads == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--nprocs", "0"],
        ["--nprocs", "-1"],
        ["--nprocs", "two"],
        ["--nprocs", "1.5"],
        ["--mem-mb", "0"],
        ["--random-seed", "-1"],
        ["--split", "-1"],
        ["--device", "gpu"],
        ["--device", "cuda:"],
        ["--device", "cuda:x"],
        ["--r2star-method", "magic"],
        ["--output-spaces", "MNI:res-0"],
        ["--output-spaces", "MNI:res-x"],
        ["--output-spaces", "MNI:den-2"],
        ["--output-spaces", "a_b"],
        ["--output-spaces"],
        ["--attribution", "magic"],
        ["--steps", "magic"],
        ["--no-such-option"],
        ["extra"],
        ["--inputs", "bold"],
        ["--inputs", ""],
        ["-d", "folder"],
        ["-d", "a b=/x"],
        ["--noise-floor", "-1"],
        ["--noise-floor", "nan"],
        ["--atlas", "a_b"],
        ["--registration", "magic"],
        ["--brain-mask", "bet"],
        ["--megre-transform", "syn"],
    ],
)
def test_bad_options_are_usage_errors(options: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings([*MINIMAL, *options])
    assert "--help" in str(caught.value)
    assert any(word.lstrip("-").split(":")[0] in str(caught.value) for word in options)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("--partcipant-label 01", "did you mean --participant-label"),
        ("--slopy", "did you mean --sloppy"),
        ("--steps trian", "did you mean train"),
        ("--attribution lrp-zplus lrp-epsilom", "did you mean lrp-epsilon"),
        ("--r2star-method nls", "did you mean nlls"),
    ],
)
def test_a_misspelt_option_or_choice_is_recognised(words: str, meant: str) -> None:
    with pytest.raises(UsageError, match=meant):
        parse_settings([*MINIMAL, *words.split()])


def test_what_is_like_nothing_gets_no_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings([*MINIMAL, "--zzzzzz"])
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_ends_a_run_with_its_status_and_the_handler_is_put_back(
    number: signal.Signals,
    status: int,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    former = signal.getsignal(signal.SIGTERM)
    of_shell = signal.signal(signal.SIGINT, signal.default_int_handler)  # "&" has it ignored
    cleaned: list[bool] = []

    def work(*of: object) -> int:
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(True)
        return 0

    monkeypatch.setattr("bids_xai.cli.main._participant", work)
    words = [str(dataset), str(tmp_path / "out"), "participant"]
    try:
        assert main(words) == status
    finally:
        signal.signal(signal.SIGINT, of_shell)
    assert cleaned == [True]
    assert "interrupted. Finished work is kept" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is former


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout


HEAVY = {
    "torch",
    "nipype",
    "nibabel",
    "ants",
    "sklearn",
    "scipy",
    "pandas",
    "bids",
    "nilearn",
    "matplotlib",
    "templateflow",
    "zennit",
    "jinja2",
}


def test_building_the_parser_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bids_xai.cli.main import main; from bids_xai.cli.parser import *; "
        "build_parser(); print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = set(run_python(code).split())
    assert "bids_xai" in loaded
    assert not loaded & HEAVY


def test_help_and_version_are_told_by_the_module() -> None:
    command = [sys.executable, "-W", "error", "-m", "bids_xai"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    for option in ("--participant-label", "--study", "--dry-run", "{participant,group}"):
        assert option in shown.stdout
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"bids_xai {bids_xai.__version__}\n"
    assert shown.stderr == version.stderr == ""


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NO_ET",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "CUBLAS_WORKSPACE_CONFIG",
    ):
        monkeypatch.setenv(name, "1")  # main() sets them: put back after the test
    root = tmp_path / "raw"
    root.mkdir()
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "tiny", "BIDSVersion": "1.10.0"})
    )
    anat = root / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-01_T1w.nii.gz").write_bytes(b"")
    return root


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit status and the one line on stderr."""
    status = main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("bids_xai: ")
    assert "Traceback" not in shown.err
    assert "Fix: " in lines[0]
    return status, lines[0]


def test_an_unknown_level_is_17(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = refused(capsys, dataset, tmp_path / "out", "population")
    assert status == 17
    assert "'population'" in line
    assert "participant or group" in line


def test_a_bad_option_and_missing_arguments_are_64(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = refused(capsys, dataset, tmp_path / "out", "participant", "--magic")
    assert status == 64
    assert "--magic" in line
    assert refused(capsys)[0] == 64
    assert refused(capsys, dataset)[0] == 64


@pytest.mark.parametrize("level", ["participant", "group"])
def test_no_such_dataset_is_66(
    level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = refused(capsys, tmp_path / "gone", tmp_path / "out", level)
    assert status == 66
    assert str(tmp_path / "gone") in line
    assert not (tmp_path / "out").exists()


def test_no_such_dataset_is_66_without_validation_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (tmp_path / "gone", tmp_path / "out", "participant", "--skip-bids-validation")
    assert refused(capsys, *arguments)[0] == 66


@pytest.mark.parametrize("level", ["participant", "group"])
def test_a_folder_that_is_not_bids_is_16(
    level: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "dataset_description.json").unlink()
    status, line = refused(capsys, dataset, tmp_path / "out", level)
    assert status == 16
    assert "dataset_description.json" in line


def test_an_unknown_label_is_18(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (dataset, tmp_path / "out", "participant", "--participant-label", "01", "77")
    status, line = refused(capsys, *arguments)
    assert status == 18
    assert "77" in line
    assert "choose from 01" in line


@pytest.mark.parametrize("output", ["", "sub-01/..", "../raw"])
def test_the_output_in_place_of_the_input_is_64(
    output: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = refused(capsys, dataset, dataset / output, "participant")
    assert status == 64
    assert "output folder is the input folder" in line


@pytest.mark.parametrize("work", ["", "work", "derivatives/work"])
def test_work_inside_the_input_is_64(
    work: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = refused(capsys, dataset, tmp_path / "out", "participant", "-w", dataset / work)
    assert status == 64
    assert "work folder lies inside the input" in line
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_73(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (
        (dataset, tmp_path / "file", "participant"),
        (dataset, tmp_path / "file" / "out", "group"),
        (dataset, tmp_path / "out", "participant", "-w", tmp_path / "file" / "work"),
    ):
        status, line = refused(capsys, *arguments)
        assert status == 73
        assert str(tmp_path / "file") in line


def test_group_without_derivatives_or_study_is_66(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = refused(capsys, dataset, tmp_path, "group", "--study", "nosuch")
    assert status == 66
    assert "quick" in line
    status, line = refused(capsys, dataset, tmp_path / "out", "group")
    assert status == 66
    assert "participant level first" in line


def test_the_one_participants_own_error_is_the_status(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(dataset), str(tmp_path / "out"), "participant"]) == 18
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert "sub-01 has no multi-echo GRE" in shown.splitlines()[-1]


def test_a_step_answers_to_its_former_name(tmp_path: Path) -> None:
    for name in ("quality", "trust"):
        arguments = [str(tmp_path), str(tmp_path / "out"), "group", "--steps", name, "report"]
        assert parse_settings(arguments).steps == ("trust", "report")


@pytest.mark.parametrize(
    ("options", "asks"),
    [((), False), (("--nprocs", "2"), True), (("--omp-nthr=1",), True), (("--sloppy",), False)],
)
def test_whether_threads_were_asked_for(options: tuple[str, ...], asks: bool) -> None:
    assert asks_for_threads([*MINIMAL, *options]) is asks


def test_an_option_given_twice_adds_its_values(tmp_path: Path) -> None:
    """Only the last -d counted, and the other derivatives were left out with no word."""
    words = "/in /out group -d a=/x b=/y --derivatives c=/z --split 1 --split 2 3"
    settings = parse_settings([*words.split(), "--output-spaces", "A", "--output-spaces", "B"])
    assert settings.derivatives == (("a", Path("/x")), ("b", Path("/y")), ("c", Path("/z")))
    assert settings.split == (1, 2, 3)
    assert [space.template for space in settings.output_spaces] == ["A", "B"]
    default = parse_settings(["/in", "/out", "group"])
    assert default.output_spaces == RunSettings(Path("/in"), Path("/out"), "group").output_spaces
