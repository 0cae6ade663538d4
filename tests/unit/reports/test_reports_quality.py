"""Quality of a session on its page: the table, the sentences on top, and the pictures."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image as mpl_image

from bids_xai.bids.files import write_json, write_nifti, write_text
from bids_xai.errors import BadDataError
from bids_xai.reports.participant import session_pictures as session_module
from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.quality import LOOK_AT, Look, problems, quality_table
from bids_xai.reports.participant.session_pictures import participant_figures, session_figures
from bids_xai.tables.session_quality import QUALITY, Measure, read_quality

SHAPE = (20, 26, 18)
Writer = Callable[[Path, Sequence[tuple[str, str, float]]], None]
T1W = "sub-01_space-MNI152NLin2009aSym_res-2_desc-preproc_T1w"


def affine() -> np.ndarray:
    matrix = np.diag([8.0, 8.0, 8.0, 1.0])
    matrix[:3, 3] = (-80.0, -110.0, -60.0)
    return matrix


def ball(radius: float = 0.8) -> np.ndarray:
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return np.asarray(x**2 + y**2 + z**2 < radius**2)


def measure(
    value: float, low: float = -math.inf, high: float = math.inf, metric: str = "MaskDice"
) -> Measure:
    flagged = not low <= value <= high
    return Measure(T1W, metric, value, low, high, flagged, "overlap <of> masks")


@pytest.mark.parametrize(
    ("one", "limits", "verdict"),
    [
        (measure(0.71, 0.9), "≥ 0.9", "below 0.9"),
        (measure(0.95, 0.9), "≥ 0.9", "within"),
        (measure(200.0, high=150), "≤ 150", "above 150"),
        (measure(2300.0, 700, 2200), "700 to 2200", "above 2200"),
        (measure(500.0, 700, 2200), "700 to 2200", "below 700"),
        (measure(math.nan, 0.9), "≥ 0.9", "undefined"),
        (measure(math.nan), "–", "undefined"),
        (measure(3.0), "–", "no limit"),
    ],
)
def test_limits_and_verdict_in_words(one: Measure, limits: str, verdict: str) -> None:
    assert (one.limits, one.verdict) == (limits, verdict)


def test_a_table_is_read_as_it_was_written(tmp_path: Path, write_qc: Writer) -> None:
    path = tmp_path / "sub-01_qc.tsv"
    write_qc(path, [(T1W, "MaskDice", 0.71), (T1W, "BrainMedian", math.nan)])
    first, second = read_quality(path)
    assert first == Measure(T1W, "MaskDice", 0.71, 0.9, math.inf, True, QUALITY["MaskDice"].meaning)
    assert math.isnan(second.value)
    assert second.flagged


@pytest.mark.parametrize(
    "text",
    [
        "image\tmetric\na\tb\n",
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\na\tb\tx\tn/a\tn/a\ttrue\tm\n",
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\na\tb\t1\tn/a\tn/a\tmaybe\tm\n",
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\na\tb\t1\n",
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    path = write_text(tmp_path / "sub-01_qc.tsv", text)
    with pytest.raises(BadDataError, match=r"damaged.*sub-01_qc\.tsv"):
        read_quality(path)


def test_flagged_lines_come_first_and_are_marked() -> None:
    (table,) = quality_table([measure(0.95, 0.9), measure(0.71, 0.9)])
    assert "1 of 2 metrics" in table.caption  # type: ignore[union-attr]
    first, second = table.rows  # type: ignore[union-attr]
    assert "<strong" in first[0]
    assert "below 0.9" in first[1]
    assert "<strong" not in "".join(second)
    assert "overlap &lt;of&gt; masks" in second[0]  # a phone shows the first column
    assert quality_table([]) == []


def look(desc: str, suffix: str, **entities: str) -> Look:
    return Look(f"{desc} & {suffix}", f"{desc}-{suffix}", {"desc": desc, **entities}, suffix)


def test_a_problem_says_value_limit_meaning_and_where_to_look() -> None:
    (sentence,) = problems(
        [measure(0.71, 0.9), measure(0.95, 0.9)], [look("templatemask", "T1w")], "2"
    )
    assert sentence == (
        "ses-2: MaskDice 0.71 is below 0.9: overlap &lt;of&gt; masks "
        "(space-MNI152NLin2009aSym_res-2_desc-preproc_T1w) — look at "
        '<a href="#templatemask-T1w">templatemask &amp; T1w</a>'
    )
    (sentence,) = problems([measure(math.nan, 0.9)], [])
    assert sentence.startswith("MaskDice is undefined: ")
    assert "look at the image itself" in sentence


def test_the_picture_of_the_very_image_is_pointed_at() -> None:
    pictures = [
        look("registration", "R2starmap", space="T1w"),
        look("registration", "FLAIR", space="T1w"),
        look("registration", "R2starmap", space="T1w", acq="hr"),
        look("brainmask", "T1w"),
    ]
    found = [
        problems([Measure(image, "BrainCovered", 0.1, 0.6, math.inf, True, "m")], pictures)[0]
        for image in ("sub-01_acq-hr_space-T1w_R2starmap", "sub-01_space-T1w_desc-preproc_FLAIR")
    ]
    assert "#registration-R2starmap" in found[0]
    assert "#registration-FLAIR" in found[1]


def test_every_metric_has_a_picture_that_is_drawn() -> None:
    assert set(LOOK_AT) == set(QUALITY)
    known = set(re.findall(r'"desc": "(\w+)"', Path(str(session_module.__file__)).read_text()))
    known |= {"lesion", "lesionfilled"}
    assert {desc for wanted in LOOK_AT.values() for desc in wanted} <= known


def test_flagged_rows_stand_on_top_of_the_page(participant_dir: Path) -> None:
    anat = participant_dir / "sub-01" / "ses-2" / "anat"
    session_figures(participant_dir, {"sub": "01", "ses": "2"})
    page = write_participant_page(participant_dir, "01", ["the fit failed"]).read_text()
    top = page.partition('<h2 id="summary">')[0]
    assert top.index("the fit failed") < top.index("ses-2: MaskDice 0.71 is below 0.9")
    anchor = re.search(r'look at <a href="#([^"]+)"', top)
    assert anchor
    assert f'<span id="{anchor[1]}">' in page
    assert "templatemask" in anchor[1]
    assert "ses-2" in anchor[1]
    for table in anat.glob("*_qc.*"):
        table.unlink()
    page = write_participant_page(participant_dir, "01", []).read_text()
    assert "None reported" in page
    assert page.count("out of the limits</caption>") == 1  # that of session 1
    assert "Quality: not measured." in page


@pytest.fixture
def anat(tmp_path: Path) -> Path:
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    return folder


def put(anat: Path, name: str, data: np.ndarray, units: str = "") -> None:
    write_nifti(anat / f"sub-01_{name}.nii.gz", data, affine())
    if units:
        write_json(anat / f"sub-01_{name}.json", {"Units": units})


def names(paths: list[Path]) -> list[str]:
    return sorted(path.name.removeprefix("sub-01_") for path in paths)


def brain() -> np.ndarray:
    return ball().astype(np.float32)


def test_only_native_maps_make_a_page(anat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    head = ball(radius=0.6)
    put(anat, "R2starmap", rng.uniform(1, 100, SHAPE).astype(np.float32), "1/s")
    put(anat, "S0map", (500.0 * head + rng.uniform(0, 5, SHAPE)).astype(np.float32))
    put(anat, "desc-residual_S0map", np.full(SHAPE, 10, np.float32))
    counted = record(monkeypatch, "map_with_histogram")
    drawn = participant_figures(anat.parents[1], "01")
    assert names(drawn) == ["desc-histogram_R2starmap.png", "desc-residual_S0map.png"]
    (of_map, about), (of_residual, _) = counted
    np.testing.assert_array_equal(of_map[2], head)  # air is not counted
    assert about["counted"] == "voxels with signal"
    assert "no brain mask" in about["title"]
    assert of_residual[0][head].max() == pytest.approx(0.02, rel=0.02)
    assert not of_residual[0][~head].any()
    page = write_participant_page(anat.parents[1], "01", ["no T1w image"]).read_text()
    assert page.count("<img") == 2
    assert "Residuals of the R2* fit over S0" in page


def record(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[tuple, dict]]:  # type: ignore[type-arg]
    """Note the arguments of a drawing function and draw nothing."""
    calls: list[tuple[tuple, dict]] = []  # type: ignore[type-arg]

    def draw(*args: object, **options: object) -> bytes:
        calls.append((args, options))
        return name.encode()

    monkeypatch.setattr(session_module, name, draw)
    return calls


def test_an_s0_map_without_contrast_counts_all_of_it(
    anat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(anat, "R2starmap", np.ones(SHAPE, np.float32))
    put(anat, "S0map", np.ones(SHAPE, np.float32))
    counted = record(monkeypatch, "map_with_histogram")
    participant_figures(anat.parents[1], "01")
    assert counted[0][0][2].all()


def test_only_t1w_makes_a_page(anat: Path) -> None:
    put(anat, "desc-preproc_T1w", brain())
    put(anat, "desc-brain_mask", ball().astype(np.uint8))
    drawn = participant_figures(anat.parents[1], "01")
    assert names(drawn) == ["desc-brainmask_T1w.png"]
    page = write_participant_page(anat.parents[1], "01", []).read_text()
    assert '<th scope="row">desc-preproc_T1w</th>' in page
    assert "No model was applied to this session" in page
    assert "Input map" not in page


def test_every_kind_of_image_gets_its_pictures(anat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesions = np.zeros(SHAPE, np.uint8)
    lesions[12, 15, 7:9] = 1
    put(anat, "desc-preproc_T1w", brain())
    put(anat, "desc-lesionfilled_T1w", 2 * brain())
    put(anat, "desc-brain_mask", ball().astype(np.uint8))
    put(anat, "space-T1w_label-lesion_mask", lesions)
    put(anat, "space-T1w_desc-preproc_FLAIR", brain())
    put(anat, "space-T1w_R1map", brain(), "1/s")
    put(anat, "space-T1w_R2starmap", 20 * brain())  # made elsewhere: there is no native one
    put(anat, "space-T1w_atlas-X_dseg", ball().astype(np.int32))
    histograms, mosaics = (record(monkeypatch, n) for n in ("map_with_histogram", "mosaic"))
    assert names(participant_figures(anat.parents[1], "01")) == [
        "desc-brainmask_T1w.png",
        "desc-lesion_T1w.png",
        "desc-lesionfilled_T1w.png",
        "space-T1w_desc-histogram_R1map.png",
        "space-T1w_desc-histogram_R2starmap.png",
        "space-T1w_desc-registration_FLAIR.png",
        "space-T1w_desc-registration_R1map.png",
        "space-T1w_desc-registration_R2starmap.png",
    ]
    assert [about["label"] for _, about in histograms] == ["R1 (1/s)", "R2* (1/s)"]
    _, (before, outlined), (after, _), *registrations = mosaics
    np.testing.assert_array_equal(outlined["outlines"][0], lesions > 0)
    np.testing.assert_array_equal(outlined["through"], lesions > 0)
    assert after[0].max() == 2 * before[0].max()
    assert all(len(about["outlines"]) == 2 for _, about in registrations)
    page = write_participant_page(anat.parents[1], "01", [])
    assert "FLAIR image on the T1w grid" in page.read_text()
    assert "R1 map on the T1w grid" in page.read_text()


def test_the_outline_follows_the_head_whatever_the_order_of_the_axes(anat: Path) -> None:
    """The same head stored as RAS and as PIL (front and top flipped) gives the same picture."""
    rng = np.random.default_rng(0)
    data = (rng.random(SHAPE) * ball()).astype(np.float32)
    data[:6], data[:, 20:], data[:, :, :5] = 0, 0, 0
    pictures = []
    for turned in (False, True):
        for name, values in (("desc-preproc_T1w", data), ("desc-brain_mask", data > 0)):
            volume, matrix = values.astype(np.float32), affine()
            if turned:
                volume, matrix = _turned(volume, matrix)
            write_nifti(anat / f"sub-01_{name}.nii.gz", volume, matrix)
        (path,) = participant_figures(anat.parents[1], "01")
        pictures.append(mpl_image.imread(io.BytesIO(path.read_bytes()), format="png"))
    assert pictures[0].std() > 0.05
    np.testing.assert_allclose(pictures[0], pictures[1], atol=0.02)


def _turned(data: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First axis to the back, second downwards, third to the left."""
    turned = np.transpose(data, (1, 2, 0))[::-1, ::-1, ::-1]
    new = np.zeros((4, 4))
    for column, axis in enumerate((1, 2, 0)):
        new[:, column] = -matrix[:, axis]
    last = np.array([n - 1 for n in data.shape])
    new[:3, 3] = matrix[:3, :3] @ last + matrix[:3, 3]
    new[3, 3] = 1
    return np.ascontiguousarray(turned), new


def test_the_documentation_states_every_limit() -> None:
    page = Path(__file__).parents[3] / "docs" / "quality.md"
    cells = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| `")]
    stated = {row[0].strip("| `"): row[3] for row in cells if len(row) == 5}
    expected = {
        metric: Measure("", metric, 0.0, limit.low, limit.high, False, "").limits
        for metric, limit in QUALITY.items()
    }
    assert stated == expected
