"""Templates by name: embedded, from a TemplateFlow folder, and what is said where it has none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.errors import BadDataError
from bids_xai.settings import OutputSpace
from bids_xai.templates import embedded
from bids_xai.templates.lookup import load_atlas, load_template

FLOW_HOME = Path(__file__).parents[4] / "shared" / "data" / "templateflow"

needs_flow = pytest.mark.skipif(
    not FLOW_HOME.is_dir(), reason="no ../shared/data/templateflow beside the repository"
)

# TemplateFlow reads its environment when it is imported: every home needs its own process
_LOAD = """
import json, sys
import numpy as np
from bids_xai.errors import UserError
from bids_xai.settings import OutputSpace
from bids_xai.templates.lookup import load_atlas, load_template
def told(volume):
    data = volume.data
    return {"shape": data.shape, "affine": volume.affine.tolist(), "dtype": str(data.dtype),
            "max": float(data.max()), "sum": float(data.sum(dtype=float))}
answers = []
for text in sys.argv[1:]:
    space, answer = OutputSpace.parse(text), {}
    try:
        template = load_template(space)
        answer["brain"], answer["mask"] = told(template.brain), told(template.mask)
        outside = template.brain.data[template.mask.data == 0]
        answer["outside"] = float(np.abs(outside).max())
        atlas = load_atlas(space)
        if atlas is not None:
            x = {}
            for index, name in atlas.labels:
                where = [*np.argwhere(atlas.volume.data == index).mean(0), 1]
                x[name] = float((atlas.volume.affine @ where)[0])
            answer["atlas"] = {"name": atlas.name, "labels": atlas.labels, "x": x,
                               "volume": told(atlas.volume)}
    except UserError as error:
        answer["error"] = {"kind": type(error).__name__, "status": error.status, "text": str(error)}
    answers.append(answer)
