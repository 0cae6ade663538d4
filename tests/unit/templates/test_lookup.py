"""Templates by name: embedded, from a TemplateFlow folder, and what is said where it has none."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flow_homes import AFFINE, FLOW_HOME, SHAPE, InCohort, UseHome, ball, put, put_template

from bids_xai.errors import BadDataError, NoInputError, UsageError, UserError
from bids_xai.settings import OutputSpace
from bids_xai.templates import embedded, flow
from bids_xai.templates.lookup import load_atlas, load_head, load_mask, load_template

needs_flow = pytest.mark.skipif(
    not FLOW_HOME.is_dir(), reason="no ../shared/data/templateflow beside the repository"
)
TOY = OutputSpace("Toy", 2)


def both_ways_out(error: UserError | str, space: str, home: Path) -> None:
    text = str(error)
    command = "-m bids_xai.templates "
    for part in (space, str(home), "TEMPLATEFLOW_HOME=", command, "--output-spaces MNI152NLin2"):
        assert part in text
    assert "\n" not in text


# --- embedded ---------------------------------------------------------------------------------


def test_the_embedded_template_needs_no_network() -> None:
    for resolution in (2, 3):
        space = OutputSpace("MNI152NLin2009aSym", resolution)
        template = load_template(space)
        assert template.name == "MNI152NLin2009aSym"
        assert load_head(space) is None
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


def test_the_embedded_template_and_atlas_do_without_templateflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "templateflow", None)  # importing it raises
    space = OutputSpace("MNI152NLin2009aSym", 4)
    assert load_template(space).mask.data.any()
    assert load_atlas(space) is not None


def test_options_are_read_without_heavy_modules() -> None:
    code = (
        "import sys; from bids_xai.templates.lookup import parse_atlas; parse_atlas('A=a.nii.gz'); "
        "print({'nibabel', 'scipy', 'pandas', 'torch', 'ants', 'templateflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- hand-made homes --------------------------------------------------------------------------


def test_head_brain_and_mask(tmp_path: Path, use_home: UseHome) -> None:
    put_template(tmp_path)
    put_template(tmp_path, "tpl-Both_res-02")
    put_template(tmp_path, "tpl-Both_res-02", head=False)
    put_template(tmp_path, "tpl-Brain_res-02", head=False)
    use_home(tmp_path)
    inside = ball() > 0

    only_head = load_template(TOY)
    head = load_head(TOY)
    assert head is not None
    assert head.data[~inside].min() == 40
    np.testing.assert_array_equal(only_head.brain.data, np.where(inside, 100, 0))
    both = load_template(OutputSpace("Both", 2))
    head = load_head(OutputSpace("Both", 2))
    assert head is not None
    assert head.data.max() == 100
    assert both.brain.data.max() == 90
    only_brain = load_template(OutputSpace("Brain", 2))
    assert load_head(OutputSpace("Brain", 2)) is None
    for template in (only_head, both, only_brain):
        assert template.mask.data.dtype == np.uint8
        np.testing.assert_array_equal(template.mask.data, ball())
        np.testing.assert_array_equal(template.brain.affine, AFFINE)


def test_other_images_of_a_template_are_not_taken_for_it(tmp_path: Path, use_home: UseHome) -> None:
    put_template(tmp_path)
    wrong = np.full(SHAPE, 7, np.float32)
    for name in (
        "res-02_desc-LR_T1w",
        "res-02_den-41k_T1w",
        "res-01_T1w",
        "res-02_desc-face_mask",
        "res-02_atlas-v3_desc-brain_mask",
        "res-02_hemi-L_desc-brain_mask",
        "res-01_desc-brain_mask",
    ):
        put(tmp_path, f"tpl-Toy_{name}.nii.gz", wrong)
    use_home(tmp_path)
    template = load_template(TOY)
    assert template.brain.data.max() == 100
    np.testing.assert_array_equal(template.mask.data, ball())


def test_templates_of_one_unnumbered_resolution_are_res_1(
    tmp_path: Path, use_home: UseHome
) -> None:
    put_template(tmp_path, "tpl-Plain")
    put_template(tmp_path, "tpl-Infant_cohort-1", head=False)
    folder = tmp_path / "tpl-Infant" / "cohort-1"
    mask = folder / "tpl-Infant_cohort-1_desc-brain_mask.nii.gz"
    mask.rename(folder / "tpl-Infant_cohort-1_label-brain_mask.nii.gz")  # as UNCInfant has it
    use_home(tmp_path)
    assert load_template(OutputSpace("Plain", 1)).brain.data.max() == 100
    assert load_mask(InCohort("Infant", 1, "1")).data.any()
    with pytest.raises(NoInputError, match=r"no brain mask of Plain:res-2 \(it has res-1\)"):
        load_template(OutputSpace("Plain", 2))


def test_a_cohort_is_chosen_and_never_guessed(tmp_path: Path, use_home: UseHome) -> None:
    put_template(tmp_path)
    for cohort in (1, 3, 10):
        put_template(tmp_path, f"tpl-Child_cohort-{cohort}_res-1")
    data = np.full(SHAPE, 55, np.float32)
    put(tmp_path, "tpl-Child_cohort-3_res-1_T1w.nii.gz", data)
    use_home(tmp_path)
    assert load_template(InCohort("Child", 1, "3")).brain.data.max() == 55
    assert load_template(InCohort("Child", 1, "1")).brain.data.max() == 100
    with pytest.raises(UsageError, match=r"cohorts 1, 3, 10; .*Child:cohort-1:res-1"):
        load_template(OutputSpace("Child", 1))
    with pytest.raises(NoInputError, match=r"no cohort 4 \(it has 1, 3, 10\)") as caught:
        load_template(InCohort("Child", 1, "4"))
    assert caught.value.fix == "for example --output-spaces Child:cohort-1:res-1"
    with pytest.raises(NoInputError, match=r"no cohort 2 \(it has no cohorts\)"):
        load_template(InCohort("Toy", 2, "2"))


def test_images_that_do_not_fit_each_other_are_refused(tmp_path: Path, use_home: UseHome) -> None:
    shifted = AFFINE.copy()
    shifted[2, 3] += 1
    for name in ("Shape", "Shift", "Empty"):
        put_template(tmp_path, f"tpl-{name}_res-02")
    image = np.ones(SHAPE, np.float32)
    put(tmp_path, "tpl-Shape_res-02_T1w.nii.gz", image[1:])
    put(tmp_path, "tpl-Shift_res-02_T1w.nii.gz", image, shifted)
    put(tmp_path, "tpl-Empty_res-02_desc-brain_mask.nii.gz", 0 * ball())
    put(tmp_path, "tpl-Bare_res-02_T1w.nii.gz", image)
    put(tmp_path, "tpl-Void_res-02_desc-brain_mask.nii.gz", ball())
    use_home(tmp_path)
    with pytest.raises(BadDataError, match=r"have different shapes.*T1w\.nii\.gz"):
        load_template(OutputSpace("Shape"))
    with pytest.raises(BadDataError, match=r"different affines.*T1w\.nii\.gz"):
        load_template(OutputSpace("Shift"))
    with pytest.raises(BadDataError, match=r"mask of Empty:res-2 is empty.*_mask\.nii\.gz"):
        load_template(OutputSpace("Empty"))
    with pytest.raises(NoInputError, match="no brain mask of Bare:res-2") as caught:
        load_template(OutputSpace("Bare"))
    both_ways_out(caught.value, "Bare:res-2", tmp_path)
    with pytest.raises(NoInputError, match="no T1w image of Void:res-2"):
        load_template(OutputSpace("Void"))


def test_a_misspelt_template_is_named_and_a_near_one_offered(
    tmp_path: Path, use_home: UseHome
) -> None:
    put_template(tmp_path, "tpl-MNI152NLin6Asym_res-02")
    use_home(tmp_path)
    with pytest.raises(NoInputError, match="no template MNI152Nlin6asym; did you mean MNI152NL"):
        load_template(OutputSpace("MNI152Nlin6asym", 2))


# --- with and without a network ---------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A stand-in for TemplateFlow's storage: its address, its folder, what was asked of it."""
    folder, asked = tmp_path / "storage", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: Any) -> None:
            asked.append(Path(self.path).name)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", folder, asked
        serving.shutdown()
        thread.join()


