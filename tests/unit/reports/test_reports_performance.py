"""Performance and cohort of a study's page, made from tables that the group steps wrote."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from prediction_rows import write_performance_of

from bids_xai.bids.files import write_json, write_tsv
from bids_xai.bids.files import write_tsv as write_table
from bids_xai.core.cohort import balance
from bids_xai.errors import BadDataError
from bids_xai.group.context import GroupContext
from bids_xai.reports import study_files
from bids_xai.reports.blocks import Block, Items, Picture, Section, Table, Text, render
from bids_xai.reports.study import cohort as group_cohort
from bids_xai.reports.study import comparisons as group_comparisons
from bids_xai.reports.study import performance as group_performance
from bids_xai.reports.study import summary as study_summary
from bids_xai.reports.study import training as group_training
from bids_xai.reports.study_files import Study
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Baseline, Splits, Target
from bids_xai.tables.cohort import BALANCE, COHORT
from bids_xai.tables.numbers import KINDS
from bids_xai.tables.predictions import (
    CALIBRATION,
    COMPARISONS,
    CONFUSION,
    PERFORMANCE,
    PERFORMANCE_SUMMARY,
    ROC,
)
from bids_xai.tables.training import SEARCH

Row = dict[str, Any]

NAME = "tiny"
TWO, THREE = ("NC", "AD"), ("NC", "MCI", "AD")
BASELINES = (Baseline("svm", "volume", "linear", 40), Baseline("nuclei", "regions", "rbf"))
_SHARP = {"A": 0.2, "B": 1.8, "C": 1.6, "svm": 1.4, "nuclei": 0.8}
DRAWINGS = (
    "training_curves",
    "share_curves",
    "roc_curves",
    "roc_bands",
    "calibration_curves",
    "confusion_matrices",
)


class Made:
    """An output folder with what the group steps write about predictions."""

    def __init__(self, out: Path, names: Sequence[str] = TWO, **tables: Any) -> None:
        target = Target("diagnosis", classes=tuple(names), positive="AD")
        study = dataclasses.replace(load_study("quick"), name=NAME, target=target, **tables)
        self.context = GroupContext(RunSettings(out / "raw", out, "group"), study, "")
        self.folder = self.context.folder
        plain = study.as_plain()
        write_json(
            self.folder / "study.json",
            {
                "classes": list(names),
                "positive": "AD",
                "settings": plain,
                "configurations": plain["configurations"],
            },
        )

    @property
    def study(self) -> Study:
        return Study.at(self.context.output_dir, NAME)

    def scans(self, identifier: str, split: int, n: int = 18) -> list[Row]:
        """Predictions of a test set, better for some configurations than for others."""
        names = self.context.study.target.names
        rng = np.random.default_rng((split, list(_SHARP).index(identifier)))
        rows = []
        for i in range(n):
            truth = i % len(names)
            score = rng.normal(size=len(names))
            score[truth] += _SHARP[identifier]
            p = np.exp(score) / np.exp(score).sum()
            said = names[int(p.argmax())]
            rows.append(
                {
                    "configuration": identifier,
                    "split": split,
                    "method": "lrp-zplus",
                    "participant_id": f"sub-{split}{i:02d}",
                    "session_id": "n/a",
                    "true_class": names[truth],
                    "predicted_class": said,
                    "probability": float(p[names.index("AD")]),
                    **{f"probability_{c}": float(q) for c, q in zip(names, p, strict=True)},
                }
            )
        return rows

    def train(self, identifier: str, split: int, epochs: int, seconds: float) -> None:
        card = self.context.model_folder(identifier, split) / "model.json"
        write_json(card, {"metrics": {"epochs": epochs, "seconds": seconds}})

    def perform(self, ids: Sequence[str], splits: int = 3) -> Made:
        rows = [row for name, k in product(ids, range(splits)) for row in self.scans(name, k)]
        write_performance_of(self.context, rows)
        return self


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two classes, three configurations, two baselines, three splits; only to be read."""
    made = Made(tmp_path_factory.mktemp("two"), baselines=BASELINES)
    for name, k in product("ABC", range(3)):
        made.train(name, k, 10 + k, 5000.0 * (k + 1))
    return made.perform(["A", "B", "C", "svm", "nuclei"]).study


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three classes, two configurations tested of three, a baseline; only to be read."""
    made = Made(tmp_path_factory.mktemp("three"), THREE, baselines=BASELINES[:1])
    return made.perform(["A", "B", "svm"], splits=2).study


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, ...]]:
    """No drawing; what would have been drawn, by the drawing's name."""
    drawn: dict[str, tuple[Any, ...]] = {}

    def instead(name: str) -> Callable[..., bytes]:
        def draw(*given: Any) -> bytes:
            drawn[name] = given
            return b"<svg/>"

        return draw

    for name in DRAWINGS:
        module = group_performance if hasattr(group_performance, name) else group_training
        monkeypatch.setattr(module, name, instead(name))
    monkeypatch.setattr(group_cohort, "balance_dots", instead("balance_dots"))
    return drawn


