"""The ground-truth benchmark: its plan, its tables and its page, from scores of a known answer."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bids_xai.bids.files import tsv_text
from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError, UsageError
from bids_xai.studies.schema import load_study

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
PEOPLE = [f"sub-{k:02d}" for k in range(8)]
SICK = PEOPLE[:6]
COHORTS = ("megre-0", "megre-30", "megre-60", "megre-60-marker")
NETWORKS = ("A", "B", "C", "A0", "B0")


@pytest.fixture(scope="module")
def parts():
    """The modules of the benchmark, by the end of their names."""
    sys.path.insert(0, str(BENCHMARKS))
    names = ("plan", "cohorts", "scores", "table", "page")
    yield SimpleNamespace(
        main=importlib.import_module("leaderboard"),
        **{name: importlib.import_module(f"leaderboard_{name}") for name in names},
    )
    sys.path.remove(str(BENCHMARKS))


def heatmaps() -> list[dict[str, str]]:
    """``saliency`` finds the region where it is to be found; z+ shows what is bright."""
    rows = []
    for cohort in COHORTS:
        effect, marked = float(cohort.split("-")[1]), cohort.endswith("marker")
        for network in NETWORKS:
            for repetition in range(2):
                for k, label in enumerate(SICK):
                    trained = not network.endswith("0")
                    finds_marker = trained and effect >= 30
                    shown = {"A": 0.5, "B": 0.0, "C": 0.1}.get(network, 0.02) + 0.01 * k
                    labels = {
                        "cohort": cohort,
                        "configuration": network,
                        "participant_id": label,
                        "repetition": str(repetition),
                        "chance": "0.01",
                        "seconds": "1",
                        "mass_accuracy": "0.2",
                    }
                    rank = (0.6 if finds_marker else 0.1) + 0.02 * k + 0.1 * repetition
                    rows.append(
                        labels
                        | {
                            "method": "saliency",
                            "rank_accuracy": str(rank),
                            "pointing_game": str(float(finds_marker)),
                            "density_ratio": "4",
                            "on_marker": str(shown) if marked else "n/a",
                        }
                    )
                    rows.append(
                        labels
                        | {
                            "method": "lrp-zplus",
                            "rank_accuracy": str(0.5 + 0.02 * k),
                            "pointing_game": "1",
                            "density_ratio": "n/a" if k else "3",
                            "on_marker": str(0.3 if network == "A" else 0.05) if marked else "n/a",
                        }
                    )
    return rows


def predictions() -> list[dict[str, str]]:
    """Without markers A is wrong of half of the people, C of nobody, B neither with nor without."""
    rows = []
    for cohort in COHORTS:
        for network in NETWORKS:
            for label in PEOPLE:
                lost = network == "A" and int(label[-1]) % 2 == 0
                without = ("0.1" if lost else "0.9") if cohort.endswith("marker") else "n/a"
                rows += [
                    {
                        "cohort": cohort,
                        "configuration": network,
                        "repetition": str(repetition),
                        "participant_id": label,
                        "true_class": "1",
                        "probability": "0.9",
                        "probability_without": without,
                    }
                    for repetition in range(2)
                ]
    return rows


@pytest.fixture(scope="module")
def leaderboard(parts):
    return parts.table.tables(heatmaps(), predictions())


def row_of(rows, **cells):
    (matching_row,) = [
        row for row in rows if all(row[key] == value for key, value in cells.items())
    ]
    return matching_row


def test_a_row_a_cohort_configuration_and_method(leaderboard) -> None:
    assert len(leaderboard.leaderboard) == len(COHORTS) * 3 * 2
    row = row_of(leaderboard.leaderboard, cohort="megre-30", configuration="C", method="saliency")
    assert row["rank_accuracy"] == pytest.approx(0.6 + 0.02 * 2.5 + 0.05)
    assert row["rank_accuracy_untrained"] == pytest.approx(0.1 + 0.02 * 2.5 + 0.05)
    assert row["rank_gain_low"] == pytest.approx(0.5)  # the same patients: the gain does not vary
    assert (row["n_networks"], row["n_participants"]) == (2, 6)
    assert (row["finds"], row["shows_marker"], row["density_ratio"]) == (True, None, 4)
    assert row["accuracy"] == 1
    assert np.isnan(row["accuracy_without"])


def test_what_does_not_depend_on_training_finds_nothing(leaderboard) -> None:
    for row in leaderboard.leaderboard:
        expected = row["method"] == "saliency" and row["effect"] > 0
        assert row["finds"] == expected


def test_the_untrained_network_sees_the_same_input(parts) -> None:
    rows = heatmaps()
    for row in rows:
        if row["configuration"] == "B0":
            row["rank_accuracy"] = "0.99"
    board = parts.table.tables(rows, predictions()).leaderboard
    for row in board:
        assert (row["rank_accuracy_untrained"] == pytest.approx(0.99)) == (
            row["configuration"] == "B"
        )


def test_summary(leaderboard) -> None:
    assert len(leaderboard.summary) == 3 * 2
    row = row_of(leaderboard.summary, configuration="A", method="saliency")
    assert (row["found_from"], row["found_from_marked"], row["found_at_zero"]) == (30, 60, False)
    assert row["rank_gain"] == pytest.approx(0.5)
    assert (row["marker_used"], row["marker_shown"]) == (1, 1)
    assert row["untrained_pointing"] == 0
    row = row_of(leaderboard.summary, configuration="B", method="lrp-zplus")
    assert (row["found_from"], row["marker_used"], row["marker_shown"]) == (None, 0, 0)
    assert row["untrained_pointing"] == 1


def test_guidance(leaderboard) -> None:
    plain = row_of(leaderboard.guidance, configuration="A")
    assert (plain["accuracy"], plain["accuracy_without"], plain["loss"]) == (1, 0.5, 0.5)
    assert plain["loss_low"] > 0
    assert plain["methods_showing"] == 2
    guided = row_of(leaderboard.guidance, configuration="C")
    assert (guided["loss"], guided["verdict"]) == (0, "removed")
    assert guided["on_marker"] == pytest.approx(0.05)
    assert guided["methods_showing"] == 1  # saliency still does
    assert guided["less_shown_low"] == pytest.approx(0.25)


def page(parts, leaderboard) -> str:
    read = []
    for rows, columns in zip(
        (leaderboard.leaderboard, leaderboard.summary, leaderboard.guidance),
        parts.main.TABLES.values(),
        strict=True,
    ):
        header, *lines = [line.split("\t") for line in tsv_text(rows, columns).splitlines()]
        assert len(lines) == len(rows)
        read.append([dict(zip(header, line, strict=True)) for line in lines])
    return parts.page.results("small", *read)


def test_columns_are_all_described_and_filled(parts, leaderboard) -> None:
    tables = (leaderboard.leaderboard, leaderboard.summary, leaderboard.guidance)
    for rows, columns in zip(tables, parts.main.TABLES.values(), strict=True):
        assert set().union(*rows) == set(columns)


def test_the_page_says_what_the_tables_say(parts, leaderboard) -> None:
    text = page(parts, leaderboard)
    assert "| megre | 60 % | yes | 1.00 / 0.50 | 1.00 / 1.00 | 1.00 / 1.00 |" in text
    assert "| `saliency` | 30 % | 30 % | 30 % | +0.50 | +0.50 | +0.50 |" in text
    assert "| `lrp-zplus` | – | – | – | +0.00 | +0.00 | +0.00 |" in text
    assert "1 of 2 methods find the region at the largest effect; from 30 % on: `saliency`." in text
    assert "although the network is untrained: `lrp-zplus` (megre: A, B, C)." in text
    assert "'find' the region in a cohort without effect: none." in text
    assert "lose accuracy without it: none." in text
    assert "`megre-60-marker`: stopped using it" in text
    assert "Accuracy without markers 0.50 (A) and 1.00 (C)" in text
    assert "methods that show the marker 2 and 1 of 2." in text


def test_a_method_that_hides_the_marker_is_named(parts) -> None:
    rows = heatmaps()
    for row in rows:
        if row["method"] == "saliency" and row["cohort"].endswith("marker"):
            row["on_marker"] = "0.02"
    text = page(parts, parts.table.tables(rows, predictions()))
    assert "lose accuracy without it: `saliency` (megre: A)." in text


def test_results_are_replaced_not_added(parts) -> None:
    first = parts.page.inserted((parts.main.PAGE).read_text(), "one")
    second = parts.page.inserted(first, "two")
    assert "one" not in second.partition(parts.page.BEGIN)[2].partition(parts.page.END)[0]
    assert second.count("two\n") == 1
    assert parts.page.inserted(second, "two") == second
    with pytest.raises(BadDataError):
        parts.page.inserted("no place", "two")


def test_every_marked_cohort_has_its_twin_before_it(parts) -> None:
    for plan in parts.plan.SIZES.values():
        names = [cohort.name for cohort in plan.cohorts]
        assert len(names) == len(set(names))
        for cohort in plan.cohorts:
            assert parts.plan.Cohort.parse(cohort.name) == cohort
            assert names.index(cohort.clean.name) <= names.index(cohort.name)
        assert plan.n_training > 2 * (plan.validation + plan.test) / 2


def test_chosen_cohorts_bring_their_twins(parts) -> None:
    plan = parts.plan.SIZES["small"]
    cohorts = parts.main.cohorts_by_name(plan, ["megre-100-marker"])
    assert [cohort.name for cohort in cohorts] == ["megre-100", "megre-100-marker"]
    assert parts.main.cohorts_by_name(plan, []) == plan.cohorts
    with pytest.raises(UsageError, match="no cohort 'megre-31'"):
        parts.main.cohorts_by_name(plan, ["megre-31"])


def test_tasks_cover_every_network_once(parts, tmp_path) -> None:
    plan = parts.plan.SIZES["small"]
    cohorts, training, scoring = parts.main.tasks(tmp_path, plan, plan.cohorts)
    assert len(cohorts) == len(plan.cohorts)
    assert len(training) == len(scoring) == len(plan.cohorts) * 5 * plan.repetitions
    assert len({task.title for task in [*cohorts, *training, *scoring]}) == len(
        [*cohorts, *training, *scoring]
    )


@pytest.mark.parametrize("kind", ["megre", "t1w", "flair"])
def test_study_files_are_valid(parts, tmp_path, kind) -> None:
    file = tmp_path / "study.toml"
    plan = parts.plan.SIZES["small"]
    file.write_text(parts.cohorts.study_text(parts.plan.Cohort(kind, 30), plan))
    study = load_study(str(file))
    assert {configuration.id for configuration in study.configurations} == set(NETWORKS)
    assert {study.of(configuration).training.epochs for configuration in study.configurations} == {
        0,
        plan.epochs,
    }
    assert study.splits.repetitions == plan.repetitions


def test_methods_that_fit_are_all_but_those_named_on_the_page(parts) -> None:
    from bids_xai.attribution import METHODS

    fitting = parts.scores.fitting("graz")
    assert set(METHODS) - set(fitting) == {"cam", "dtd", "area-occlusion"}
    assert parts.plan.aliases() == {"dtd": "lrp-zplus"}


def test_a_heatmap_is_scored_where_it_lies(parts, monkeypatch) -> None:
    region, marker, brain = (np.zeros((8, 8, 8), bool) for _ in range(3))
    brain[1:7, 1:7, 1:7], region[2:4, 2:4, 2:4], marker[7, 7, 7] = True, True, True
    relevance = np.zeros((8, 8, 8), np.float32)
    relevance[2, 2, 2], relevance[5, 5, 5], relevance[7, 7, 7], relevance[0, 0, 0] = 2, 1, 3, -9
    affine = np.diag([5.0, 5, 5, 1])
    monkeypatch.setattr(
        parts.scores.explaining,
        "explain_scan",
        lambda *_: SimpleNamespace(relevance=Volume(relevance, affine)),
    )
    opened = SimpleNamespace(mask=Volume(brain.astype(np.float32), affine))
    heatmap_scores = parts.scores.one_heatmap(None, None, opened, "saliency", region, marker)
    assert heatmap_scores["mass_accuracy"] == pytest.approx(2 / 6)
    assert heatmap_scores["on_marker"] == pytest.approx(3 / 6)
    assert heatmap_scores["pointing_game"] == 0
    assert heatmap_scores["density_ratio"] == pytest.approx((2 / 8) / (1 / (6**3 - 8)))
    assert heatmap_scores["chance"] == pytest.approx(8 / 512)
