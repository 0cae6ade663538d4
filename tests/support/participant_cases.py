"""A participant whom a model explained, and the study of that model."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import product
from pathlib import Path

from bids_xai.bids.files import write_json
from bids_xai.tables.atlas import GAIN, REGIONS_OF_SCAN, RegionGain, RegionRow
from bids_xai.tables.participant import CLASS_PROBABILITIES, ClassProbability
from bids_xai.tables.predictions import PREDICTIONS, Prediction

SPACE = "MNI152NLin2009aSym"
TAIL = "model-tinyA0_label-all_desc-lrpzplus"
REGIONS = [(i, f"{('Left', 'Right')[i % 2]} part {i // 2}") for i in range(18)]
NEAR = [0.71, 0.75, 0.79, 0.70, 0.7999, 0.72]  # the same tenth as 0.74
CARD = {
    "study": "tiny",
    "configuration": "A",
    "split": 0,
    "classes": ["NC", "AD"],
    "positive": "AD",
    "weights_sha256": "abc",
    "architecture": "graz",
    "input_shape": [4, 5, 6],
    "voxel_mm": None,
    "versions": {"torch": "2.6"},
    "seed": 3,
    "suffix": "R2starmap",
    "space": "T1w",
}


def write_study(out: Path, trained: tuple[str, ...] = ("07",)) -> None:
    """A trained model and the group tables of its study."""
    model = out / "models" / "tiny" / "A" / "split-0"
    write_json(model / "model.json", {**CARD, "training_participants": list(trained)})
    group = out / "group" / "tiny"
    write_json(
        group / "study.json",
        {
            "study": "tiny",
            "classes": ["NC", "AD"],
            "positive": "AD",
            "template": SPACE,
            "settings": {"target": {"column": "diagnosis", "table": "participants"}},
        },
    )
    scans = [*((f"sub-1{i}", p) for i, p in enumerate([*NEAR, 0.8, 0.69, 0.1])), ("sub-01", 0.74)]
    PREDICTIONS.write(
        group / "predictions.tsv",
        [
            prediction(who, c, m, "AD" if i % 3 else "NC", p)
            for c, m, (i, (who, p)) in product("AB", ("lrp-zplus", "saliency"), enumerate(scans))
        ],
    )
    GAIN.write(
        group / "atlas" / "gain.tsv",
        [
            gain(c, i, name, g, merged=merged, low=low, high=high)
            for c, merged, (i, name), (g, low, high) in product(
                "AB",
                (False, True),
                REGIONS,
                (("NC", 1e-6, 4e-6), ("AD", 2e-6, 6e-6), ("TP", 0.0, 1.0)),
            )
        ],
    )


def prediction(who: str, configuration: str, method: str, truth: str, p: float) -> Prediction:
    heatmap = (
        f"x/{who}_space-{SPACE}_res-2_model-tiny{configuration}0_label-all_"
        f"desc-{method.replace('-', '')}_relmap.nii.gz"
    )
    return Prediction(
        participant_id=who,
        session_id=None,
        configuration=configuration,
        split=0,
        method=method,
        relevance_class="all",
        set_name="test",
        true_class=truth,
        predicted_class="AD",
        probability=p,
        outcome="TP",
        relevance_sum=1.0,
        warped_sum=1.0,
        inner_mask_share=0.9,
        heatmap=None,
        warped_heatmap=Path(heatmap),
    )


def gain(
    configuration: str, index: int, name: str, group: str, *, merged: bool, low: float, high: float
) -> RegionGain:
    return RegionGain(
        configuration=configuration,
        method="lrp-zplus",
        atlas="X",
        index=index,
        name=name,
        group=group,
        gain=1.0,
        n=50,
        hemisphere="L",
        merged=merged,
        n_voxels=10,
        n_controls=50,
        mean_sum=1.0,
        mean_abs_sum=1.0,
        mean_density=1e-6,
        mean_share=0.1,
        density_q025=low,
        density_q250=None,
        density_q500=3e-6,
        density_q750=None,
        density_q975=high,
    )


def write_session(out: Path, session: str, shift: float = 0.0, person: str = "01") -> Path:
    """Prediction and regions of one session: densities 0.5e-6, 1.0e-6, … as in REGIONS."""
    name = f"sub-{person}_ses-{session}" if session else f"sub-{person}"
    folder = out / f"sub-{person}" / (f"ses-{session}" if session else "") / "anat"
    CLASS_PROBABILITIES.write(
        folder / f"{name}_model-tinyA0_prediction.tsv",
        [
            ClassProbability(model="tinyA0", class_name=c, probability=p, predicted=c == "AD")
            for c, p in (("NC", 0.26), ("AD", 0.74))
        ],
    )
    write_json(folder / f"{name}_model-tinyA0_prediction.json", {"Model": CARD})
    REGIONS_OF_SCAN.write(
        folder / f"{name}_space-{SPACE}_atlas-X_{TAIL}_regions.tsv",
        [region(i, name, shift) for i, name in REGIONS],
    )
    return folder


def region(index: int, name: str, shift: float) -> RegionRow:
    return RegionRow(
        method="lrp-zplus",
        atlas="X",
        index=index,
        name=name,
        hemisphere="L",
        n_voxels=10,
        sum=1.0,
        abs_sum=1.0,
        density=(0.5 + 0.5 * index + shift) * 1e-6,
        share=0.01 * index,
    )


class Cells(HTMLParser):
    """The lines of every table, cell by cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within in ("td", "th"):
            self.tables[-1][-1][-1] += data


def region_tables(page: str) -> list[list[list[str]]]:
    return [t for t in Cells(page).tables if t[0][0] == "Region" and "Share" in t[0]]