def of_kind(section: Section, kind: type[Any]) -> list[Any]:
    return [block for block in section.blocks if isinstance(block, kind)]


def texts(section: Section) -> Iterator[str]:
    for block in section.blocks:
        if isinstance(block, Text):
            yield block.text
        elif isinstance(block, Items):
            yield from block.items


def plain(cell: str) -> str:
    """A cell as it reads."""
    return Markup(cell).striptags().replace("\N{NO-BREAK SPACE}", " ")


def cells(table: Table) -> dict[str, dict[str, str]]:
    """Line → column → cell."""
    return {
        row[0]: dict(zip(table.header[1:], map(plain, row[1:]), strict=True)) for row in table.rows
    }


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("performance.tsv", PERFORMANCE.meanings()),
        ("performance_summary.tsv", PERFORMANCE_SUMMARY.meanings()),
        ("comparisons.tsv", COMPARISONS.meanings()),
        ("roc.tsv", ROC.meanings()),
        ("calibration.tsv", CALIBRATION.meanings()),
        ("confusion.tsv", CONFUSION.meanings()),
        ("balance.tsv", BALANCE.meanings()),
        ("search.tsv", SEARCH.meanings()),
    ],
)
def test_the_columns_read_are_columns_written(name: str, columns: dict[str, str]) -> None:
    kind = KINDS[name]
    assert {*kind.text, *kind.numbers, *kind.optional_numbers} <= set(columns)


@pytest.mark.usefixtures("quick")
def test_scores_stand_as_in_the_paper_with_baselines_below(two: Study) -> None:
    (table,) = (
        t
        for t in of_kind(group_performance.performance(two), Table)
        if "Id" in t.header and "AUC" in t.header
    )
    assert table.header == (
        "Id",
        "Skull-stripping",
        "Relevance-guided",
        "Accuracy",
        "Balanced accuracy",
        "Sensitivity",
        "Specificity",
        "AUC",
    )
    lines = cells(table)
    assert list(lines) == ["A", "B", "C", "svm", "nuclei"]
    assert [lines[c]["Skull-stripping"] for c in lines] == ["no", "yes", "no", "n/a", "n/a"]
    assert [lines[c]["Relevance-guided"] for c in lines] == ["no", "no", "yes", "n/a", "n/a"]
    summary = two.table("performance_summary.tsv").set_index(["configuration", "metric"])
    for name, (title, metric) in product(
        lines, {"Accuracy": "accuracy", "Specificity": "specificity", "AUC": "auc"}.items()
    ):
        line = summary.loc[name, metric]
        percentiles = line["percentile_2_5"], line["percentile_97_5"]
        expected = (
            f"{line['mean']:.2f} ± {line['sd']:.2f} [{percentiles[0]:.2f}, {percentiles[1]:.2f}]"
            if metric == "auc"
            else f"{100 * line['mean']:.1f} ± {100 * line['sd']:.1f} % "
            f"[{100 * percentiles[0]:.1f}, {100 * percentiles[1]:.1f}]"
        )
        assert lines[name][title] == expected
    assert "Test sets of 3 random splits" in table.caption
    assert "specificity = share of NC found" in table.caption


