"""Bands, calibration, confusion and balance: what is drawn, where, and that nothing is cut."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bids_xai.figures import balance, calibration, confusion, roc, training
from bids_xai.figures.balance import balance_dots
from bids_xai.figures.calibration import Reliability, calibration_curves
from bids_xai.figures.confusion import confusion_matrices
from bids_xai.figures.roc import RocPanel, roc_bands, roc_curves
from bids_xai.figures.training import TrainingRun, training_curves

GRID = np.linspace(0.0, 1.0, 5)
TPR = np.array([0.3, 0.5, 0.7, 0.9, 1.0])
LONG = "a configuration of which the name is rather long indeed"
NAMES = ("healthy control", "mild cognitive impairment", "Alzheimer's disease")
COUNTS = np.array([[8, 2, 0], [1, 3, 6], [0, 0, 0]])


def band(n_splits: int = 10, note: str = "AUC 0.68 ± 0.05") -> RocPanel:
    return RocPanel(GRID, TPR, TPR - 0.1, np.minimum(TPR + 0.1, 1), n_splits, note)


def bins(note: str = "Brier 0.182\nECE 0.040") -> Reliability:
    return Reliability(np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.6, 1.0]), note)


def _bands(n: int = 4) -> bytes:
    return roc_bands({f"{LONG} {i}": band(1 if i else 10) for i in range(n)})


def _calibration(n: int = 5) -> bytes:
    return calibration_curves({f"{LONG} {i}": bins() for i in range(n)}, "Alzheimer's disease")


def _confusion(n: int = 2) -> bytes:
    return confusion_matrices({f"{LONG} {i}": COUNTS for i in range(n)}, NAMES)


def _many_classes() -> bytes:
    names = [f"class {i}" for i in range(7)]
    return confusion_matrices({"A": np.full((7, 7), 12345)}, names)


def _balance(n: int = 3) -> bytes:
    values = np.linspace(-0.4, 0.9, n)
    return balance_dots([f"{LONG} {i}" for i in range(n)], values, values / 4)


def _alone() -> bytes:
    return roc_bands({"Configuration A": band()})


CHARTS = [_bands, _calibration, _confusion, _many_classes, _balance, _alone]
SMALL = [_alone, _balance, *(partial(draw, 1) for draw in (_calibration, _confusion))]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures instead of their bytes."""
    figures: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        figure.draw_without_rendering()
        figures.append(figure)
        return b""

    for module in (balance, calibration, confusion, roc, training):
        monkeypatch.setattr(module, "to_svg", keep)
    return figures


def visible(figure: Figure) -> list[Any]:
    return [axes for axes in figure.axes if axes.axison]


@pytest.mark.parametrize("draw", SMALL)
def test_a_chart_is_valid_svg_and_the_same_twice(draw: Callable[[], bytes]) -> None:
    first = draw()
    assert first == draw()
    assert ET.fromstring(first).tag.endswith("svg")
    assert b"<text" not in first


@pytest.mark.parametrize("draw", CHARTS)
def test_no_letters_are_cut_and_no_titles_overlap(
    draw: Callable[[], bytes], drawn: list[Figure]
) -> None:
    draw()
    (figure,) = drawn
    width, height = figure.bbox.width, figure.bbox.height
    for axes in visible(figure):
        ticks = [  # those between panels have no letters
            label
            for axis, (low, high) in (
                (axes.xaxis, sorted(axes.get_xlim())),
                (axes.yaxis, sorted(axes.get_ylim())),
            )
            for at, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
            if low <= at <= high
        ]
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts, *ticks):
            if text.get_text():
                box = text.get_window_extent()
                assert -1 <= box.x0 <= box.x1 <= width + 1, text
                assert -1 <= box.y0 <= box.y1 <= height + 1, text
    titles = [axes.title.get_window_extent() for axes in visible(figure) if axes.get_title()]
    assert not [
        (i, j)
        for i, a in enumerate(titles)
        for j, b in enumerate(titles)
        if i < j and a.overlaps(b)
    ]
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert -1 <= box.x0 <= box.x1 <= width + 1
        assert not [title for title in titles if title.overlaps(box)]


@pytest.mark.parametrize(
    ("n", "shape"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (7, (3, 3))]
)
def test_panels_fill_lines_of_three_at_most(
    n: int, shape: tuple[int, int], drawn: list[Figure]
) -> None:
    calibration_curves({str(i): bins() for i in range(n)}, "AD")
    (figure,) = drawn
    assert figure.axes[0].get_gridspec().get_geometry() == shape
    assert [axes.get_title() for axes in visible(figure)] == [str(i) for i in range(n)]
    labelled = [axes.get_title() for axes in visible(figure) if axes.get_ylabel()]
    assert labelled == [str(i) for i in range(0, n, shape[1])]


