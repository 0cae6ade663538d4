"""Step ``trust``: can the heatmaps be trusted? Perturbation, random weights, truth, sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

import bids_xai
from bids_xai.bids.names import scan_name
from bids_xai.bids.stamps import fingerprint
from bids_xai.group.context import LOG, GroupContext, Scan, read_rows, write_table
from bids_xai.group.scans import known_scan
from bids_xai.group.trust.conservation import CONSERVATION_COLUMNS, layer_rows, map_rows
from bids_xai.group.trust.localization import (
    LOCALIZATION_COLUMNS,
    localization_rows,
    template_of,
    truth_files,
    truth_folder,
)
from bids_xai.group.trust.perturbation import AOPC_COLUMNS, curve_rows
from bids_xai.group.trust.randomization import RANDOMIZATION_COLUMNS, randomization_rows
from bids_xai.group.trust.scans import (
    Explained,
    Job,
    Row,
    chosen,
    explains_its_prediction,
    jobs_of,
    part,
    scans_by_name,
)
from bids_xai.group.trust.verdicts import (
    SUMMARY_COLUMNS,
    aopc_verdicts,
    conservation_verdicts,
    localization_verdicts,
    network_verdicts,
    randomization_verdicts,
)
from bids_xai.runtime.progress import Progress
from bids_xai.templates.grid import load_template_grid

_TABLES = {
    "aopc": AOPC_COLUMNS,
    "randomization": RANDOMIZATION_COLUMNS,
    "localization": LOCALIZATION_COLUMNS,
    "conservation": CONSERVATION_COLUMNS,
}
_OF_CURVES = (
    "cube_mm",
    "stride_mm",
    "placement",
    "ordering",
    "steps",
    "cubes_per_step",
    "random_orders",
    "noise_draws",
)


def run(context: GroupContext) -> list[Path]:
    """Check the heatmaps; write ``quality/`` with a table a check and ``summary.tsv``.

    Raises :class:`NoInputError` where the heatmaps are not made yet.
    """
    rows = [
        row
        for row in read_rows(context.folder / "predictions.tsv", "explain")
        if row["relevance"] != "n/a"  # baselines have no heatmap
    ]
    torch.set_num_threads(context.settings.training_threads)
    checks = _Checks(context, Progress("networks", len(jobs_of(rows))))
    for configuration in dict.fromkeys(row["configuration"] for row in rows):
        checks.add([row for row in rows if row["configuration"] == configuration])
    found, folder, written = checks.tables, context.folder / "quality", list[Path]()
    for name, columns in _TABLES.items():
        written += write_table(folder / f"{name}.tsv", found[name], columns)
    summary = [
        *network_verdicts(rows, context.study.target),
        *aopc_verdicts(found["aopc"]),
        *randomization_verdicts(found["randomization"]),
        *localization_verdicts(found["localization"]),
        *conservation_verdicts(found["conservation"]),
    ]
    _say(summary)
    return [*written, *write_table(folder / "summary.tsv", summary, SUMMARY_COLUMNS)]


class _Checks:
    """All checks of one configuration after the other; what is up to date is read, not made."""

    def __init__(self, context: GroupContext, watch: Progress) -> None:
        self.context, self.seed = context, context.settings.random_seed
        self._watch = watch
        self.tables: dict[str, list[Row]] = {name: [] for name in _TABLES}
        self._every = context.scans()
        self._ways = {way.name: way for way in context.requests()}
        self._truth = truth_folder(context)
        self._grid = load_template_grid(context.template) if context.template else None

    def add(self, rows: list[Row]) -> None:
        """Check the heatmaps of one configuration."""
        quality, jobs = self.context.study.quality, jobs_of(rows)
        scans = scans_by_name(self.context, rows[0]["configuration"], self._every)
        for row in rows:
            known_scan(self.context.folder, scans, scan_name(Path(row["relevance"]).name))
        perturbed = chosen(jobs, quality.scans, self.seed, explains_its_prediction)
        explained = chosen(jobs, quality.randomization_scans, self.seed)
        for job in jobs:
            network = _Lazily(
                partial(Explained, self.context, job.configuration, job.split, scans, self._grid)
            )
            for one in perturbed:
                if one.split == job.split:
                    self._curves(one, network, scans)
            few = next((one for one in explained if one.split == job.split), job.of(()))
            if few.rows:
                self._random(few, network, scans)
            self._sums(job, few, network, scans)
            self._localize(job, scans)
            self._watch.step()

    def _curves(self, job: Job, network: _Lazily, scans: Mapping[str, Scan]) -> None:
        quality = self.context.study.quality

        def make() -> list[dict[str, Any]]:
            _say_what("perturbing", job)
            return curve_rows(network(), job, quality, self.seed)

        self._part(
            "aopc",
            job,
            self._files(job, scans),
            make,
            {key: getattr(quality, key) for key in _OF_CURVES},
        )

    def _random(self, job: Job, network: _Lazily, scans: Mapping[str, Scan]) -> None:
        def make() -> list[dict[str, Any]]:
            _say_what("with random weights", job)
            return randomization_rows(network(), job, self._ways, self.seed, without)

        without = self.context.study.quality.randomization_without
        self._part("randomization", job, self._files(job, scans), make, {"without": without})

    def _sums(self, job: Job, few: Job, network: _Lazily, scans: Mapping[str, Scan]) -> None:
        def make() -> list[dict[str, Any]]:
            layers = layer_rows(network(), few, self._ways) if few.rows else []
            return [*map_rows(job, self._ways, self.context.study.target), *layers]

        self._part("conservation", job, self._files(few, scans), make, {"few": list(few.rows)})

    def _localize(self, job: Job, scans: Mapping[str, Scan]) -> None:
        root = self._truth
        if root is None:
            return
        template = template_of(self.context, job)
        files = [
            file
            for name in job.rows
            for those in truth_files(root, scans[name], template).values()
            for file in those
        ]
        if not files:
            LOG.warning(
                "no true region of any scan of configuration %s in %s", job.configuration, root
            )
            return
        files += [self.context.folder / row["relevance"] for row in job.every_row]
        self._part(
            "localization",
            job,
            files,
            lambda: localization_rows(self.context, job, scans, root),
            {"tolerance_mm": self.context.study.quality.tolerance_mm},
        )

    def _files(self, job: Job, scans: Mapping[str, Scan]) -> list[Path]:
        """What goes in: the network, the inputs and the heatmaps of the scans."""
        model = self.context.model_folder(job.configuration, job.split) / "model.safetensors"
        inputs = [f for name in job.rows for f in (scans[name].map_file, scans[name].mask_file)]
        heatmaps = [self.context.folder / row["relevance"] for row in job.every_row]
        return [model, *inputs, *heatmaps]

    def _part(
        self,
        name: str,
        job: Job,
        files: Iterable[Path],
        make: Callable[[], list[dict[str, Any]]],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        everything = {
            "rows": job.every_row,
            "seed": self.seed,
            "version": bids_xai.__version__,
            "attribution": asdict(self.context.study.attribution),
            "options": options,
        }
        digest = fingerprint(files, everything)
        self.tables[name] += part(self.context, job, name, digest, _TABLES[name], make)


class _Lazily:
    """A network that is loaded where it is needed, once."""

    def __init__(self, load: Callable[[], Explained]) -> None:
        self._load = load
        self._network: Explained | None = None

    def __call__(self) -> Explained:
        self._network = self._network or self._load()
        return self._network


def _say_what(doing: str, job: Job) -> None:
    LOG.info("%s: %d scans of %s, split %d", doing, len(job.rows), job.configuration, job.split)


def _say(summary: list[dict[str, Any]]) -> None:
    """Log which networks are constant, and how many checks passed."""
    for row in summary:
        if row["passed"] is False and row["check"] == "network":
            LOG.warning(
                "configuration %s, split %s: %s", row["configuration"], row["split"], row["verdict"]
            )
    passed = [row["passed"] for row in summary]
    LOG.info(
        "checks of the heatmaps: %d passed, %d failed, %d cannot be told (summary.tsv)",
        passed.count(True),
        passed.count(False),
        passed.count(None),
    )