@pytest.mark.usefixtures("quick")
def test_percentiles_stand_on_a_line_of_their_own(two: Study) -> None:
    table = of_kind(group_performance.performance(two), Table)[0]
    page = render("t", "l", [Section("s", (table,))])
    assert page.count("<br>") == 5 * 5
    assert "&lt;br" not in page
    assert 'class="number">' in page


@pytest.mark.usefixtures("quick")
def test_baselines_are_described(two: Study) -> None:
    said = list(texts(group_performance.performance(two)))
    assert [line.split(";")[0] for line in said] == [
        "Baseline svm: support vector machine (linear kernel) on the network's input, voxel by "
        "voxel, at most 40 principal components",
        "Baseline nuclei: support vector machine (rbf kernel) on the mean of the map in every "
        "region of the atlas",
    ]


def test_a_name_that_only_the_tables_know_is_a_baseline(tmp_path: Path) -> None:
    made = Made(tmp_path, baselines=BASELINES[:1])
    made.perform(["A", "svm"])
    description = dict(made.study.description)
    description.pop("settings")
    study = dataclasses.replace(made.study, description=description)
    assert dict(study_files.baselines(study)) == {"svm": {}}
    assert list(study_files.baselines(made.study)) == ["svm"]


def test_more_classes_have_a_macro_auc_and_other_meanings(
    three: Study, quick: dict[str, tuple[Any, ...]]
) -> None:
    section = group_performance.performance(three)
    table = of_kind(section, Table)[0]
    assert table.header[-1] == "Macro AUC"
    lines = cells(table)
    assert list(lines) == ["A", "B", "C", "svm"]
    assert set(lines["C"].values()) == {"no", "yes", "n/a"}  # configured, but not tested
    assert lines["A"]["Macro AUC"].startswith("0.")
    assert "share of the others not taken for AD" in table.caption
    assert "mean over the 3 classes" in table.caption
    (panels, names) = quick["confusion_matrices"]
    assert list(panels) == ["Configuration A", "Configuration B", "Baseline svm"]
    assert names == list(THREE)


@pytest.mark.usefixtures("quick")
def test_the_confusion_table_counts_the_predictions(
    three: Study, quick: dict[str, tuple[Any, ...]]
) -> None:
    made = Made(three.output_dir, THREE)
    rows = [row for k in range(2) for row in made.scans("B", k)]
    (table,) = (
        t
        for t in of_kind(group_performance.performance(three), Table)
        if "Id and true class" in t.header
    )
    lines = cells(table)
    square = quick["confusion_matrices"][0]["Configuration B"]
    for (i, truth), (j, said) in product(enumerate(THREE), enumerate(THREE)):
        n = sum((r["true_class"], r["predicted_class"]) == (truth, said) for r in rows)
        of_truth = sum(r["true_class"] == truth for r in rows)
        assert square[i, j] == n
        assert lines[f"B, {truth}"][f"Taken for {said}"] == f"{n} ({100 * n / of_truth:.0f} %)"


@pytest.mark.usefixtures("quick")
def test_two_classes_need_no_confusion_matrix(two: Study) -> None:
    section = group_performance.performance(two)
    assert not [t for t in of_kind(section, Table) if "Id and true class" in t.header]


