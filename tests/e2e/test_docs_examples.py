"""The commands of README and docs run, shortened: those that carry no mark in their page.

Folders of the examples stand for a small cohort and its finished run; ``--sloppy`` is added, and
participants are fewer. Programs and pages come from ``tests/unit/test_docs.py``.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import nibabel as nib
import pytest
from conftest import EMBEDDED, Finished, Run, command, simulate

from bids_xai.runtime.atomic import TEMPORARY
from bids_xai.settings import OutputSpace
from bids_xai.templates.lookup import load_atlas

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from test_docs import SHOWN, TOML, Shown

pytestmark = pytest.mark.slow

RUN = [one for one in SHOWN if not one.mark and one.words[0] in ("bids_xai", "bids_xai_simulate")]
UNIQUE = list({one.words: one for one in RUN}.values())


@dataclass(frozen=True)
class Places:
    """What the names of folders and files in the examples stand for."""

    folder: Path
    names: dict[str, Path]
    done: dict[tuple[str, ...], Finished] = field(default_factory=dict)
    numbers: dict[tuple[str, ...], int] = field(default_factory=dict)

    def run(self, program: str, *arguments: str) -> Finished:
        """Run a command, once: examples of several pages may come to the same."""
        line = (program, *arguments)
        if line not in self.done:
            run = simulate if program == "bids_xai_simulate" else command
            self.done[line] = run(*arguments)
        return self.done[line]

    def new_folder(self, *words: str) -> str:
        """A folder for the outputs of these words, the same where they come again."""
        return str(self.folder / f"made-{self.numbers.setdefault(words, len(self.numbers))}")

    def of(self, word: str) -> str:
        """A word of an example with its folder or file, as it is where it has none."""
        before, equals, value = word.rpartition("=")
        parts = [self._path(part) for part in value.split(",")]
        return before + equals + ",".join(parts)

    def _path(self, text: str) -> str:
        for name in sorted(self.names, key=len, reverse=True):
            if text == name or text.startswith(f"{name}/"):
                return str(self.names[name]) + text[len(name) :]
        return text


def own_study(folder: Path) -> Path:
    """``mine.toml``: the study of the cohort's finished run, so that nothing is trained again."""
    file = folder / "mine.toml"
    quick = resources.files("bids_xai.studies") / "quick.toml"
    file.write_text(quick.read_text(encoding="utf-8"), encoding="utf-8")
    return file


def own_atlas(folder: Path, name: str) -> None:
    """A label image and its table, made from the atlas of the embedded template."""
    atlas = load_atlas(OutputSpace.parse(f"{EMBEDDED}:res-2"))
    assert atlas is not None
    nib.save(nib.Nifti1Image(atlas.volume.data, atlas.volume.affine), folder / f"{name}.nii.gz")
    lines = [f"{index}\t{label}" for index, label in atlas.labels]
    (folder / f"{name}.tsv").write_text("\n".join(["index\tname", *lines, ""]))


def places_of(run: Run, folder: Path) -> Places:
    """Stand-ins below ``folder`` for a finished run, which stays as it is."""
    out, files = folder / "out", folder / "files"
    unfinished = shutil.ignore_patterns(f"{TEMPORARY}*")  # test_group.py may be at work there
    shutil.copytree(run.out, out, ignore=unfinished)
    files.mkdir()
    for name in ("aal", "halves"):
        own_atlas(files, name)
    digits = next(block for block in TOML if block.page.stem == "simulation")
    (files / "digits.toml").write_text(digits.text)
    names = {
        **dict.fromkeys(("raw", "BIDS_DIR", "/data", "new", "/new"), run.raw),
        **dict.fromkeys(("out", "OUTPUT_DIR", "/out"), out),
        "out/models/mine": out / "models" / "quick",
        "/out/models/mine": out / "models" / "quick",
        **dict.fromkeys(("mine.toml", "quick"), own_study(files)),
        "digits.toml": files / "digits.toml",
        **{f"/data/aal.{ext}": files / f"aal.{ext}" for ext in ("nii.gz", "tsv")},
        **{f"halves.{ext}": files / f"halves.{ext}" for ext in ("nii.gz", "tsv")},
        **{name: folder / name for name in ("lesions", "digits", "shortcut")},
    }
    return Places(folder, names)


@pytest.fixture(scope="module")
def places(group8: Run, tmp_path_factory: pytest.TempPathFactory) -> Places:
    assert group8.finished.status == 0, group8.finished.err
    return places_of(group8, tmp_path_factory.mktemp("docs"))


def shortened(shown: Shown, places: Places) -> list[str]:
    """The arguments of an example for seconds instead of hours."""
    program, *shown_words = shown.words
    if program == "bids_xai_simulate":
        return simulated([places.of(shown_words[0]), *shown_words[1:]], places)
    words = [places.of(word) for word in shown_words]
    words += ["--sloppy", "--nprocs", "1", "--omp-nthreads", "1"]
    if "participant" in words:
        return one_participant(words, places)
    if "digits.toml" in shown_words:
        return [*words, "--dry-run"]
    if "-d" not in words:  # as the finished run, so that what it made is up to date
        words += ["-d", f"truth={places.names['raw'] / 'derivatives' / 'truth'}"]
    return words


def one_participant(words: list[str], places: Places) -> list[str]:
    """One participant at 4 mm, into a folder of its own; with a model, one who has two sessions,
    whose courses are drawn then."""
    words = [f"{EMBEDDED}:res-4" if word.startswith(EMBEDDED) else word for word in words]
    label = "01" if "--model" in words else "02"
    words += ["--participant-label", label]
    return [words[0], places.new_folder(words[0], *words[2:]), *words[2:]]


def simulated(words: list[str], places: Places) -> list[str]:
    """Fewer participants, larger voxels, and a folder of its own for a cohort that is there."""
    out = Path(words[0])
    if out.exists():
        words = [places.new_folder(*words[1:]), *words[1:]]
    digits = "digits" in words
    fewer = {"--n-participants": "60" if digits else "2", "--voxel-mm": "5", "--sessions": "1"}
    for option, value in fewer.items():
        if option in words:
            words[words.index(option) + 1] = value
        elif not digits:
            words += [option, value]
    return words


def order(shown: Shown) -> int:
    """Simulations first, since other examples read what they write."""
    return 0 if shown.words[0] == "bids_xai_simulate" else 1


@pytest.mark.parametrize("shown", sorted(UNIQUE, key=order), ids=str)
def test_an_example_runs(shown: Shown, places: Places) -> None:
    done = places.run(shown.words[0], *shortened(shown, places))
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