print(json.dumps(answers))
"""


def load(home: Path, *spaces: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, *spaces],
        env=os.environ | {
            "TEMPLATEFLOW_HOME": str(home), "TEMPLATEFLOW_AUTOUPDATE": "off",
            "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9",
            "no_proxy": "", "NO_PROXY": "",
        },
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answers, list)
    return answers


def test_the_embedded_template_needs_no_network() -> None:
    for resolution in (2, 3):
        space = OutputSpace("MNI152NLin2009aSym", resolution)
        template = load_template(space)
        assert template.name == "MNI152NLin2009aSym"
        assert len(set(template.brain.data.shape)) == 3
        np.testing.assert_array_equal(
            template.brain.data, np.asarray(embedded.brain(resolution).dataobj)
        )
        np.testing.assert_array_equal(template.brain.affine, template.mask.affine)
        assert set(np.unique(template.mask.data)) == {0, 1}
        assert template.brain.voxel_mm == pytest.approx((resolution,) * 3)


def test_the_embedded_atlas_lies_on_the_templates_grid() -> None:
    space = OutputSpace("MNI152NLin2009aSym", 3)
    atlas, template = load_atlas(space), load_template(space)
    assert atlas is not None
    assert atlas.name == "TissueNuclei"
    np.testing.assert_array_equal(atlas.volume.affine, template.brain.affine)
    assert atlas.volume.data.shape == template.brain.data.shape
    assert atlas.volume.data.dtype == np.int32
    assert {index for index, _ in atlas.labels} == set(np.unique(atlas.volume.data)) - {0}


def test_no_templateflow_is_imported_for_the_embedded_template() -> None:
    code = (
        "import sys; from bids_xai.settings import OutputSpace; "
        "from bids_xai.templates.lookup import load_template; "
        "load_template(OutputSpace('MNI152NLin2009aSym', 4)); print('templateflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def flow(monkeypatch: pytest.MonkeyPatch, folder: Path, **shapes: tuple[int, ...]) -> None:
    """Stand in for TemplateFlow: one image of this shape a suffix and cohort."""
    files: dict[str, list[Path]] = {}
    for key, shape in shapes.items():
        suffix, _, cohort = key.partition("_")
        name = f"tpl-X_{f'cohort-{cohort}_' if cohort else ''}res-02_{suffix}.nii.gz"
        write_nifti(folder / name, np.ones(shape, np.float32), np.eye(4))
        files.setdefault(suffix, []).append(folder / name)

    def get(_: str, **query: Any) -> list[Path]:
        stripped = query["suffix"] == "T1w" and query["desc"] == "brain"
        return [] if stripped else files[query["suffix"]]

    fake = SimpleNamespace(api=SimpleNamespace(get=get))
    monkeypatch.setitem(sys.modules, "templateflow", fake)


def test_head_and_mask_of_different_shapes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow(monkeypatch, tmp_path, mask=(4, 5, 6), T1w=(4, 5, 7))
    with pytest.raises(BadDataError, match=r"different shapes.*T1w\.nii\.gz"):
        load_template(OutputSpace("X"))


def test_templates_with_cohorts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow(monkeypatch, tmp_path, mask_1=(4, 5, 6), mask_2=(4, 5, 6))
    with pytest.raises(BadDataError, match="X has cohorts, which are not supported"):
        load_template(OutputSpace("X"))


@needs_flow
def test_templates_and_atlas_of_a_templateflow_folder() -> None:
    with_atlas, without = load(FLOW_HOME, "MNI152NLin6Asym:res-2", "MNI152NLin2009cAsym:res-1")
    assert with_atlas["brain"]["shape"] == with_atlas["mask"]["shape"] == [91, 109, 91]
    assert with_atlas["brain"]["affine"] == with_atlas["mask"]["affine"]
    assert with_atlas["outside"] < 0.05 * with_atlas["brain"]["max"]
    assert 1.2e6 < with_atlas["mask"]["sum"] * 8 < 2.2e6  # mm³ of an adult's brain
    atlas = with_atlas["atlas"]
    assert atlas["name"] == "HOSPA"
    assert atlas["volume"]["shape"] == [91, 109, 91]
    assert atlas["volume"]["affine"] == with_atlas["brain"]["affine"]
    assert atlas["volume"]["dtype"] == "int32"
    assert len({index for index, _ in atlas["labels"]}) == len(atlas["labels"]) > 15
    sides = {name: x for name, x in atlas["x"].items() if name.startswith(("Left", "Right"))}
    assert len(sides) > 10
    for name, x_mm in sides.items():
        assert (x_mm < 0) == name.startswith("Left"), name
    assert without["brain"]["shape"] == [193, 229, 193]
    assert "atlas" not in without
    assert "error" not in without


@needs_flow
def test_a_head_without_a_brain_image_is_stripped_by_its_mask(tmp_path: Path) -> None:
    name = "tpl-MNI152NLin6Asym"
    (tmp_path / name).mkdir()
    for ending in ("T1w", "desc-brain_mask"):
        file = f"{name}/{name}_res-02_{ending}.nii.gz"
        (tmp_path / file).symlink_to(FLOW_HOME / file)
    (answer,) = load(tmp_path, "MNI152NLin6Asym:res-2")
    assert answer["brain"]["shape"] == [91, 109, 91]
    assert answer["brain"]["max"] > 0
    assert answer["outside"] == 0
    assert "atlas" not in answer


@needs_flow
def test_a_resolution_the_folder_does_not_have_names_both_ways_out() -> None:
    (answer,) = load(FLOW_HOME, "MNI152NLin2009cAsym:res-2")
    _both_ways_out(answer["error"], "MNI152NLin2009cAsym:res-2", FLOW_HOME)


def test_offline_with_an_empty_folder_names_both_ways_out(tmp_path: Path) -> None:
    (answer,) = load(tmp_path, "MNI152NLin2009cAsym")
    _both_ways_out(answer["error"], "MNI152NLin2009cAsym", tmp_path)


def _both_ways_out(error: dict[str, Any], space: str, home: Path) -> None:
    assert (error["kind"], error["status"]) == ("NoInputError", 66)
    for text in (space, str(home), "TEMPLATEFLOW_HOME", "--output-spaces MNI152NLin2009aSym"):
        assert text in error["text"]
    assert "\n" not in error["text"]
