"""What every classifier says of its test scans: whom it tests, and one record a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bids_xai.arrays import Floats64
from bids_xai.group.scans import Scan
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction


def test_scans(
    scans: Sequence[Scan], members: Mapping[str, str], baseline_only: bool
) -> list[Scan]:
    """Return the scans to test: those of the test set.

    members : participant label → set; baseline_only : take the first session alone
    """
    test = [scan for scan in scans if members.get(scan.participant) == "test"]
    if not baseline_only:
        return test
    first: dict[str, str] = {}
    for scan in test:
        first[scan.participant] = min(first.get(scan.participant, scan.session), scan.session)
    return [scan for scan in test if scan.session == first[scan.participant]]


def prediction(
    target: Target, configuration: str, split: int, scan: Scan, probabilities: Floats64
) -> Prediction:
    """Return who was tested, what was predicted and how right it was; without a heatmap.

    configuration : of the study, or a baseline of it
    probabilities : (n_classes,) in the order of the target's classes
    """
    predicted = predicted_class(target, probabilities)
    return Prediction(
        participant_id=scan.participant_id,
        session_id=scan.session_id,
        configuration=configuration,
        split=split,
        method=None,
        relevance_class=None,
        set_name="test",
        true_class=scan.class_name,
        predicted_class=predicted,
        probability=float(probabilities[target.positive_index]),
        outcome=outcome(target, scan.class_name, predicted),
        relevance_sum=None,
        warped_sum=None,
        inner_mask_share=None,
        heatmap=None,
        warped_heatmap=None,
        class_probabilities={
            name: float(probabilities[target.names.index(name)])
            for name in probability_classes(target)
        },
    )


def predicted_class(target: Target, probabilities: Floats64) -> str:
    """Return the most probable class; of two, a tie counts as positive.

    probabilities : (n_classes,) in the order of the target's classes
    """
    if len(target.names) > 2:
        return target.names[int(probabilities.argmax())]
    index = target.positive_index
    return target.names[index if probabilities[index] >= 0.5 else 1 - index]


def outcome(target: Target, true_class: str, predicted: str) -> str:
    """TP, FP, TN or FN of the positive class; FN, too, for another class taken for a third."""
    positive = target.positive_name
    if positive in (true_class, predicted):
        right = "T" if true_class == predicted else "F"
        return right + ("P" if predicted == positive else "N")
    return "TN" if true_class == predicted else "FN"


def probability_classes(target: Target) -> tuple[str, ...]:
    """Return the classes with a column of probabilities: all, where there are more than two."""
    return target.names if len(target.names) > 2 else ()