def test_the_mean_curve_starts_in_the_corner_and_lies_in_its_band(drawn: list[Figure]) -> None:
    roc_bands({"A": band(), "B": band(n_splits=1, note="")})
    (figure,) = drawn
    both, single = figure.axes
    mean = both.lines[0].get_xydata()
    np.testing.assert_allclose(mean[:2], [[0, 0], [0, 0.3]])
    np.testing.assert_allclose(mean[1:, 1], TPR)
    (filled,) = (c for c in both.collections if isinstance(c, PolyCollection))
    corners = filled.get_paths()[0].vertices
    at_half = corners[np.isclose(corners[:, 0], 0.5), 1]
    assert (at_half.min(), at_half.max()) == pytest.approx((0.6, 0.8))
    assert [text.get_text() for text in both.texts] == ["mean of 10 splits\nAUC 0.68 ± 0.05"]
    assert not single.collections
    assert [text.get_text() for text in single.texts] == ["one split"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["2.5 to 97.5 percentile", "mean", "chance"]


def test_a_panel_without_curves_says_so(drawn: list[Figure]) -> None:
    steps = (np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.5, 1.0]))
    roc_curves({"Configuration A": [steps], "Baseline svm": []})
    full, empty = drawn[0].axes
    assert full.get_title() == "Configuration A"
    assert full.get_legend() is not None
    assert [text.get_text() for text in empty.texts] == ["no test set\nwith both classes"]


def test_calibration_is_drawn_over_the_diagonal(drawn: list[Figure]) -> None:
    calibration_curves({"A": bins()}, "AD")
    (axes,) = drawn[0].axes
    diagonal, marks = axes.lines
    np.testing.assert_allclose(diagonal.get_xydata(), [[0, 0], [1, 1]])
    np.testing.assert_allclose(marks.get_xydata(), [[0.1, 0.0], [0.5, 0.6], [0.9, 1.0]])
    assert axes.get_xlabel() == "predicted probability of AD"
    assert axes.get_ylabel() == "observed share of AD"


def test_a_confusion_matrix_has_true_classes_in_lines(drawn: list[Figure]) -> None:
    confusion_matrices({"A": COUNTS}, NAMES)
    (axes,) = drawn[0].axes
    by_place = {text.get_position(): text for text in axes.texts}
    # x is the predicted class: two controls were taken for MCI
    assert by_place[1, 0].get_text() == "2\n20 %"
    assert by_place[0, 1].get_text() == "1\n10 %"
    assert by_place[2, 2].get_text() == "0\n0 %"  # nobody of that class
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares, [[0.8, 0.2, 0], [0.1, 0.3, 0.6], [0, 0, 0]])


@pytest.mark.parametrize("percent", [0, 30, 60, 70, 72, 80, 100])
def test_numbers_in_a_matrix_can_be_read(percent: int, drawn: list[Figure]) -> None:
    """The contrast that WCAG asks of small letters."""
    confusion_matrices({"A": np.array([[percent, 100 - percent], [0, 1]])}, ("NC", "AD"))
    (axes,) = drawn[0].axes
    image = axes.images[0]
    ground = image.cmap(image.norm(percent / 100))[:3]
    ink = next(text for text in axes.texts if text.get_position() == (0, 0)).get_color()
    light, dark = sorted((_luminance(ground), _luminance(to_rgb(ink))), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def _luminance(rgb: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_balance_has_the_first_covariate_on_top_and_its_signs(drawn: list[Figure]) -> None:
    before, after = np.array([0.8, -0.3, np.nan]), np.array([0.05, 0.1, np.nan])
    balance_dots(["age", "sex = M", "constant"], before, after)
    (axes,) = drawn[0].axes
    hollow, filled = (line for line in axes.lines if line.get_marker() != "None")
    np.testing.assert_allclose(hollow.get_xdata(), before)
    np.testing.assert_allclose(filled.get_xdata(), after)
    assert hollow.get_markerfacecolor() == "white"
    low, high = axes.get_ylim()
    assert low > high  # downwards
    left, right = axes.get_xlim()
    assert left == -right
    assert right > 0.8
    assert [text.get_text() for text in axes.get_yticklabels()] == ["age", "sex = M", "constant"]
    (span,) = axes.patches
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((-0.1, 0.1))


def test_balance_of_nothing_defined_still_has_an_axis(drawn: list[Figure]) -> None:
    balance_dots(["constant"], np.array([np.nan]), np.array([np.nan]))
    assert drawn[0].axes[0].get_xlim() == pytest.approx((-0.224, 0.224))


def test_chance_is_that_of_the_number_of_classes(drawn: list[Figure]) -> None:
    epochs = np.arange(1.0, 4.0)
    run = TrainingRun(
        epoch=epochs,
        train_ce=1 / epochs,
        validation_ce=1 / epochs,
        validation_balanced_accuracy=1 - 0.5 / epochs,
    )
    for chance in (0.5, 1 / 3):
        training_curves({"A": [run]}, chance)
        lower = drawn[-1].axes[1]
        assert [line.get_ydata()[0] for line in lower.lines if line.get_linestyle() == ":"] == [
            pytest.approx(chance)
        ]