@pytest.mark.usefixtures("quick")
def test_uneven_splits_are_shown(tmp_path: Path) -> None:
    made = Made(tmp_path)
    rows = [row for k in range(3) for row in made.scans("A", k)]
    rows += [row for k in range(2) for row in made.scans("B", k)]
    rows += made.scans("C", 0) + [row for row in made.scans("C", 1) if row["true_class"] == "NC"]
    write_performance_of(made.context, rows)
    table = of_kind(group_performance.performance(made.study), Table)[0]
    assert {name: line["Splits"] for name, line in cells(table).items()} == {
        "A": "3",
        "B": "2",
        "C": "2",
    }
    assert "A test set that lacks a class is left out" in table.caption
    # one test set has no AD: its sensitivity is that of the other, with no spread
    assert cells(table)["C"]["Sensitivity"].count("±") == 0


@pytest.mark.usefixtures("quick")
def test_a_single_split_has_no_spread(tmp_path: Path) -> None:
    study = Made(tmp_path).perform(["A", "B"], splits=1).study
    table = of_kind(group_performance.performance(study), Table)[0]
    assert table.caption.startswith("Test set of a single split. ")
    assert "±" not in "".join(map("".join, table.rows))
    section = group_comparisons.comparisons(study)
    assert len(of_kind(section, Table)) == 1
    assert any("needs two that both were tested in" in text for text in texts(section))


def test_splits_are_called_what_they_are(tmp_path: Path) -> None:
    words = [
        study_files.split_words(Made(tmp_path / str(i), splits=splits).study, 10)
        for i, splits in enumerate(
            (Splits(), Splits("kfold"), Splits("fixed"), Splits(repeats=5, repetitions=2))
        )
    ]
    assert words == [
        "10 random splits",
        "10 folds",
        "10 splits",
        "10 trainings on random splits, 2 on each",
    ]
    assert study_files.split_words(Study(tmp_path, NAME, {}), 4) == "4 random splits"


@pytest.mark.usefixtures("quick")
def test_both_tests_are_in_the_comparisons(two: Study) -> None:
    mcnemar, wilcoxon = of_kind(group_comparisons.comparisons(two), Table)
    table = two.table("comparisons.tsv")
    assert len(table) == 10
    assert [row[0] for row in mcnemar.rows][:4] == [
        "A and B",
        "A and C",
        "A and svm",
        "A and nuclei",
    ]
    for row, line in zip(mcnemar.rows, table.itertuples(), strict=True):
        assert row[1:4] == (
            f"{line.n:.0f}",
            f"{line.only_a_correct:.0f}",
            f"{line.only_b_correct:.0f}",
        )
        assert [row[4], row[5]] == [
            "< 0.001" if p < 0.001 else f"{p:.3f}" for p in (line.p_value, line.p_holm)
        ]
    scores = two.table("performance.tsv").set_index(["configuration", "split"])
    wanted = np.mean(
        [
            float(scores.loc[("A", k), "balanced_accuracy"])
            - float(scores.loc[("B", k), "balanced_accuracy"])
            for k in ("0", "1", "2")
        ]
    )
    assert wilcoxon.rows[0][:3] == ("A and B", "3", f"{100 * wanted:+.1f}".replace("-", "−"))
    assert wanted < 0
    assert "the 10 pairs" in wilcoxon.caption


@pytest.mark.usefixtures("quick")
def test_the_comparisons_say_what_they_do_not_show(two: Study) -> None:
    said = " ".join(texts(group_comparisons.comparisons(two)))
    assert "Splits share participants" in said
    assert "With 3 splits, Wilcoxon's p cannot be below 0.25." in said
    assert "does not show that two of them are equally good" in said


@pytest.mark.parametrize("splits", [2, 5, 8])
def test_the_least_p_is_that_of_differences_of_one_sign(splits: int) -> None:
    import pandas as pd
    from scipy.stats import wilcoxon

    least = wilcoxon(np.arange(1.0, splits + 1), method="exact").pvalue
    (_, said) = group_comparisons._wilcoxon_notes(pd.DataFrame({"n_splits": [1, splits]}))
    assert said == f"With {splits} splits, Wilcoxon's p cannot be below {least:.2g}."


