"""Who takes part in a study: every rule and its reason."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tsv_rows import text_rows

from bids_xai.errors import BadDataError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.cohort.selection import Candidate, Dataset, first_scans, select_scans
from bids_xai.group.context import GroupContext
from bids_xai.group.maps import MapFiles
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Cohort, Target, Undersampling
from bids_xai.tables.qc import Measure


def changed(context: GroupContext, **tables: Any) -> GroupContext:
    """The context with other tables of its study."""
    return dataclasses.replace(context, study=dataclasses.replace(context.study, **tables))


def people(n: int, **columns: Any) -> str:
    """A participants.tsv: patients (odd numbers) are older and more often men."""
    lines = ["participant_id\tdiagnosis\tage\tsex\tsite"]
    for i in range(1, n + 1):
        patient = i % 2
        row = {
            "diagnosis": "AD" if patient else "NC",
            "age": 60 + i + 6 * patient,
            "sex": "M" if i % 3 == 0 else "F",
            "site": "A" if i <= n // 2 else "B",
        }
        row |= {name: value(i) for name, value in columns.items()}
        lines.append("\t".join(map(str, (f"sub-{i:02d}", *row.values()))))
    return "\n".join(lines) + "\n"


def everybody(derivatives: Any, n: int, **columns: Any) -> GroupContext:
    derivatives.people(people(n, **columns))
    for i in range(1, n + 1):
        derivatives.scan(f"{i:02d}")
    return derivatives.context()


def reasons(context: GroupContext) -> Counter[str]:
    return Counter(row["reason"] for row in text_rows(context.folder / "cohort.tsv"))


def quality(derivatives: Any, sub: str, image: str, metric: str, *, flagged: bool) -> None:
    file = derivatives.out / f"sub-{sub}" / "anat" / f"sub-{sub}_qc.tsv"
    value = 0.5 if flagged else 0.95
    file.write_text(
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\n"
        f"{image}\t{metric}\t{value}\t0.9\tn/a\t{str(flagged).lower()}\tsomething\n"
    )


def test_a_query_leaves_out_and_says_so(derivatives: Any) -> None:
    context = everybody(derivatives, 12)
    context = changed(context, cohort=Cohort(include='age < 72 and site == "A"'))
    cohort.run(context)
    kept = {scan.participant for scan in context.scans()}
    assert kept == {"01", "02", "03", "04", "05", "06"} - {"07"}
    assert reasons(context)['does not meet: age < 72 and site == "A"'] == 6


def test_scans_that_failed_quality_are_left_out_by_default(derivatives: Any) -> None:
    context = everybody(derivatives, 10)
    quality(derivatives, "03", "sub-03_desc-brain_mask", "MaskDice", flagged=True)
    quality(derivatives, "04", "sub-04_space-T1w_Chimap", "Range", flagged=True)  # another map
    quality(derivatives, "05", "sub-05_desc-brain_mask", "MaskDice", flagged=False)
    cohort.run(context)
    assert {scan.participant for scan in context.scans()} == {f"{i:02d}" for i in range(1, 11)} - {
        "03"
    }
    assert reasons(context)["quality: MaskDice below 0.9"] == 1
    anyhow = changed(context, cohort=Cohort(exclude_failed_qc=False))
    cohort.run(anyhow)
    assert len(anyhow.scans()) == 10


def test_matching_pairs_patients_with_controls_and_shows_the_balance(derivatives: Any) -> None:
    """Of twenty, six patients; only the controls nearest in age stay."""
    context = everybody(
        derivatives,
        20,
        diagnosis=lambda i: "AD" if i <= 6 else "NC",
        age=lambda i: 60 + (i * 7) % 20,
    )
    context = changed(context, cohort=Cohort(match=("age", "sex")))
    cohort.run(context)
    classes = Counter(scan.class_name for scan in context.scans())
    assert classes == {"AD": 6, "NC": 6}
    assert reasons(context)["n/a"] == 12
    assert sum(n for text, n in reasons(context).items() if text.startswith("matching: ")) == 8
    rows = {row["name"]: row for row in text_rows(context.folder / "balance.tsv")}
    assert set(rows) == {"age", "sex=M"}
    assert abs(float(rows["age"]["smd_after"])) <= abs(float(rows["age"]["smd_before"]))


def test_undersampling_takes_as_many_of_each_class_in_every_cell(derivatives: Any) -> None:
    context = everybody(
        derivatives,
        18,
        diagnosis=lambda i: "AD" if i <= 4 else "NC",
        age=lambda i: 60,
        sex=lambda i: "F",
    )
    context = changed(context, cohort=Cohort(undersample=Undersampling()))
    cohort.run(context)
    assert Counter(scan.class_name for scan in context.scans()) == {"AD": 4, "NC": 4}


def test_a_column_that_is_not_there_is_named(derivatives: Any) -> None:
    context = changed(everybody(derivatives, 8), cohort=Cohort(match=("education",)))
    with pytest.raises(BadDataError, match=r"education.*there are participant_id, diagnosis, age"):
        cohort.run(context)


def test_classes_of_sessions_may_change(derivatives: Any) -> None:
    """MCI at first, AD two years later: the participant is split once, each scan has its class."""
    derivatives.people(people(9))
    for i in range(1, 10):
        folder = derivatives.raw / f"sub-{i:02d}"
        folder.mkdir()
        derivatives.scan(f"{i:02d}", "1")
        derivatives.scan(f"{i:02d}", "2")
        first, second = [("NC", "NC"), ("MCI", "AD"), ("AD", "AD")][i % 3]
        (folder / f"sub-{i:02d}_sessions.tsv").write_text(
            f"session_id\tstage\nses-1\t{first}\nses-2\t{second}\n"
        )
    target = Target("stage", classes=("NC", "MCI", "AD"), table="sessions")
    context = changed(derivatives.context(), target=target)
    cohort.run(context)
    assert Counter(s.class_name for s in context.scans()) == {"NC": 6, "MCI": 3, "AD": 9}
    for split in context.splits():
        assert set(split.values()) == {"train", "validation", "test"}
        assert len(split) == 9


def test_every_reason_comes_from_records_alone() -> None:
    study = load_study("quick")
    maps = tuple(
        MapFiles(
            Path(f"sub-{label}/sub-{label}_R2starmap.nii.gz"),
            Path("mask"),
            problem="mask missing" if label == "3" else None,
        )
        for label in "12345"
    )
    column = study.target.column
    people = {"sub-1": {column: "AD"}, "sub-2": {column: "NC"}, "sub-3": {column: "AD"}}
    people["sub-5"] = {column: "other"}
    measure = Measure(
        image="sub-2_desc-brain_mask",
        metric="MaskDice",
        value=0.5,
        low=0.9,
        high=1.0,
        flagged=True,
        meaning="overlap",
    )
    dataset = Dataset(people, {}, maps, {Path("sub-2"): (measure,)})
    found = select_scans(dataset, study, seed=0)
    assert {c.participant: c.reason for c in found.candidates} == {
        "sub-1": None,
        "sub-2": "quality: MaskDice below 0.9",
        "sub-3": "mask missing",
        "sub-4": "not in participants.tsv",
        "sub-5": f"{column} is other",
    }
    assert [c.participant for c in found.included] == ["sub-1"]
    assert found.balance == ()


def test_the_first_included_scan_of_everybody_counts() -> None:
    scans = [
        Candidate(f"sub-{label}", f"ses-{session}", "AD", MapFiles(Path("m")), {}, reason)
        for label, session, reason in (
            ("2", 1, "x"),
            ("2", 2, None),
            ("2", 3, None),
            ("1", 1, None),
        )
    ]
    assert [(c.participant, c.session) for c in first_scans(scans)] == [
        ("sub-1", "ses-1"),
        ("sub-2", "ses-2"),
    ]
