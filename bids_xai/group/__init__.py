"""Group level: one literal table of steps, run in this order, each from files of those before.

A step is a function ``run(context) -> list[Path]``, which returns the files it wrote: it reads
records by ``read(context)``, computes from them without a context, and writes.
"""

from __future__ import annotations

STEPS: dict[str, str] = {
    "cohort": "bids_xai.group.cohort.step:run",
    "qc": "bids_xai.group.qc.step:run",
    "train": "bids_xai.group.train.step:run",
    "baselines": "bids_xai.group.baselines.step:run",
    "explain": "bids_xai.group.explain.step:run",
    "atlas": "bids_xai.group.atlas.step:run",
    "trust": "bids_xai.group.trust.step:run",
    "spray": "bids_xai.group.spray.step:run",
    "report": "bids_xai.group.report:run",
}

FORMER_STEPS: dict[str, str] = {"quality": "trust"}
"""Former names of steps, which the command line still takes."""