def test_only_what_is_needed_is_downloaded(
    tmp_path: Path, use_home: UseHome, server: tuple[str, Path, list[str]]
) -> None:
    address, storage, asked = server
    home = tmp_path / "home"
    for cohort in (1, 2):
        for resolution in (1, 2):
            put_template(storage, f"tpl-Child_cohort-{cohort}_res-{resolution}")
    for path in storage.rglob("*.nii.gz"):  # what TemplateFlow's archive looks like before use
        put(home, path.name)
    use_home(home, address)
    space = InCohort("Child", 1, "2")
    for _ in range(2):
        assert load_template(space).brain.data.max() == 100
    stem = "tpl-Child_cohort-2_res-1"
    assert sorted(asked) == [f"{stem}_T1w.nii.gz", f"{stem}_desc-brain_mask.nii.gz"]
    (storage / "tpl-Child" / "cohort-1" / "tpl-Child_cohort-1_res-1_T1w.nii.gz").unlink()
    with pytest.raises(NoInputError, match=r"cannot deliver .*cohort-1_res-1_T1w.*404"):
        load_template(InCohort("Child", 1, "1"))


def test_offline_with_names_but_no_files(tmp_path: Path, use_home: UseHome) -> None:
    put(tmp_path, "tpl-Toy_res-02_T1w.nii.gz")
    put(tmp_path, "tpl-Toy_res-02_desc-brain_mask.nii.gz")
    use_home(tmp_path)
    with pytest.raises(NoInputError, match=r"cannot deliver tpl-Toy_res-02_desc-brain_mask") as e:
        load_template(TOY)
    both_ways_out(e.value, "Toy:res-2", tmp_path)
    assert e.value.status == 66


