"""What every classifier says of its test scans: whom it tests, and one row a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bids_xai.arrays import Floats64
from bids_xai.group.context import GroupContext, Scan
from bids_xai.studies.tables import Target


def test_scans(
    context: GroupContext, scans: Sequence[Scan], members: Mapping[str, str]
) -> list[Scan]:
    """The scans to test: of the test set, the first session alone where the study says so."""
    test = [scan for scan in scans if members.get(scan.participant) == "test"]
    if not context.study.splits.test_baseline_only:
        return test
    first: dict[str, str] = {}
    for scan in test:
        first[scan.participant] = min(first.get(scan.participant, scan.session), scan.session)
    return [scan for scan in test if scan.session == first[scan.participant]]


def prediction_row(
    context: GroupContext, configuration: str, split: int, scan: Scan, probabilities: Floats64
) -> dict[str, Any]:
    """Return who was tested, what was said and how right it was.

    configuration : of the study, or a baseline of it
    probabilities : (n_classes,) in the order of the study's classes
    """
    target = context.study.target
    predicted = predicted_class(target, probabilities)
    each = zip(target.names, probabilities, strict=True) if len(target.names) > 2 else ()
    return {
        **scan.row,
        "configuration": configuration,
        "split": split,
        "set": "test",
        "true_class": scan.class_name,
        "predicted_class": predicted,
        "probability": float(probabilities[target.positive_index]),
        "outcome": outcome(target, scan.class_name, predicted),
        **{f"probability_{name}": float(p) for name, p in each},
    }


def predicted_class(target: Target, probabilities: Floats64) -> str:
    """Return the most probable class; of two, a tie counts as positive."""
    if len(target.names) > 2:
        return target.names[int(probabilities.argmax())]
    index = target.positive_index
    return target.names[index if probabilities[index] >= 0.5 else 1 - index]


def outcome(target: Target, truth: str, said: str) -> str:
    """TP, FP, TN or FN of the positive class; FN, too, for another class taken for a third."""
    positive = target.positive_name
    if positive in (truth, said):
        return ("T" if truth == said else "F") + ("P" if said == positive else "N")
    return "TN" if truth == said else "FN"


def probability_columns(context: GroupContext) -> dict[str, str]:
    """One column a class, where there are more than two."""
    names = context.study.target.names
    if len(names) == 2:
        return {}
    return {f"probability_{name}": f"Probability of class {name}" for name in names}
