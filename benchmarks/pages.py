"""How large the group page of a study is, and how soon a browser shows it.

    python benchmarks/pages.py [--scans 450] [--configurations 3] [--methods 3] [--clusters 6] \
        [--keep FOLDER | --page FILE]

Writes the tables and maps of a made-up study as the group steps would (numbers and smooth maps at
random; nothing is trained), draws its page, prints its bytes and what they are, and opens it from
the file system in headless Chromium with a fresh profile, five times. The times are those of the
browser's navigation timing, from the start of the navigation: when the text was parsed
(domContentLoaded), when everything was loaded (load), and when something was to be seen (first
contentful paint).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from bids_xai.bids.files import write_bytes, write_json, write_nifti
from bids_xai.figures.cluster_tiles import TILE_PX, projection_tile, tile_sheet
from bids_xai.group.context import GroupContext
from bids_xai.reports.study.page import write_group_page
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Attribution, Configuration
from bids_xai.tables import TABLES
from bids_xai.templates.lookup import load_template

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from browser import CHROMIUM
from prediction_rows import write_performance_of
from study_tables import write_rows

NAME, CLASSES, SPLITS, REGIONS = "paper", ("NC", "AD"), 10, 60
OUTCOMES = {("NC", "NC"): "TN", ("NC", "AD"): "FP", ("AD", "AD"): "TP", ("AD", "NC"): "FN"}
METHODS = (
    "lrp-zplus",
    "lrp-alphabeta",
    "saliency",
    "input-x-gradient",
    "guided-backprop",
    "integrated-gradients",
    "smoothgrad",
    "occlusion",
    "lrp-0",
    "lrp-epsilon",
)
RUNS = 5
_PROBE = """<script>
window.addEventListener("load", function () {
  setTimeout(function () {
    var way = performance.getEntriesByType("navigation")[0];
    var paint = performance.getEntriesByName("first-contentful-paint")[0];
    fetch("http://127.0.0.1:%d/", { method: "POST", mode: "no-cors", body: JSON.stringify({
      "first contentful paint": paint ? paint.startTime : null,
      domContentLoaded: way.domContentLoadedEventEnd, load: way.loadEventEnd }) });
  }, 2000);
});
</script>"""

Row = dict[str, Any]
FILES = {
    entry.file: entry
    for module, names in TABLES.items()
    for entry in (getattr(import_module(module), name) for name in names)
}


def table(path: Path, rows: Iterable[Row]) -> None:
    """Write a table, with what is empty in the columns that the rows lack."""
    write_rows(FILES[path.name], path.parent, rows)


class Made:
    """The folder of a study: who is tested, and every file that the page is drawn from."""

    def __init__(self, out: Path, chosen: argparse.Namespace) -> None:
        self.rng = np.random.default_rng(0)
        self.chosen = chosen
        self.ids = [f"C{i}" for i in range(1, chosen.configurations + 1)]
        self.methods = METHODS[: chosen.methods]
        self.template = load_template(OutputSpace(EMBEDDED_TEMPLATE, 2))
        self.brain = self.template.mask.data > 0
        self.study = dataclasses.replace(
            load_study("quick"),
            name=NAME,
            attribution=Attribution(methods=self.methods),
            configurations=tuple(Configuration(i) for i in self.ids),
        )
        self.context = GroupContext(RunSettings(out / "raw", out, "group"), self.study, "")
        self.folder = self.context.folder
        self.scans = [
            {"participant_id": f"sub-{i:04d}", "session_id": "n/a", "class": CLASSES[i % 2]}
            for i in range(chosen.scans)
        ]

    def write(self) -> None:
        """Write everything."""
        self.cohort()
        rows = self.predictions()
        self.training()
        self.regions(rows)
        self.quality()
        self.means()
        spray = {}
        for identifier, space in product(self.ids, ("T1w", "template")):
            spray[f"{identifier}_{space}"] = self.spray(identifier, space, rows)
        table(
            self.folder / "spray" / "verdicts.tsv",
            (
                {
                    "configuration": c,
                    "space": s,
                    "cluster": k + 1,
                    "finding": "suspicious" if k == 0 else "diagnosis",
                    "verdict": f"Cluster {k + 1} (75 scans, stability 0.81) "
                    "goes with the diagnosis.",
                    "examples": "sub-0001,sub-0002",
                }
                for c, s, k in product(self.ids, ("T1w", "template"), range(self.chosen.clusters))
            ),
        )
        write_json(
            self.folder / "study.json",
            {
                "study": NAME,
                "template": EMBEDDED_TEMPLATE,
                "resolution": 2,
                "classes": list(CLASSES),
                "positive": "AD",
                "method": self.methods[0],
                "seed": 0,
                "atlas": "TissueNuclei",
                "configurations": [{"id": i} for i in self.ids],
                "versions": {"bids_xai": "0", "torch": "0"},
                "settings": self.study.as_plain(),
                "spray": spray,
            },
        )

    def cohort(self) -> None:
        """Who is in, and who is in which set."""
        rng = self.rng
        table(
            self.folder / "cohort.tsv",
            (
                one
                | {
                    "included": True,
                    "reason": None,
                    "age": float(rng.integers(55, 85)),
                    "sex": "FM"[i % 3 == 0],
                }
                for i, one in enumerate(self.scans)
            ),
        )
        sets = ("train", "train", "train", "validation", "test")
        table(
            self.folder / "splits.tsv",
            (
                {"participant_id": one["participant_id"], "split": k, "set": sets[(i + k) % 5]}
                for k in range(SPLITS)
                for i, one in enumerate(self.scans)
            ),
        )

    def predictions(self) -> list[Row]:
        """Every scan is tested once; returns a line a configuration and scan."""
        rows = []
        for identifier, (i, one) in product(self.ids, enumerate(self.scans)):
            centre = 0.65 if one["class"] == "AD" else 0.35
            p = float(np.clip(self.rng.normal(centre, 0.2), 0, 1))
            said = CLASSES[int(p >= 0.5)]
            rows.append(
                {
                    "participant_id": one["participant_id"],
                    "session_id": "n/a",
                    "configuration": identifier,
                    "split": i * SPLITS // len(self.scans),
                    "method": self.methods[0],
                    "true_class": one["class"],
                    "predicted_class": said,
                    "probability": p,
                    "outcome": OUTCOMES[one["class"], said],
                    "inner_mask_share": float(self.rng.uniform(0.5, 1)),
                }
            )
        table(self.folder / "predictions.tsv", rows)
        write_performance_of(self.context, rows)
        return rows

    def training(self) -> None:
        """Curves of 60 epochs a split."""
        for identifier, split in product(self.ids, range(SPLITS)):
            path = self.context.model_folder(identifier, split) / "training.tsv"
            table(
                path,
                (
                    {
                        "epoch": e,
                        "train_ce": 1 / e + 0.02 * self.rng.random(),
                        "validation_ce": 1.1 / e + 0.1 * self.rng.random(),
                        "validation_balanced_accuracy": 1 - 0.5 / e,
                        "inner_mask_share": 1 - 0.6 / e,
                    }
                    for e in range(1, 61)
                ),
            )

    def regions(self, rows: list[Row]) -> None:
        """Relevance by region: of scans, of groups, and how far it agrees."""
        rng, atlas = self.rng, {"atlas": "TissueNuclei"}
        names = [f"Left region {i}" for i in range(REGIONS)]
        first = self.methods[0]
        table(
            self.folder / "atlas" / "regions.tsv",
            (
                {
                    "participant_id": one["participant_id"],
                    "session_id": "n/a",
                    "configuration": one["configuration"],
                    "split": one["split"],
                    "method": first,
                    **atlas,
                    "index": i,
                    "name": name,
                    "n_voxels": 50 + i,
                    "sum": float(rng.exponential()),
                    "true_class": one["true_class"],
                }
                for one in rows
                for i, name in enumerate(names)
            ),
        )
        table(
            self.folder / "atlas" / "gain.tsv",
            (
                {
                    "configuration": c,
                    "method": m,
                    **atlas,
                    "index": i,
                    "name": name,
                    "group": g,
                    "merged": False,
                    "n": 200,
                    "n_voxels": 50 + i,
                    "gain": float(rng.random()),
                    "mean_sum": float(rng.random()),
                    "mean_density": float(rng.random()),
                    "mean_share": float(rng.random()),
                }
                for c, m, g in product(self.ids, self.methods, CLASSES)
                for i, name in enumerate(names)
            ),
        )
        measures = ("top10_sum", "top10_density", "top10_gain", "iou_0.1", "ssim", "spearman")
        splits = list(product(self.ids, self.methods, [(0, 1), (0, 2), (1, 2)]))
        pairs = [("splits", c, m, a, b) for c, m, (a, b) in splits]
        pairs += [
            ("methods", c, None, a, b)
            for c in self.ids
            for a, b in product(self.methods, repeat=2)
            if a < b
        ]
        pairs += [
            ("configurations", None, m, a, b)
            for m in self.methods
            for a, b in product(self.ids, repeat=2)
            if a < b
        ]
        table(
            self.folder / "atlas" / "overlap.tsv",
            (
                {
                    "comparison": kind,
                    "configuration": c,
                    "method": m,
                    "group": g,
                    "a": a,
                    "b": b,
                    "atlas": "TissueNuclei" if measure.startswith("top") else None,
                    "merged": "false" if measure.startswith("top") else None,
                    "metric": measure,
                    "value": float(rng.random()),
                }
                for (kind, c, m, a, b), g, measure in product(pairs, CLASSES, measures)
            ),
        )

    def quality(self) -> None:
        """Verdicts, perturbation curves of 20 scans, the check by random weights of 5."""
        rng, folder = self.rng, self.folder / "quality"
        every = list(product(self.ids, self.methods))
        table(
            folder / "summary.tsv",
            (
                {
                    "configuration": c,
                    "split": None,
                    "method": m,
                    "check": check,
                    "region": None,
                    "passed": check != "conservation",
                    "verdict": f"{check}: 0.31 of 0.5",
                }
                for (c, m), check in product(every, ("aopc", "randomization", "conservation"))
            ),
        )
        table(
            folder / "aopc.tsv",
            (
                {
                    "configuration": c,
                    "split": 0,
                    "method": m,
                    "participant_id": f"sub-{i:04d}",
                    "session_id": None,
                    "order": order,
                    "step": k,
                    "aopc": height * k / 20 + 0.02 * rng.random(),
                }
                for (c, m), i, (order, height), k in product(
                    every, range(20), (("morf", 0.4), ("random", 0.2), ("lerf", 0.0)), range(21)
                )
            ),
        )
        table(
            folder / "randomization.tsv",
            (
                {
                    "configuration": c,
                    "split": 0,
                    "method": m,
                    "participant_id": f"sub-{i:04d}",
                    "session_id": None,
                    "mode": mode,
                    "layer": f"{k} Conv3d",
                    **{name: float(rng.random()) for name in ("ssim", "spearman", "spearman_abs")},
                }
                for (c, m), i, mode, k in product(
                    every, range(5), ("cascading", "independent"), range(10)
                )
            ),
        )

    def blobs(self, n: int, signed: bool = False) -> np.ndarray:
        """A smooth map of n hot spots in the brain, with fine grain as heatmaps have it."""
        volume = np.zeros(self.brain.shape, np.float32)
        places = np.argwhere(self.brain)
        chosen = places[self.rng.integers(len(places), size=n)]
        volume[tuple(chosen.T)] = self.rng.exponential(size=n)
        smooth = gaussian_filter(volume, 3) + 0.3 * gaussian_filter(volume, 1)
        grain = self.rng.random(volume.shape, dtype=np.float32)
        found = smooth * (0.5 + grain) * self.brain
        return found * np.where(grain > 0.4, 1, -1) if signed else found

    def means(self) -> None:
        """Mean maps of classes and outcomes, and of the positive class by every method."""
        affine = self.template.brain.affine
        for identifier, group in product(self.ids, (*CLASSES, "TP", "FN", "TN", "FP")):
            path = self.folder / "means" / f"configuration-{identifier}_group-{group}_mean.nii.gz"
            write_nifti(path, self.blobs(200), affine)
        for identifier, method in product(self.ids, self.methods[1:]):
            label = "".join(c for c in method if c.isalnum())
            stem = f"configuration-{identifier}_group-AD_desc-{label}_mean"
            path = self.folder / "means" / f"{stem}.nii.gz"
            write_nifti(path, self.blobs(200, signed=True), affine)
            write_json(path.with_name(f"{stem}.json"), {"Method": method})

    def spray(self, identifier: str, space: str, rows: list[Row]) -> Row:
        """One analysis: clusters, embedding, eigenvalues, pictures, mean maps."""
        folder, rng = self.folder / "spray" / f"{identifier}_{space}", self.rng
        mine = [row for row in rows if row["configuration"] == identifier]
        cluster = rng.integers(1, self.chosen.clusters + 1, size=len(mine))
        centres = rng.normal(scale=6, size=(self.chosen.clusters + 1, 2))
        about = [
            {
                "participant_id": row["participant_id"],
                "session_id": "n/a",
                "split": row["split"],
                "cluster": int(k),
                "true_class": row["true_class"],
                "outcome": row["outcome"],
                "probability": row["probability"],
                "stability": 0.8,
                "scan": row["participant_id"],
            }
            for row, k in zip(mine, cluster, strict=True)
        ]
        table(folder / "clusters.tsv", about)
        table(
            folder / "embedding.tsv",
            (
                one | dict(zip("xy", centres[one["cluster"]] + rng.normal(size=2), strict=True))
                for one in about
            ),
        )
        values = np.sort(rng.random(20))
        gaps = [*np.diff(values), None]
        table(
            folder / "eigenvalues.tsv",
            (
                {"index": k + 1, "eigenvalue": value, "gap": gap}
                for k, (value, gap) in enumerate(zip(values, gaps, strict=True))
            ),
        )
        kinds = [projection_tile(self.blobs(60), self.brain) for _ in range(20)]
        tiles = [np.roll(kinds[i % 20], i // 20, axis=1) for i in range(len(mine))]
        write_bytes(folder / "mosaics.png", tile_sheet(tiles))
        for k in range(1, self.chosen.clusters + 1):
            write_nifti(
                folder / f"cluster-{k}_mean.nii.gz", self.blobs(100), self.template.brain.affine
            )
        height, width = TILE_PX
        return {
            "n_clusters": self.chosen.clusters,
            "notes": [],
            "tile": {"height": height, "width": width, "tiles": len(mine)},
        }


class Listener(HTTPServer):
    """Waits on this machine for what the page says of its own loading."""

    heard: dict[str, float] | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hears)
        self.timeout = 60.0


class _Hears(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        """Keep the numbers."""
        self.server.heard = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def timing(page: Path) -> dict[str, float]:
    """Milliseconds of one load of a page from the file system, with a fresh profile."""
    probe = page.with_name(f"timed-{page.name}")
    text = page.read_text(encoding="utf-8")
    with Listener() as listener, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        script = _PROBE % listener.server_port
        probe.write_text(text.replace("</body>", f"{script}</body>", 1), encoding="utf-8")
        browser = subprocess.Popen(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--window-size=1200,900",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                probe.as_uri(),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            listener.handle_request()
        finally:
            browser.terminate()
            browser.wait()
            probe.unlink()
    if listener.heard is None:
        raise RuntimeError("the browser did not come to the end of the page")
    return listener.heard


def contents(page: Path) -> dict[str, int]:
    """Bytes of the page by what they are."""
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/(png|svg\+xml);base64,([^"]*)"', text)
    found = {
        kind: sum(len(data) for k, data in pictures if k == kind) for kind in ("png", "svg+xml")
    }
    found["explorer"] = sum(map(len, re.findall(r"<script.*?</script>", text, re.S)))
    found["all"] = page.stat().st_size
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=450)
    parser.add_argument("--configurations", type=int, default=3)
    parser.add_argument("--methods", type=int, default=3, choices=range(1, len(METHODS) + 1))
    parser.add_argument("--clusters", type=int, default=6)
    parser.add_argument("--page", type=Path, help="time this page alone")
    parser.add_argument("--keep", type=Path, help="write there, and leave it")
    chosen = parser.parse_args()
    if chosen.page:
        say(chosen.page)
        return
    with tempfile.TemporaryDirectory() as temporary:
        out = chosen.keep or Path(temporary)
        started = time.perf_counter()
        Made(out, chosen).write()
        drawn = time.perf_counter()
        page = write_group_page(out, NAME)
        print(f"files {drawn - started:.1f} s, page {time.perf_counter() - drawn:.1f} s")
        say(page)


def say(page: Path) -> None:
    """Print what a page holds and how soon it is there."""
    print("bytes: " + ", ".join(f"{k} {n / 1e6:.2f} MB" for k, n in contents(page).items()))
    if CHROMIUM is None:
        print("no Chromium: loading is not timed")
        return
    loads = [timing(page) for _ in range(RUNS)]
    for name in loads[0]:
        values = [one[name] for one in loads if one[name] is not None]
        if values:
            middle, most = statistics.median(values), max(values)
            print(f"{name}: median {middle:.0f} ms, highest of {RUNS} {most:.0f} ms")


if __name__ == "__main__":
    main()