def test_many_splits_have_no_remark_about_the_least_p() -> None:
    import pandas as pd

    assert len(group_comparisons._wilcoxon_notes(pd.DataFrame({"n_splits": [9]}))) == 1


@pytest.mark.usefixtures("quick")
def test_comparisons_without_wilcoxon_are_still_shown(tmp_path: Path) -> None:
    made = Made(tmp_path).perform(["A", "B"])
    table = made.study.table("comparisons.tsv")
    old = [name for name in COMPARISONS.meanings() if "wilcoxon" not in name][:7]
    write_tsv(
        made.folder / "comparisons.tsv", table[old].to_dict("records"), dict.fromkeys(old, "x")
    )
    section = group_comparisons.comparisons(made.study)
    assert len(of_kind(section, Table)) == 1
    assert list(texts(section)) == ["A large p does not show that two of them are equally good."]


@pytest.mark.usefixtures("quick")
def test_one_configuration_compares_with_a_baseline(tmp_path: Path) -> None:
    one = load_study("quick").configurations[:1]
    made = Made(tmp_path, configurations=one, baselines=BASELINES[:1])
    section = group_comparisons.comparisons(made.perform(["A", "svm"]).study)
    assert of_kind(section, Table)[0].rows[0][0] == "A and svm"
    alone = Made(tmp_path / "alone", configurations=one).perform(["A"]).study
    (text,) = texts(group_comparisons.comparisons(alone))
    assert text == "Only one configuration: nothing to compare."


def test_roc_curves_are_drawn_from_their_table(
    three: Study, quick: dict[str, tuple[Any, ...]]
) -> None:
    section = group_performance.roc(three)
    (bands,) = quick["roc_bands"]
    assert list(bands) == ["Configuration A", "Configuration B", "Baseline svm"]
    table = three.table("roc.tsv")
    mine = table[table["configuration"] == "B"]
    band = bands["Configuration B"]
    np.testing.assert_allclose(band.tpr, mine["tpr"])
    assert (band.low <= band.tpr + 1e-9).all()
    assert (band.tpr <= band.high + 1e-9).all()
    assert band.n_splits == 2
    areas = [float(a) for a in _auc(three, "B")]
    assert band.note == f"AUC {np.mean(areas):.2f} ± {statistics.stdev(areas):.2f}"
    (picture,) = of_kind(section, Picture)
    assert "AD against the others" in picture.caption
    assert picture.caption.endswith("Without a test set of both classes: Configuration C.")
    assert "roc_curves" not in quick


def _auc(study: Study, name: str) -> list[str]:
    table = study.table("performance.tsv")
    return list(table[table["configuration"] == name]["auc"])


def test_roc_curves_fall_back_to_the_predictions(
    tmp_path: Path, quick: dict[str, tuple[Any, ...]]
) -> None:
    made = Made(tmp_path, THREE)
    # of three classes, the outcome of a control taken for MCI is FN, but it is no patient
    rows = [
        {
            "participant_id": f"sub-{i}",
            "session_id": "n/a",
            "configuration": "A",
            "split": 0,
            "true_class": truth,
            "predicted_class": "MCI",
            "outcome": "FN",
            "probability": p,
        }
        for i, (truth, p) in enumerate([("NC", 0.1), ("MCI", 0.2), ("AD", 0.15), ("AD", 0.4)])
    ]
    write_tsv(made.folder / "predictions.tsv", rows, dict.fromkeys(rows[0], "x"))
    group_performance.roc(made.study)
    (curves,) = quick["roc_curves"]
    ((fpr, tpr),) = curves["Configuration A"]
    np.testing.assert_allclose(fpr, [0, 0, 0.5, 0.5, 1])
    np.testing.assert_allclose(tpr, [0, 0.5, 0.5, 1, 1])
    assert curves["Configuration B"] == []


