"""Who is in, who is not and why, and who is in which set."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import Any

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.context import GroupContext, load_scans, load_splits, read_rows
from bids_xai.group.people import read_participants
from bids_xai.group.run import find_template


def rows_of(context: GroupContext) -> list[dict[str, str]]:
    return read_rows(context.folder / "cohort.tsv", "cohort")


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


def test_scans_point_to_their_files(derivatives: Any) -> None:
    good = everybody(derivatives)
    derivatives.scan("AD00", "2", "1")
    derivatives.scan("AD00", "2", "2")
    derivatives.people(people(*good))
    context = derivatives.context()
    cohort.run(context)
    scans = {scan.name: scan for scan in load_scans(context)}
    assert len(scans) == 10
    scan = scans["sub-AD00_ses-2_run-2"]
    folder = derivatives.out / "sub-AD00/ses-2/anat"
    assert scan.map_file == folder / "sub-AD00_ses-2_run-2_space-T1w_R2starmap.nii.gz"
    assert scan.mask_file == folder / "sub-AD00_ses-2_desc-brain_mask.nii.gz"
    assert scan.to_template.name == (
        "sub-AD00_ses-2_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5"
    )
    assert (scan.participant, scan.session, scan.class_name) == ("AD00", "2", "AD")
    assert scan.row == {"participant_id": "sub-AD00", "session_id": "ses-2"}
    assert scans["sub-NC00"].row == {"participant_id": "sub-NC00", "session_id": "n/a"}
    assert all(s.map_file.is_file() and s.mask_file.is_file() for s in scans.values())


def test_participants_are_split_not_scans(derivatives: Any) -> None:
    good = everybody(derivatives, n=8)
    for name in ("AD00", "AD03", "NC05"):
        for ses in ("1", "2", "3"):
            derivatives.scan(name, ses)
    derivatives.people(people(*good))
    context = derivatives.context(repeats=5)
    cohort.run(context)
    rows = read_rows(context.folder / "splits.tsv", "cohort")
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
    splits = load_splits(context)
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


@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
def test_tables_of_excel_are_read(derivatives: Any, line: str) -> None:
    """Byte order mark, any line end, umlauts, short and long rows, blank lines."""
    text = (
        people(*everybody(derivatives)) + "sub-short\nsub-long\t70\tAD\tmore\n\nsub-Jörg\t1\tAD\n"
    )
    derivatives.people("\ufeff" + text.replace("\n", line))
    found = read_participants(derivatives.raw, ("diagnosis",))
    assert found["sub-NC00"]["diagnosis"] == "NC"
    assert found["sub-short"]["diagnosis"] is None
    assert found["sub-Jörg"]["diagnosis"] == "AD"
    assert len(found) == 11
    context = derivatives.context()
    cohort.run(context)
    reasons = {r["participant_id"]: r["reason"] for r in rows_of(context)}
    assert reasons["sub-NC00"] == "n/a"
    assert reasons["sub-short"] == "no input map among the derivatives"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_tables_that_are_not_utf8_are_named(derivatives: Any, encoding: str) -> None:
    derivatives.people(people(("sub-Jörg", "AD")), encoding)
    with pytest.raises(BadDataError, match=r"not UTF-8.*participants\.tsv.*save it as UTF-8"):
        read_participants(derivatives.raw, ("diagnosis",))


def test_without_participants_there_are_no_classes(derivatives: Any) -> None:
    everybody(derivatives)
    with pytest.raises(NoInputError, match=r"participants\.tsv is missing.*diagnosis") as caught:
        cohort.run(derivatives.context())
    assert caught.value.status == 66
    assert caught.value.file == str(derivatives.raw / "participants.tsv")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("participant_id\tage\nsub-01\t3\n", "no column 'diagnosis'.*study file.*age"),
        ("id\tdiagnosis\nsub-01\tAD\n", "no column 'participant_id'"),
        ("participant_id,diagnosis\nsub-01,AD\n", "no column 'participant_id'"),
        ("", "no column 'participant_id'"),
    ],
)
def test_missing_columns_are_named(derivatives: Any, text: str, match: str) -> None:
    derivatives.people(text)
    with pytest.raises(BadDataError, match=match) as caught:
        read_participants(derivatives.raw, ("diagnosis",))
    assert "participants.tsv" in str(caught.value)


def test_an_open_quote_does_not_swallow_people(derivatives: Any) -> None:
    derivatives.people('participant_id\tnote\tdiagnosis\nsub-1\t"tall\tAD\nsub-2\tn/a\tNC\n')
    try:
        found = read_participants(derivatives.raw, ("diagnosis",))
    except BadDataError:
        return
    assert set(found) == {"sub-1", "sub-2"}


def test_a_participant_listed_twice_is_refused(derivatives: Any) -> None:
    derivatives.people(people(("sub-1", "AD"), ("sub-1", "NC")))
    with pytest.raises(BadDataError, match=r"sub-1 .*lines 2 and 3"):
        read_participants(derivatives.raw, ("diagnosis",))


def test_a_cell_over_several_lines_is_refused(derivatives: Any) -> None:
    derivatives.people('participant_id\tnote\tdiagnosis\nsub-1\t"a\tAD\nsub-2\tb"\tNC\n')
    with pytest.raises(BadDataError, match="line 3 spans several lines"):
        read_participants(derivatives.raw, ("diagnosis",))


def test_thirds_may_be_rounded(derivatives: Any) -> None:
    derivatives.people(people(*everybody(derivatives, n=3)))
    context = derivatives.context()
    splits = dataclasses.replace(context.study.splits, fractions=(0.33333333,) * 3)
    study = dataclasses.replace(context.study, splits=splits)
    cohort.run(dataclasses.replace(context, study=study))
    assert Counter(load_splits(context)[0].values()) == dict.fromkeys(
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


def test_the_template_is_that_of_the_transforms(derivatives: Any) -> None:
    derivatives.scan("01", "1")
    settings = derivatives.context().settings
    assert find_template(settings) == "MNI152NLin2009aSym"  # first by name: not asked for any


def test_a_table_of_an_earlier_step_is_asked_for(derivatives: Any) -> None:
    for read in (load_scans, load_splits):
        with pytest.raises(NoInputError, match="--steps cohort first"):
            read(derivatives.context())
