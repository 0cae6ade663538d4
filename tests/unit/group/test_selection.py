"""Who takes part in a study, from which maps, in which sets: every rule and its reason."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.context import GroupContext, load_scans, load_splits, read_rows
from bids_xai.group.maps import find_maps, scans_of
from bids_xai.studies.tables import Cohort, Configuration, Input, Splits, Target, Undersampling

TEMPLATE = "MNI152NLin2009aSym"


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
    return Counter(row["reason"] for row in read_rows(context.folder / "cohort.tsv", "cohort"))


def test_a_query_leaves_out_and_says_so(derivatives: Any) -> None:
    context = everybody(derivatives, 12)
    context = changed(context, cohort=Cohort(include='age < 72 and site == "A"'))
    cohort.run(context)
    kept = {scan.participant for scan in load_scans(context)}
    assert kept == {"01", "02", "03", "04", "05", "06"} - {"07"}
    assert reasons(context)['does not meet: age < 72 and site == "A"'] == 6


def test_scans_that_failed_quality_are_left_out_by_default(derivatives: Any) -> None:
    context = everybody(derivatives, 10)
    quality(derivatives, "03", "sub-03_desc-brain_mask", "MaskDice", flagged=True)
    quality(derivatives, "04", "sub-04_space-T1w_Chimap", "Range", flagged=True)  # another map
    quality(derivatives, "05", "sub-05_desc-brain_mask", "MaskDice", flagged=False)
    cohort.run(context)
    assert {scan.participant for scan in load_scans(context)} == {
        f"{i:02d}" for i in range(1, 11)
    } - {"03"}
    assert reasons(context)["quality: MaskDice below 0.9"] == 1
    anyhow = changed(context, cohort=Cohort(exclude_failed_qc=False))
    cohort.run(anyhow)
    assert len(load_scans(anyhow)) == 10


def quality(derivatives: Any, sub: str, image: str, metric: str, *, flagged: bool) -> None:
    file = derivatives.out / f"sub-{sub}" / "anat" / f"sub-{sub}_qc.tsv"
    value = 0.5 if flagged else 0.95
    file.write_text(
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\n"
        f"{image}\t{metric}\t{value}\t0.9\tn/a\t{str(flagged).lower()}\tsomething\n"
    )


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
    classes = Counter(scan.class_name for scan in load_scans(context))
    assert classes == {"AD": 6, "NC": 6}
    assert reasons(context)["n/a"] == 12
    assert sum(n for text, n in reasons(context).items() if text.startswith("matching: ")) == 8
    rows = {row["name"]: row for row in read_rows(context.folder / "balance.tsv", "cohort")}
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
    assert Counter(scan.class_name for scan in load_scans(context)) == {"AD": 4, "NC": 4}


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
    assert Counter(s.class_name for s in load_scans(context)) == {"NC": 6, "MCI": 3, "AD": 9}
    for split in load_splits(context):
        assert set(split.values()) == {"train", "validation", "test"}
        assert len(split) == 9


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
    found = load_splits(context)
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
    (split,) = load_splits(context)
    assert [split[f"{i:02d}"] for i in range(1, 9)] == sets
    file.write_text(file.read_text().replace("sub-08\t0\ttest", "sub-07\t0\ttrain"))
    with pytest.raises(BadDataError, match="sub-07"):
        cohort.run(changed(context, splits=Splits(scheme="fixed", file=str(file))))
    with pytest.raises(NoInputError, match="no such table of splits"):
        cohort.run(changed(context, splits=Splits(scheme="fixed", file="nowhere.tsv")))


def touch(root: Path, sub: str, *names: str) -> None:
    folder = root / f"sub-{sub}" / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"sub-{sub}_{name}.nii.gz").touch()


def test_maps_of_the_template_need_no_transform_and_the_finest_counts(derivatives: Any) -> None:
    for res in (1, 2):
        grid = f"space-{TEMPLATE}_res-{res}"
        touch(derivatives.out, "01", f"{grid}_desc-preproc_T1w", f"{grid}_desc-brain_mask")
    touch(derivatives.out, "01", "desc-preproc_T1w", "desc-brain_mask", "space-T1w_R2starmap")
    context = derivatives.context()
    (found,) = find_maps(context, Input(suffix="T1w", desc="preproc", space="template"))
    assert found.map.name == f"sub-01_space-{TEMPLATE}_res-1_desc-preproc_T1w.nii.gz"
    assert found.mask is not None
    assert found.mask.name == f"sub-01_space-{TEMPLATE}_res-1_desc-brain_mask.nii.gz"
    assert (found.to_template, found.problem) == (None, None)
    (own,) = find_maps(context, Input(suffix="T1w", desc="preproc", space="T1w"))
    assert own.map.name == "sub-01_desc-preproc_T1w.nii.gz"
    assert own.mask is not None
    assert own.mask.name == "sub-01_desc-brain_mask.nii.gz"
    assert own.problem is not None  # no transform to the template


def test_a_configuration_may_take_its_maps_elsewhere(derivatives: Any, tmp_path: Path) -> None:
    context = everybody(derivatives, 6)
    cohort.run(context)
    elsewhere = Configuration("B", input={"derivatives": "other"})
    scans = load_scans(context)
    assert scans_of(context, Configuration("A"), scans) is scans
    with pytest.raises(NoInputError, match="--derivatives other="):
        scans_of(context, elsewhere, scans)
    settings = dataclasses.replace(context.settings, derivatives=(("other", tmp_path / "o"),))
    context = dataclasses.replace(context, settings=settings)
    with pytest.raises(NoInputError, match=r"no \*_space-T1w_R2starmap.nii.gz of sub-01"):
        scans_of(context, elsewhere, scans)
    derivatives.out.rename(tmp_path / "o")
    moved = scans_of(context, elsewhere, scans)
    assert [scan.name for scan in moved] == [scan.name for scan in scans]
    assert all(str(scan.map_file).startswith(str(tmp_path / "o")) for scan in moved)