def test_a_head_that_is_listed_but_not_there_is_no_template_without_a_head(
    tmp_path: Path, use_home: UseHome
) -> None:
    put_template(tmp_path, head=False)
    put(tmp_path, "tpl-Toy_res-02_T1w.nii.gz")
    use_home(tmp_path)
    with pytest.raises(NoInputError, match=r"cannot deliver tpl-Toy_res-02_T1w\.nii\.gz"):
        load_head(TOY)
    assert (
        load_template(TOY).brain.data.max() == 90
    )  # brain and mask are here: nothing else is asked


def test_the_command_an_error_offers_names_template_and_cohort() -> None:
    command = flow.fetch_command(OutputSpace("Child", 1, "3"), "HOSPA")
    assert "python -m bids_xai.templates Child:cohort-3:res-1 --atlas HOSPA," in command


# TemplateFlow reads its environment when it is imported: the real one in a process of its own
_LOAD = """
import json, sys
from bids_xai.errors import UserError
from bids_xai.settings import OutputSpace
from bids_xai.templates.lookup import load_template
answers = []
for text in sys.argv[1:]:
    try:
        load_template(OutputSpace.parse(text))
    except UserError as error:
        answers.append([type(error).__name__, error.status, str(error)])
print(json.dumps(answers))
"""


def test_offline_with_an_empty_folder_names_both_ways_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    offline = dict.fromkeys(proxies, "http://127.0.0.1:9") | {"no_proxy": "", "NO_PROXY": ""}
    flow_settings = {"TEMPLATEFLOW_HOME": str(home), "TEMPLATEFLOW_AUTOUPDATE": "off"}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, "MNI152NLin2009cAsym"],
        env=os.environ | offline | flow_settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    ((kind, status, text),) = json.loads(done.stdout.splitlines()[-1])
    assert (kind, status) == ("NoInputError", 66)
    both_ways_out(text, "MNI152NLin2009cAsym:res-2", home)


def test_a_folder_that_templateflow_cannot_use(
    tmp_path: Path, use_home: UseHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    use_home(blocked / "home")
    with pytest.raises(NoInputError, match=r"cannot deliver Toy:res-2 .*Error") as caught:
        load_template(TOY)
    both_ways_out(caught.value, "Toy:res-2", blocked / "home")
    monkeypatch.setitem(sys.modules, "templateflow", None)  # as where its import fails
    with pytest.raises(NoInputError, match=r"cannot deliver Toy:res-2 .*Error"):
        load_template(TOY)


# --- real templates ---------------------------------------------------------------------------


@needs_flow
def test_real_templates_and_their_atlas(use_home: UseHome) -> None:
    use_home(FLOW_HOME)
    space = OutputSpace("MNI152NLin6Asym", 2)
    template = load_template(space)
    head = load_head(space)
    assert head is not None
    shapes = [v.data.shape for v in (template.brain, template.mask, head)]
    assert shapes == [(91, 109, 91)] * 3
    outside = template.mask.data == 0
    assert np.abs(template.brain.data[outside]).max() < 0.05 * template.brain.data.max()
    assert head.data[outside].max() > 0.3 * head.data.max()
    assert 1.2e6 < template.mask.data.sum() * 8 < 2.2e6  # mm³ of an adult's brain
    atlas = load_atlas(space)
    assert atlas is not None
    assert atlas.name == "HOSPA"
    assert len(atlas.labels) == 21
    assert atlas.volume.data.dtype == np.int32
    np.testing.assert_array_equal(atlas.volume.affine, template.brain.affine)

    without = OutputSpace("MNI152NLin2009cAsym", 1)
    brain_only = load_template(without)
    assert load_head(without) is None
    assert brain_only.brain.data.shape == (193, 229, 193)
    assert load_atlas(without) is None
    with pytest.raises(NoInputError, match=r"it has res-1") as caught:
        load_template(OutputSpace("MNI152NLin2009cAsym", 2))
    both_ways_out(caught.value, "MNI152NLin2009cAsym:res-2", FLOW_HOME)
