"""Tables of what every classifier says of its test scans, and how right it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_xai.bids.names import scan_name
from bids_xai.tables.cohort import ScanRow
from bids_xai.tables.table import Table, column, more_columns


@dataclass(frozen=True, kw_only=True)
class Prediction(ScanRow):
    """A heatmap of a test scan with what its network says; of a baseline without a heatmap."""

    configuration: str = column("Configuration or baseline of the study")
    split: int = column("Number of the split, from 0")
    method: str | None = column(
        "Attribution method, or the study's name of a variant; n/a for a baseline"
    )
    relevance_class: str | None = column("Class explained, all for the full softmax vector")
    set_name: str = column("Set of the split the scan is in", name="set")
    true_class: str = column("Class of the participant")
    predicted_class: str = column("Class with the highest probability")
    probability: float = column("Probability of the positive class")
    outcome: str = column("TP, FP, TN or FN")
    relevance_sum: float | None = column(
        "Sum of the relevance map on the network's grid, before any warp"
    )
    warped_sum: float | None = column("Sum of the relevance map on the template grid")
    inner_mask_share: float | None = column("Share of relevance inside the brain mask")
    floor_share: float | None = column(
        "Share of the relevance that z+ spreads evenly over the inputs of units which biases alone "
        "make active; n/a for other methods",
        default=None,
    )
    heatmap: Path | None = column(
        "Relevance map on the network's grid, relative to the study's folder", name="relevance"
    )
    warped_heatmap: Path | None = column(
        "Relevance map on the template grid, relative to the study's folder", name="warped"
    )
    class_probabilities: Mapping[str, float | None] = more_columns(
        "probability_", "Probability of class {}"
    )

    @property
    def scan(self) -> str:
        """The scan, as its files are named; empty for a baseline, whose table has it."""
        return "" if self.heatmap is None else scan_name(self.heatmap.name)


@dataclass(frozen=True, kw_only=True)
class BaselinePrediction(ScanRow):
    """What a baseline says of a test scan."""

    scan: str = column("Name of the scan, which distinguishes runs of a session")
    configuration: str = column("Baseline of the study")
    split: int = column("Number of the split, from 0")
    method: str | None = column("n/a: baselines are not explained")
    set_name: str = column("Set of the split the scan is in", name="set")
    true_class: str = column("Class of the participant")
    predicted_class: str = column("Class with the highest probability")
    probability: float = column(
        "Probability of the positive class if the classes were equally frequent"
    )
    outcome: str = column("TP, FP, TN or FN")
    parameters: str = column(
        "Parameters chosen by cross-validation within train and validation: penalty C"
        " and gamma of the radial kernel (both for features of total variance 1), "
        "principal components",
        name="chosen",
    )
    class_probabilities: Mapping[str, float | None] = more_columns(
        "probability_", "Probability of class {}"
    )


@dataclass(frozen=True, kw_only=True)
class Performance:
    """How well a configuration or baseline does on the test scans of a split."""

    configuration: str = column("Configuration or baseline of the study")
    split: int = column("Number of the split, from 0")
    n_test: int = column("Number of test scans")
    accuracy: float | None = column("Share of scans classified correctly")
    balanced_accuracy: float | None = column(
        "Mean of the classes' recalls (of two: sensitivity and specificity)"
    )
    macro_auc: float | None = column("Mean of the classes' AUC, each against all others")
    sensitivity: float | None = column("Share of the positive class classified correctly")
    specificity: float | None = column("Share of the others not predicted as the positive class")
    auc: float | None = column(
        "Area under the receiver operating characteristic curve of the positive class"
    )
    tp: int | None = column("True positives")
    fp: int | None = column("False positives")
    tn: int | None = column("True negatives")
    fn: int | None = column("False negatives")
    epochs: int | None = column("Epochs until training ended; n/a for a baseline")
    seconds: float | None = column("Duration of the training in s; n/a for a baseline", unit="s")


@dataclass(frozen=True, kw_only=True)
class PerformanceSummary:
    """A measure of a configuration over its splits."""

    configuration: str = column("Configuration or baseline of the study")
    metric: str = column("Column of performance.tsv")
    mean: float | None = column("Mean over splits")
    sd: float | None = column("Standard deviation over splits")
    percentile_2_5: float | None = column("2.5th percentile over splits")
    percentile_97_5: float | None = column("97.5th percentile over splits")
    n_splits: int = column("Number of splits that have the metric")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two configurations on the same participants and splits."""

    configuration_a: str = column("First configuration")
    configuration_b: str = column("Second configuration")
    n: int = column("Number of participants tested by both (each counted once, in its first split)")
    only_a_correct: int = column("Correct in the first only")
    only_b_correct: int = column("Correct in the second only")
    p_value: float | None = column("Exact McNemar test, two-sided")
    p_holm: float | None = column("p_value after Holm's correction over all pairs")
    n_splits: int = column("Splits in which both were tested")
    mean_difference: float | None = column(
        "Mean over splits of the difference in balanced accuracy, a minus b"
    )
    p_wilcoxon: float | None = column(
        "Wilcoxon signed-rank test over splits of balanced accuracy, two-sided. "
        "Splits share participants, so it is too optimistic"
    )
    p_wilcoxon_holm: float | None = column("p_wilcoxon after Holm's correction over all pairs")


@dataclass(frozen=True, kw_only=True)
class RocPoint:
    """A point of the mean receiver operating characteristic curve."""

    configuration: str = column("Configuration or baseline of the study")
    fpr: float = column("False positive rate")
    tpr: float | None = column("True positive rate, mean over splits")
    percentile_2_5: float | None = column("2.5th percentile of the true positive rate over splits")
    percentile_97_5: float | None = column(
        "97.5th percentile of the true positive rate over splits"
    )
    n_splits: int = column("Splits with both classes among the test scans")


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Predicted and observed share of the positive class in a bin of scans."""

    configuration: str = column("Configuration or baseline of the study")
    bin_number: int = column(
        "Number of the bin, from 1; bins have equally many test scans, all splits together",
        name="bin",
    )
    n: int = column("Scans in the bin")
    predicted: float | None = column("Mean predicted probability of the positive class")
    observed: float | None = column("Share of the positive class")
    brier: float | None = column("Brier score of the configuration")
    expected_error: float | None = column("Expected calibration error of the configuration")


@dataclass(frozen=True, kw_only=True)
class ConfusionCell:
    """How often a class is taken for another or for itself."""

    configuration: str = column("Configuration or baseline of the study")
    true_class: str = column("Class of the participant")
    predicted_class: str = column("Class predicted")
    n: int = column("Test scans, all splits together")


PREDICTIONS = Table("predictions.tsv", Prediction, "explain")
BASELINES = Table("baselines.tsv", BaselinePrediction, "baselines")
PERFORMANCE = Table("performance.tsv", Performance, "explain")
PERFORMANCE_SUMMARY = Table("performance_summary.tsv", PerformanceSummary, "explain")
COMPARISONS = Table("comparisons.tsv", Comparison, "explain")
ROC = Table("roc.tsv", RocPoint, "explain")
CALIBRATION = Table("calibration.tsv", CalibrationBin, "explain")
CONFUSION = Table("confusion.tsv", ConfusionCell, "explain")
