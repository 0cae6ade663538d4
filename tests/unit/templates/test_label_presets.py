"""Label tables as they come with Neuromorphometrics, AAL and JHU, and their sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.core.regions.names import joined_regions, single_regions
from bids_xai.templates.label_tables import read_label_table

NEUROMORPHOMETRICS = {
    4: "3rd Ventricle",
    23: "Right Accumbens Area",
    30: "Left Accumbens Area",
    100: "Right ACgG anterior cingulate gyrus",
    101: "Left ACgG anterior cingulate gyrus",
}
AAL = {1: "Precentral_L", 2: "Precentral_R", 109: "Vermis_1_2"}
JHU = {
    4: "Body of corpus callosum",
    39: "Fornix (cres) / Stria terminalis R",
    40: "Fornix (cres) / Stria terminalis L",
}


def _xml(kind: str, labels: dict[int, str], shift: int = 0) -> str:
    lines = "".join(
        f'<label index="{i - shift}" x="1" y="2" z="3">{n}</label>\n' for i, n in labels.items()
    )
    header = f"<header><name>a</name><type>{kind}</type></header>"
    start = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    return f"{start}<atlas>{header}<data>\n{lines}</data></atlas>"


def _spm(labels: dict[int, str]) -> str:
    lines = "".join(
        f"<label><index>{i}</index><name>{n}</name></label>\n" for i, n in labels.items()
    )
    return f"<atlas><header><source>x</source></header><data>\n<!-- -->\n{lines}</data></atlas>"


def _cat12(labels: dict[int, str], more: str = "") -> str:
    head = f"ROIid;ROIabbr;ROIname{';ROIcolor' if more else ''}\n"
    lines = [f"{i};r{i};{n}{more}" for i, n in ({0: "Background"} | labels).items()]
    return head + "\n".join(lines) + "\n"


PRESETS = {
    "neuromorphometrics, SPM12": ("labels.xml", _spm(NEUROMORPHOMETRICS), NEUROMORPHOMETRICS),
    "neuromorphometrics, CAT12": ("n.csv", _cat12(NEUROMORPHOMETRICS), NEUROMORPHOMETRICS),
    "neuromorphometrics, CAT12 with colours": (
        "n.csv",
        _cat12(NEUROMORPHOMETRICS, ";203 142 203"),
        NEUROMORPHOMETRICS,
    ),
    "AAL, MRIcron": (
        "aal.nii.txt",
        "1 Precentral_L 2001\n2 Precentral_R 2002\n109 Vermis_1_2 9100\n",
        AAL,
    ),
    "AAL3": ("AAL3v1.nii.txt", "1 Precentral_L 1\n2 Precentral_R 2\n109 Vermis_1_2 109\n", AAL),
    "AAL, SPM8": (
        "ROI_MNI_V4.txt",
        "FAG\tPrecentral_L\t2001\nFAD\tPrecentral_R\t2002\n",
        {2001: "Precentral_L", 2002: "Precentral_R"},
    ),
    "AAL, SPM12": ("AAL.xml", _spm(AAL), AAL),
    "JHU labels, FSL": ("JHU-labels.xml", _xml("Label", {0: "Unclassified", **JHU}), JHU),
    "JHU tracts, FSL (so spelt)": ("JHU-tracts.xml", _xml("Probabalistic", JHU, 1), JHU),
    "JHU, 3D Slicer": (
        "JHU_SlicerLUT.txt",
        "0 Background 0 0 0 0\n1 SUPERIOR_PARIETAL_LOBULE_left 255 0 0 255\n"
        "2 SUPERIOR_PARIETAL_LOBULE_right 0 255 0 255\n",
        {1: "SUPERIOR_PARIETAL_LOBULE_left", 2: "SUPERIOR_PARIETAL_LOBULE_right"},
    ),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(tmp_path: Path, preset: str) -> None:
    name, text, expected = PRESETS[preset]
    (tmp_path / name).write_text(text)
    assert read_label_table(tmp_path / name) == expected


def test_their_sides_are_joined() -> None:
    found = joined_regions(tuple(NEUROMORPHOMETRICS.items()))
    assert [(r.index, r.name, r.hemisphere) for r in found] == [
        (4, "3rd Ventricle", ""),
        (23, "Accumbens Area", "both"),
        (100, "ACgG anterior cingulate gyrus", "both"),
    ]
    assert [r.name for r in joined_regions(tuple(AAL.items()))] == ["Precentral", "Vermis_1_2"]
    names = [r.name for r in joined_regions(tuple(JHU.items()))]
    assert names == ["Body of corpus callosum", "Fornix (cres) / Stria terminalis"]
    assert [r.hemisphere for r in single_regions(tuple(JHU.items()))] == ["", "R", "L"]