def test_calibration_shows_bins_scores_and_the_score_of_a_constant(
    two: Study, quick: dict[str, tuple[Any, ...]]
) -> None:
    section = group_performance.performance(two)
    (panels, positive) = quick["calibration_curves"]
    assert (list(panels)[-1], positive) == ("Baseline nuclei", "AD")
    table = of_kind(section, Table)[-1]
    made = Made(two.output_dir)
    for name in ("A", "svm"):
        rows = [row for k in range(3) for row in made.scans(name, k)]
        truth = np.array([row["true_class"] == "AD" for row in rows])
        p = np.array([row["probability"] for row in rows])
        line = cells(table)[name]
        assert line["Test scans"] == "54"
        assert line["Brier score"] == f"{np.mean((p - truth) ** 2):.3f}"
        # always giving the share of patients
        constant = np.full(truth.shape, truth.mean())
        assert line["Brier score, no model"] == f"{np.mean((constant - truth) ** 2):.3f}"
        bins = panels["Configuration A" if name == "A" else "Baseline svm"]
        assert bins.note == f"Brier {line['Brier score']}\nECE {line['ECE']}"
        order = np.argsort(p)[:5]
        assert bins.predicted[0] == pytest.approx(p[order].mean(), rel=1e-6)
        assert bins.observed[0] == pytest.approx(truth[order].mean(), rel=1e-6)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("lost", "section"),
    [
        ("performance_summary.tsv", group_performance.performance),
        ("calibration.tsv", group_performance.performance),
        ("confusion.tsv", group_performance.performance),
        ("comparisons.tsv", group_comparisons.comparisons),
        ("performance_summary.tsv", group_training.training),
        ("cohort.tsv", group_cohort.cohort),
    ],
)
def test_a_missing_table_leaves_a_remark(
    tmp_path: Path, lost: str, section: Callable[[Study], Section]
) -> None:
    made = Made(tmp_path, THREE).perform(["A", "B"])
    (made.folder / lost).unlink(missing_ok=True)
    step = KINDS[lost].step
    assert [
        text for text in texts(section(made.study)) if lost in text and f"(--steps {step})" in text
    ]


@pytest.mark.usefixtures("quick")
def test_a_table_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    made = Made(tmp_path).perform(["A", "B"])
    write_tsv(
        made.folder / "roc.tsv",
        [{"configuration": "A", "fpr": 0.0}],
        {"configuration": "x", "fpr": "x"},
    )
    with pytest.raises(BadDataError, match=r"percentile_97_5.*roc\.tsv"):
        group_performance.roc(made.study)


@pytest.mark.usefixtures("quick")
def test_convergence_is_the_mean_over_splits(two: Study) -> None:
    (table,) = of_kind(group_training.training(two), Table)
    lines = cells(table)
    assert list(lines) == ["A", "B", "C"]
    # 10, 11, 12 epochs; 5000, 10000, 15000 s
    hours = 5000 / 3600
    assert lines["A"] == {
        "Splits": "3",
        "Epochs": "11.0 ± 1.0",
        "Duration": f"{2 * hours:.1f} ± {hours:.1f} h",
    }


@pytest.mark.usefixtures("quick")
def test_convergence_that_was_not_recorded_is_said(three: Study) -> None:
    section = group_training.training(three)
    assert "Epochs and duration of the training were not recorded." in texts(section)


def test_durations_have_a_unit_that_suits() -> None:
    assert group_training._unit(119.0) == (1.0, " s")
    assert group_training._unit(600.0) == (60.0, " min")
    assert group_training._unit(7200.0) == (3600.0, " h")


