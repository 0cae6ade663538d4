"""Who is in, who is not and why, and who is in which set."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import Any

import pytest
from tsv_rows import text_rows

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.context import GroupContext
from bids_xai.group.run import find_template
from bids_xai.tables.cohort import COHORT, SPLITS


def rows_of(context: GroupContext) -> list[dict[str, str]]:
    return text_rows(context.folder / "cohort.tsv")


def people(*rows: tuple[str, str]) -> str:
    return "participant_id\tage\tdiagnosis\n" + "".join(
        f"{name}\t{60 + i}\t{value}\n" for i, (name, value) in enumerate(rows)
    )


def everybody(derivatives: Any, n: int = 4) -> tuple[tuple[str, str], ...]:
    """n controls and n patients with one scan each."""
    names = [(f"sub-{c}{i:02d}", c) for c in ("NC", "AD") for i in range(n)]
    for name, _ in names:
        derivatives.scan(name.removeprefix("sub-"))
    return tuple(names)


def test_everybody_is_listed_with_a_reason(derivatives: Any) -> None:
    good = everybody(derivatives)
    derivatives.scan("x1")  # not in participants.tsv
    derivatives.scan("x2")  # neither class
    derivatives.scan("x3")  # empty class
    derivatives.scan("x4", mask=False)
    derivatives.scan("x5", transform=False)
    derivatives.people(
        people(
            *good,
            ("sub-x2", "MCI"),
            ("sub-x3", ""),
            ("sub-x4", "AD"),
            ("sub-x5", "NC"),
            ("sub-x6", "AD"),
        )
    )
    context = derivatives.context()
    written = cohort.run(context)
    names = ["study.json", "cohort.tsv", "cohort.json", "splits.tsv", "splits.json"]
    assert [p.name for p in written] == names
    assert all(p.is_file() for p in written)
    rows = rows_of(context)
    assert {r["participant_id"]: r["reason"] for r in rows if r["included"] == "false"} == {
        "sub-x1": "not in participants.tsv",
        "sub-x2": "diagnosis is MCI",
        "sub-x3": "diagnosis is empty",
        "sub-x4": "brain mask or transform to the template missing",
        "sub-x5": "brain mask or transform to the template missing",
        "sub-x6": "no input map among the derivatives",
    }
    included = {r["participant_id"]: r["class"] for r in rows if r["included"] == "true"}
    assert included == dict(good)
    assert all(r["reason"] == "n/a" for r in rows if r["included"] == "true")
    assert {r["participant_id"]: r["age"] for r in rows}["sub-NC01"] == "61"
    assert [r["participant_id"] for r in rows] == sorted(r["participant_id"] for r in rows)


def test_participants_are_split_not_scans(derivatives: Any) -> None:
    good = everybody(derivatives, n=8)
    for name in ("AD00", "AD03", "NC05"):
        for ses in ("1", "2", "3"):
            derivatives.scan(name, ses)
    derivatives.people(people(*good))
    context = derivatives.context(repeats=5)
    cohort.run(context)
    rows = text_rows(context.folder / "splits.tsv")
    members = defaultdict(list)
    for row in rows:
        members[row["split"], row["participant_id"]].append(row["set"])
    assert len(members) == 5 * 16
    assert all(len(sets) == 1 for sets in members.values())
    classes = dict(good)
    for split in map(str, range(5)):
        counts = Counter(
            (classes[r["participant_id"]], r["set"]) for r in rows if r["split"] == split
        )
        # 8 people at 0.6, 0.15, 0.25: 4.8, 1.2, 2.0, largest remainder
        for name in ("NC", "AD"):
            found = [counts[name, s] for s in ("train", "validation", "test")]
            assert found == [5, 1, 2]
    splits = context.splits()
    assert len(splits) == 5
    assert len({tuple(sorted(s.items())) for s in splits}) > 1


def test_the_seed_decides_the_splits(derivatives: Any) -> None:
    derivatives.people(people(*everybody(derivatives, n=8)))
    found = []
    for seed in (0, 0, 1):
        context = derivatives.context(seed=seed)
        cohort.run(context)
        found.append((context.folder / "splits.tsv").read_bytes())
    assert found[0] == found[1] != found[2]


def test_labels_with_and_without_prefix_are_the_same(derivatives: Any) -> None:
    good = everybody(derivatives)
    bare = [(n.removeprefix("sub-") if i % 2 else n, c) for i, (n, c) in enumerate(good)]
    derivatives.people(people(*bare))
    context = derivatives.context()
    cohort.run(context)
    assert {r["participant_id"] for r in rows_of(context) if r["included"] == "true"} == {
        name for name, _ in good
    }


def test_without_participants_there_are_no_classes(derivatives: Any) -> None:
    everybody(derivatives)
    with pytest.raises(NoInputError, match=r"participants\.tsv is missing.*diagnosis") as caught:
        cohort.run(derivatives.context())
    assert caught.value.status == 66
    assert caught.value.file == str(derivatives.raw / "participants.tsv")


def test_thirds_may_be_rounded(derivatives: Any) -> None:
    derivatives.people(people(*everybody(derivatives, n=3)))
    context = derivatives.context()
    splits = dataclasses.replace(context.study.splits, fractions=(0.33333333,) * 3)
    study = dataclasses.replace(context.study, splits=splits)
    cohort.run(dataclasses.replace(context, study=study))
    assert Counter(context.splits()[0].values()) == dict.fromkeys(
        ("train", "validation", "test"), 2
    )


def test_one_class_is_not_enough(derivatives: Any) -> None:
    good = everybody(derivatives)
    derivatives.people(people(*((n, "NC" if c == "NC" else "MCI") for n, c in good)))
    with pytest.raises(BadDataError, match="no usable scan with diagnosis = AD") as caught:
        cohort.run(derivatives.context())
    assert "found MCI, NC" in str(caught.value)
    assert "participants.tsv" in str(caught.value)
    assert not derivatives.context().folder.exists()


def test_too_few_participants_of_a_class_are_refused(derivatives: Any) -> None:
    derivatives.people(people(*everybody(derivatives, n=2)))
    with pytest.raises(BadDataError, match="has 2 participants"):
        cohort.run(derivatives.context())


def test_without_derivatives_the_way_out_is_told(derivatives: Any) -> None:
    derivatives.people(people(("sub-1", "AD")))
    with pytest.raises(NoInputError, match="participant level first"):
        cohort.run(derivatives.context())
    with pytest.raises(NoInputError, match="participant level first"):
        find_template(derivatives.context().settings)


@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
def test_tables_of_excel_select_people(derivatives: Any, line: str) -> None:
    text = people(*everybody(derivatives)) + "sub-short\nsub-long\t70\tAD\t\n\n"
    derivatives.people("\ufeff" + text.replace("\n", line))
    context = derivatives.context()
    cohort.run(context)
    reasons = {r["participant_id"]: r["reason"] for r in rows_of(context)}
    assert reasons["sub-NC00"] == "n/a"
    assert reasons["sub-short"] == "no input map among the derivatives"


def test_rows_follow_from_a_plan_alone(derivatives: Any) -> None:
    """Without a run: what is computed from records is what is written."""
    derivatives.people(people(*everybody(derivatives)))
    context = derivatives.context()
    found = cohort.plan(cohort.read(context))
    assert not context.folder.exists()
    found, _ = cohort.with_values(found, context.folder, 1)
    rows = cohort.cohort_rows(found, "diagnosis", context.output_dir)
    cohort.run(context)
    assert rows == COHORT.read(context.folder / "cohort.tsv")
    assert cohort.split_rows(found.splits) == SPLITS.read(context.folder / "splits.tsv")
    assert {row.participant["age"] for row in rows} == {str(60 + i) for i in range(8)}
