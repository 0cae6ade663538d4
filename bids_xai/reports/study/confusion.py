"""What is taken for what, where a study has more than two classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.figures.confusion import confusion_matrices
from bids_xai.reports.blocks import Block, TableBlock, embedded
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study_files import StudyFiles, titles_of
from bids_xai.tables.numbers import percent
from bids_xai.tables.predictions import CONFUSION, ConfusionCell


def confusion(study: StudyFiles) -> list[Block]:
    """Return the confusion matrices as a figure and as a table of counts."""
    titles, names = titles_of(study), list(study.names)
    by_name = grouped(study.rows(CONFUSION), lambda cell: cell.configuration)
    counts = {name: _square(by_name[name], names) for name in titles if name in by_name}
    if not counts:
        return [study.missing(CONFUSION)]
    image = confusion_matrices({titles[name]: square for name, square in counts.items()}, names)
    described = f"Confusion matrices ({', '.join(counts)}); the table below has their numbers"
    once = "The test sets of all splits together: a scan tested in several splits counts in each."
    caption = f"Rows: true class. Columns: predicted class. {once}"
    rows = [
        (f"{name}, {truth}", *(_of_all(n, line.sum()) for n in line))
        for name, square in counts.items()
        for truth, line in zip(names, square, strict=True)
    ]
    header = ("Id and true class", *(f"Predicted {name}" for name in names))
    return [
        embedded(image, described, caption),
        TableBlock(f"Test scans by true and predicted class. {once}", header, tuple(rows)),
    ]


def _square(cells: Sequence[ConfusionCell], names: Sequence[str]) -> Floats:
    """Test scans by true class (lines) and predicted class, (n_classes, n_classes)."""
    square = np.zeros((len(names), len(names)))
    for cell in cells:
        if cell.true_class in names and cell.predicted_class in names:
            square[names.index(cell.true_class), names.index(cell.predicted_class)] += cell.n
    return square


def _of_all(part: float, whole: float) -> str:
    return f"{part:.0f} ({percent(part / whole if whole else None, 0)})"
