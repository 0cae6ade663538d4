"""Which participant is in which set: every scheme, and the lists of users."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.cohort.assignment import assign
from bids_xai.group.cohort.selection import Candidate
from bids_xai.group.context import GroupContext
from bids_xai.group.maps import MapFiles
from bids_xai.studies.tables import Splits


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


@pytest.mark.parametrize(
    ("splits", "n", "sizes"),
    [
        (Splits(scheme="kfold", folds=4), 40, {"test": 4}),
        (Splits(counts=(2, 3), repeats=2), 4, {"validation": 4, "test": 6, "train": 6}),
        (Splits(repeats=2, repetitions=3), 6, {}),
        (Splits(repeats=2, stratify=("sex", "age:5")), 2, {}),
    ],
)
def test_schemes(derivatives: Any, splits: Splits, n: int, sizes: dict[str, int]) -> None:
    context = changed(everybody(derivatives, 16), splits=splits)
    cohort.run(context)
    found = context.splits()
    if splits.scheme == "kfold":
        assert len(found) == 4 * splits.repeats
        for first in range(0, len(found), 4):
            tested = [
                who for split in found[first : first + 4] for who, s in split.items() if s == "test"
            ]
            assert sorted(tested) == sorted(found[0])
    else:
        assert len(found) == splits.repeats * splits.repetitions
        for k in range(splits.repeats):
            mine = found[k * splits.repetitions : (k + 1) * splits.repetitions]
            assert all(split == mine[0] for split in mine)
        assert found[0] != found[-1]
    for name, size in sizes.items():
        assert Counter(found[0].values())[name] == size


def test_lists_of_the_user_are_kept_to(derivatives: Any, tmp_path: Path) -> None:
    context = everybody(derivatives, 8)
    sets = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    file = tmp_path / "mine.tsv"
    file.write_text(
        "participant_id\tsplit\tset\n"
        + "".join(f"sub-{i + 1:02d}\t0\t{name}\n" for i, name in enumerate(sets))
    )
    cohort.run(changed(context, splits=Splits(scheme="fixed", file=str(file))))
    (split,) = context.splits()
    assert [split[f"{i:02d}"] for i in range(1, 9)] == sets
    file.write_text(file.read_text().replace("sub-08\t0\ttest", "sub-07\t0\ttrain"))
    with pytest.raises(BadDataError, match="sub-07"):
        cohort.run(changed(context, splits=Splits(scheme="fixed", file=str(file))))
    with pytest.raises(NoInputError, match="no such table of splits"):
        cohort.run(changed(context, splits=Splits(scheme="fixed", file="nowhere.tsv")))


def candidates(n: int, sessions: int = 1) -> list[Candidate]:
    return [
        Candidate(
            f"sub-{i:02d}",
            f"ses-{session}",
            "AD" if i % 2 else "NC",
            MapFiles(Path(f"sub-{i:02d}_ses-{session}_map.nii.gz")),
            {"sex": "FM"[i // 2 % 2]},
        )
        for i in range(n)
        for session in range(sessions)
    ]


def test_repetitions_of_a_split_are_alike_and_people_are_split_once() -> None:
    splits = Splits(repeats=2, repetitions=2, fractions=(0.5, 0.25, 0.25))
    found = assign(splits, candidates(16, sessions=3), seed=1)
    assert found[0] == found[1] != found[2] == found[3]
    assert all(len(split) == 16 for split in found)
    assert Counter(found[0].values()) == {"train": 8, "validation": 4, "test": 4}
    assert found == assign(splits, candidates(16), seed=1)
    assert found != assign(splits, candidates(16), seed=2)


def test_strata_are_spread_over_the_sets() -> None:
    splits = Splits(repeats=1, fractions=(0.5, 0.25, 0.25), stratify=("sex",))
    people = candidates(16)
    (found,) = assign(splits, people, seed=0)
    for name in ("validation", "test"):
        members = [c for c in people if found[c.participant] == name]
        assert Counter((c.class_name, c.row["sex"]) for c in members) == dict.fromkeys(
            [("NC", "F"), ("NC", "M"), ("AD", "F"), ("AD", "M")], 1
        )
    with pytest.raises(BadDataError, match="'site', which sub-00 does not have"):
        assign(Splits(stratify=("site",)), people, seed=0)