@pytest.mark.usefixtures("quick")
def test_random_searches_are_listed_by_split(tmp_path: Path) -> None:
    made = Made(tmp_path).perform(["A"])
    for k in (10, 2):
        rows = [
            {
                "draw": d,
                "values": f"training.batch_size={2 + d}",
                "validation_loss": 0.5,
                "validation_balanced_accuracy": None if d == 3 else 0.6 + 0.1 * d,
                "epochs": 9,
                "seconds": 100.0,
                "kept": d == 1,
            }
            for d in range(4)
        ]
        write_table(made.context.model_folder("B", k) / "search.tsv", rows, SEARCH.meanings())
    table = of_kind(group_training.training(made.study), Table)[-1]
    lines = cells(table)
    assert list(lines) == ["B, split 2", "B, split 10"]
    assert list(lines["B, split 2"].values()) == [
        "4",
        "training.batch_size=3",
        "70.0 %",
        "60.0 % to 80.0 %",
        "6.7 min",
    ]


def people(study: Made, reasons: Sequence[str | None]) -> None:
    """A cohort of one scan a participant, two of the first; ``-`` has no scan."""
    rows = [
        {
            "participant_id": f"sub-{i:02d}",
            "session_id": "n/a" if reason == "-" else "ses-1",
            "class": TWO[i % 2],
            "included": reason is None,
            "reason": "no input map among the derivatives" if reason == "-" else reason,
            "map": None if reason == "-" else f"sub-{i:02d}_R2starmap.nii.gz",
        }
        for i, reason in enumerate(reasons)
    ]
    more = {"included": True, "reason": None, "session_id": "ses-2"}
    write_table(study.folder / "cohort.tsv", [*rows, rows[0] | more], COHORT.meanings())


def test_the_flow_goes_by_the_order_of_the_rules(tmp_path: Path) -> None:
    made = Made(tmp_path)
    people(
        made,
        [
            "quality: snr low",
            "matching: no control is left",
            None,
            "diagnosis is MCI",
            "does not meet: age > 60",
            "age missing, needed for: age > 60",
            "-",
            None,
            "undersampled: one too many of its age and sex",
            "diagnosis is MCI",
            None,
        ],
    )
    table = of_kind(group_cohort.cohort(made.study), Table)[0]
    assert table.header == (
        "Step",
        "Scans",
        "Participants",
        "Scans remaining",
        "Participants remaining",
    )
    assert table.rows == (
        ("Considered", "11", "11", "11", "11"),
        ("Left out: diagnosis is MCI", "2", "2", "9", "9"),
        ("Left out: no input map among the derivatives", "0", "1", "9", "8"),
        ("Left out: age missing, needed for: age > 60", "1", "1", "8", "7"),
        ("Left out: does not meet: age > 60", "1", "1", "7", "6"),
        # sub-00 has another scan and remains
        ("Left out: quality: snr low", "1", "1", "6", "6"),
        ("Left out: undersampled: one too many of its age and sex", "1", "1", "5", "5"),
        ("Left out: matching: no control is left", "1", "1", "4", "4"),
        ("Used", "4", "4", "4", "4"),
    )
    said = next(texts(study_summary.summary(made.study)))
    assert said.endswith("Left out: 7 scans and 1 participant without a map.")


def test_rare_reasons_share_a_line(tmp_path: Path) -> None:
    made = Made(tmp_path)
    people(made, [*(f"quality: metric{i} low" for i in range(10)), "quality: metric9 low", None])
    rows = of_kind(group_cohort.cohort(made.study), Table)[0].rows
    assert rows[1] == ("Left out: quality: metric9 low", "2", "2", "11", "10")
    assert rows[-2][:3] == ("Left out: quality, 4 other reasons", "4", "4")
    assert len(rows) == 1 + 6 + 1 + 1
    people(made, [*(f"quality: metric{i} low" for i in range(7)), None])
    rows = of_kind(group_cohort.cohort(made.study), Table)[0].rows
    assert rows[-2][0] == "Left out: quality: metric6 low"


def test_a_cohort_without_exclusions_has_no_flow(tmp_path: Path) -> None:
    made = Made(tmp_path)
    people(made, [None, None])
    section = group_cohort.cohort(made.study)
    assert "No scan was left out." in texts(section)
    assert of_kind(section, Table)[0].header[0] == ""


