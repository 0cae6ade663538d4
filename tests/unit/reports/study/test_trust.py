"""The section on trust, from tables on disk alone."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from study_tables import write_rows

from bids_xai.bids.files import write_json, write_text
from bids_xai.errors import BadDataError
from bids_xai.reports.blocks import Picture, TableBlock, Text
from bids_xai.reports.study import trust as trust_module
from bids_xai.reports.study.trust import trust
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.trust import AOPC, LOCALIZATION, RANDOMIZATION, VERDICTS, PerturbationStep

PEOPLE = [f"sub-{n:02d}" for n in range(6)]


@pytest.fixture
def study(tmp_path: Path) -> StudyFiles:
    """A study of configurations B and A with all tables of the step quality."""
    folder = tmp_path / "group" / "tiny"
    write_json(
        folder / "study.json",
        {"configurations": [{"id": "B"}, {"id": "A"}], "settings": {"quality": {"cube_mm": 20.0}}},
    )
    summary = [
        {
            "configuration": c,
            "split": s,
            "method": None,
            "check": "network",
            "region": None,
            "passed": (c, s) != ("A", 1),
            "verdict": "fails: says the same" if s else "passes",
        }
        for c, s in product("AB", (0, 1))
    ] + [
        {
            "configuration": c,
            "split": None,
            "method": "lrp-zplus",
            "check": check,
            "region": "nuclei" if check == "localization" else None,
            "passed": passed,
            "verdict": f"{check} of <{c}>",
        }
        for c in "AB"
        for check, passed in (("localization", False), ("aopc", True), ("conservation", None))
    ]
    write_rows(VERDICTS, folder / "quality", summary)
    heights = {"morf": 0.4, "random": 0.2, "lerf": 0.0}
    write_rows(
        AOPC,
        folder / "quality",
        [
            {
                "configuration": c,
                "split": 0,
                "method": "lrp-zplus",
                "participant_id": p,
                "session_id": None,
                "order": o,
                "step": k,
                "aopc": heights[o] * k / 4,
            }
            for c, p, o, k in product("AB", PEOPLE, heights, range(5))
        ],
    )
    write_rows(
        RANDOMIZATION,
        folder / "quality",
        [
            {
                "configuration": c,
                "split": 0,
                "method": "lrp-zplus",
                "participant_id": p,
                "session_id": None,
                "mode": mode,
                "layer": layer,
                "ssim": 0.3,
                "spearman": None,
                "spearman_abs": 0.2,
            }
            for c, p, mode, layer in product(
                "AB", PEOPLE, ("cascading", "independent"), ("2 Linear", "0 Conv3d")
            )
        ],
    )
    write_rows(
        LOCALIZATION,
        folder / "quality",
        [
            {
                "configuration": "A",
                "split": 0,
                "method": "lrp-zplus",
                "participant_id": p,
                "session_id": None,
                "outcome": "TP" if n else "FN",
                "region": "nuclei",
                "mass_accuracy": 0.1 * n,
                "rank_accuracy": 0.5,
                "pointing_game": n % 2,
                "chance": 0.01,
            }
            for n, p in enumerate(PEOPLE)
        ],
    )
    return StudyFiles.at(tmp_path, "tiny")


def test_section_shows_verdicts_figures_and_localisation(study: StudyFiles) -> None:
    section = trust(study)
    texts = [block.text for block in section.blocks if isinstance(block, Text)]
    assert texts[0] == "3 of 4 networks respond to differences between scans."
    verdicts, located = (b for b in section.blocks if isinstance(b, TableBlock))
    assert [row[:2] for row in verdicts.rows] == [
        ("B, lrp-zplus", "Perturbation"),
        ("B, lrp-zplus", "Truth: nuclei"),
        ("B, lrp-zplus", "Conservation"),
        ("A, split 1", "Network"),
        ("A, lrp-zplus", "Perturbation"),
        ("A, lrp-zplus", "Truth: nuclei"),
        ("A, lrp-zplus", "Conservation"),
    ]
    assert [row[2][0] for row in verdicts.rows] == ["✓", "✗", "–", "✗", "✓", "✗", "–"]
    assert located.rows == (
        ("A", "lrp-zplus", "nuclei", "5", "30.0 %", "50.0 %", "60.0 %", "1.0 %"),
    )
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert [picture.alt.split("configuration ")[1][0] for picture in pictures] == list("BABA")
    assert "cubes of 20 mm" in pictures[0].caption


def test_bands_are_of_participants_and_steps_that_all_have(study: StudyFiles) -> None:
    rows = [
        PerturbationStep(
            configuration="A",
            split=0,
            method="lrp-zplus",
            participant_id=p,
            session_id=s,
            order=o,
            step=k,
            aopc=v + k,
            sd=None,
            drop=None,
            scan=f"{p}_{s}",
        )
        for p, v in zip("abcde", (1.0, 2.0, 3.0, 4.0, 5.0), strict=True)
        for s in ("1", "2")
        for o in ("morf", "random", "lerf")
        for k in range(3 if p == "a" else 4)
    ]
    band = trust_module._bands(rows)["morf"]
    assert band.mean.tolist() == [3.0, 4.0, 5.0]
    half = 2.776445 * np.sqrt(2.5 / 5)  # Student's t with 4 degrees of freedom
    np.testing.assert_allclose((band.low[0], band.high[0]), (3 - half, 3 + half), atol=1e-5)
    of_four = trust_module._bands([row for row in rows if row.participant_id in "abcd"])["morf"]
    assert of_four.mean[0] == 2.5
    assert np.isnan([of_four.low, of_four.high]).all()


@pytest.mark.parametrize("name", ["aopc", "randomization", "localization"])
def test_any_table_may_be_missing_or_empty(study: StudyFiles, name: str) -> None:
    path = study.folder / "quality" / f"{name}.tsv"
    header = path.read_text().splitlines()[0]
    write_text(path, header + "\n")
    empty = trust(study)
    path.unlink()
    assert trust(study) == empty


def test_without_the_step_the_section_says_how_to_get_it(tmp_path: Path) -> None:
    (block,) = trust(StudyFiles.at(tmp_path, "none")).blocks
    assert "--steps trust" in block.text


def test_a_damaged_table_is_named(study: StudyFiles) -> None:
    write_text(study.folder / "quality" / "aopc.tsv", "configuration\tstep\nA\t1\n")
    with pytest.raises(BadDataError, match="lacks the columns split, method"):
        trust(study)
