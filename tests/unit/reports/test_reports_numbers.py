"""Numbers and volumes on their way into a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_text
from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError
from bids_xai.reports.study.performance import roc_points
from bids_xai.reports.study_files import natural
from bids_xai.reports.volumes import is_signed, on_grid, positive_window, template_at_hand
from bids_xai.settings import OutputSpace
from bids_xai.tables.numbers import mean_sd, number, percent, read_table


def test_roc_points_join_ties_and_end_in_both_corners() -> None:
    truth = np.array([True, False, True, False])
    fpr, tpr = roc_points(truth, np.array([0.9, 0.5, 0.5, 0.1]))
    np.testing.assert_allclose(fpr, [0, 0, 0.5, 1])
    np.testing.assert_allclose(tpr, [0, 0.5, 1, 1])


def test_the_area_under_roc_points_counts_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    truth, p = rng.random(40) > 0.4, rng.integers(0, 8, 40) / 8
    fpr, tpr = roc_points(truth, p)
    pairs = np.sign(p[truth][:, None] - p[~truth][None, :])
    assert np.trapezoid(tpr, fpr) == pytest.approx((pairs.mean() + 1) / 2)


def test_text_stays_text_and_missing_numbers_are_nan(tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "cohort.tsv",
        "participant_id\tsession_id\tclass\tincluded\treason\tage\n01\tn/a\tNA\ttrue\tn/a\tn/a\n",
    )
    line = read_table(path).iloc[0]
    assert (line["participant_id"], line["session_id"], line["class"]) == ("01", "n/a", "NA")
    assert np.isnan(line["age"])


def test_a_number_column_with_text_is_named(tmp_path: Path) -> None:
    path = write_text(tmp_path / "eigenvalues.tsv", "index\teigenvalue\tgap\n1\tmany\t0\n")
    with pytest.raises(BadDataError, match="eigenvalue"):
        read_table(path)


def test_a_table_without_lines_counts_as_missing(tmp_path: Path) -> None:
    path = write_text(tmp_path / "eigenvalues.tsv", "index\teigenvalue\tgap\n")
    assert read_table(path) is None
    assert read_table(tmp_path / "clusters.tsv") is None


def test_numbers_are_written_for_people() -> None:
    assert percent(0.6419) == "64.2 %"
    assert percent(float("nan")) == "n/a"
    assert mean_sd([70.0, 72.0, float("nan")]) == "71.0 ± 1.4"
    assert mean_sd([]) == "n/a"
    assert [number(v) for v in (None, True, 3, 0.12345, [1, 2.5], "x")] == [
        "n/a",
        "yes",
        "3",
        "0.123",
        "1, 2.5",
        "x",
    ]
    assert sorted(["split-10", "split-2"], key=natural) == ["split-2", "split-10"]


def test_a_volume_moves_to_another_grid_by_its_affine() -> None:
    data = np.zeros((6, 7, 8), np.float32)
    data[2, 3, 4] = 1.0
    shifted = np.eye(4)
    shifted[:3, 3] = (1.0, 2.0, -1.0)
    target = Volume(np.zeros((4, 6, 9), np.float32), shifted)
    moved = on_grid(Volume(data, np.eye(4)), target)
    assert moved.shape == (4, 6, 9)
    assert np.argwhere(moved > 0.5).tolist() == [[1, 1, 5]]


def test_windows_look_at_positive_values_or_magnitudes() -> None:
    values = np.array([-10.0, 0.0, 1.0, 2.0, 3.0])
    assert positive_window(values, (50.0, 100.0)) == (2.0, 3.0)
    assert positive_window(values, (50.0, 100.0), signed=True) == (2.5, 10.0)
    assert positive_window(np.zeros(3), (50.0, 100.0)) is None
    assert positive_window(np.array([1e-9, 1.0, 3.0]), (0.0, 100.0)) == (1.0, 3.0)
    assert is_signed(values)
    assert not is_signed(np.array([-1e-9, 1.0]))


def test_a_template_that_is_not_cached_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tpl-MNI152NLin2009cAsym"
    folder.mkdir()
    for name in ("desc-brain_mask", "T1w"):
        (folder / f"tpl-MNI152NLin2009cAsym_res-02_{name}.nii.gz").touch()
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    assert template_at_hand(OutputSpace("MNI152NLin2009cAsym", 2)) is None