def matched(made: Made) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A balance table of 40 participants of whom 20 are kept."""
    rng = np.random.default_rng(3)
    treated = np.arange(40) % 2 == 1
    age = rng.normal(68, 6, 40) + 5 * treated
    volume = rng.normal(1400, 130, 40)
    men = (rng.random(40) < 0.3 + 0.4 * treated).astype(float)
    kept = [int(i) for i in np.argsort(np.abs(age - 70))[:20]]
    names = ["age", "volume", "sex=M", "constant"]
    table = np.stack([age, volume, men, np.ones(40)], axis=1)
    rows = [dataclasses.asdict(row) for row in balance(table, names, treated, kept)]
    write_table(made.folder / "balance.tsv", rows, BALANCE.meanings())
    return treated, age, kept


def test_balance_stands_beside_its_dots(tmp_path: Path, quick: dict[str, Any]) -> None:
    made = Made(tmp_path)
    people(made, [None, None])
    treated, age, kept = matched(made)
    section = group_cohort.cohort(made.study)
    (table,) = (t for t in of_kind(section, Table) if t.header[0] == "Covariate")
    assert table.header[1:] == (
        "AD before",
        "NC before",
        "AD after",
        "NC after",
        "SMD before",
        "SMD after",
        "Variance ratio before",
        "Variance ratio after",
    )
    lines = cells(table)
    assert list(lines) == ["age", "volume", "sex = M", "constant"]
    old, young = age[treated], age[~treated]
    assert lines["age"]["AD before"] == f"{old.mean():.1f} ± {old.std(ddof=1):.1f}"
    pooled = math.sqrt((old.var(ddof=1) + young.var(ddof=1)) / 2)
    before = (old.mean() - young.mean()) / pooled
    assert lines["age"]["SMD before"] == f"{before:+.2f}"
    chosen = np.isin(np.arange(40), kept)
    after = (age[treated & chosen].mean() - age[~treated & chosen].mean()) / pooled
    assert lines["age"]["SMD after"] == f"{after:+.2f}".replace("-", "−")
    assert abs(after) < abs(before)
    assert lines["volume"]["NC after"].replace(" ± ", "").isdigit()
    assert lines["sex = M"]["AD before"].endswith(" %")
    assert lines["constant"]["Variance ratio after"] == "n/a"
    assert lines["constant"]["SMD after"] == "0.00"
    names, dots_before, dots_after = quick["balance_dots"]
    assert names == list(lines)
    assert (dots_before[0], dots_after[0]) == pytest.approx((before, after), rel=1e-6)
    (picture,) = of_kind(section, Picture)
    assert f"age {before:+.2f} and" in picture.alt


def test_nothing_is_said_about_balance_where_nobody_was_matched(tmp_path: Path) -> None:
    made = Made(tmp_path)
    people(made, [None, None])
    section = group_cohort.cohort(made.study)
    assert not of_kind(section, Picture)
    assert not [text for text in texts(section) if "balance.tsv" in text]


def test_the_best_may_be_a_baseline(tmp_path: Path) -> None:
    made = Made(tmp_path, baselines=BASELINES[:1], splits=Splits("kfold"))
    people(made, [None, None])
    made.perform(["A", "svm"])
    said = " ".join(texts(study_summary.summary(made.study)))
    assert "Of 1 configuration and 1 baseline, baseline svm has the highest" in said
    assert "over 3 folds" in said


def test_everything_can_be_drawn(tmp_path: Path) -> None:
    made = Made(tmp_path, THREE, baselines=BASELINES)
    people(made, [None, None])
    matched(made)
    study = made.perform(["B", "svm"], splits=2).study
    blocks: list[Block] = [
        block
        for section in (group_cohort.cohort, group_performance.performance, group_performance.roc)
        for block in section(study).blocks
    ]
    pictures = [block for block in blocks if isinstance(block, Picture)]
    assert len(pictures) == 4
    assert all(p.source.startswith("data:image/svg+xml;base64,") and p.alt for p in pictures)
