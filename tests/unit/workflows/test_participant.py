"""Options that do not go together are refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_xai.errors import UsageError
from bids_xai.settings import OutputSpace, RunSettings
from bids_xai.workflows.pages import write_pages
from bids_xai.workflows.participant import _check_options

OTHER = (("q", Path("/q")),)


def settings(**options: Any) -> RunSettings:
    return RunSettings(Path("/in"), Path("/out"), "participant", **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"inputs": ("R1map",)}, "R1map are maps made elsewhere"),
        ({"brain_mask": "derivatives"}, "needs a dataset"),
        ({"brain_mask": "synthstrip"}, "needs the weights"),
        ({"synthstrip_model": Path("s.pt")}, "no effect without --brain-mask synthstrip"),
        (
            {"registration_engine": "greedy", "registration": "linear"},
            "no effect with --registration linear",
        ),
        ({"derivatives": (("raw", Path("/q")),)}, "'raw' is the input folder"),
        ({"derivatives": (*OTHER, *OTHER)}, "names must differ"),
        ({"inputs": ("megre", "R2starmap"), "derivatives": OTHER}, "would have one name"),
        ({"noise_floor": 3.0, "r2star_method": "arlo"}, "--noise-floor is not for arlo"),
        ({"rician": True, "r2star_method": "loglin"}, "--rician is not for loglin"),
        (
            {"model": Path("m"), "output_spaces": (OutputSpace("T", 2, "1"),)},
            "--model does not know the cohorts",
        ),
        ({"atlas": ("A=/a.nii", "A=/b.nii")}, "two --atlas share a name"),
        (
            {"output_spaces": (OutputSpace("T", 1, "1"), OutputSpace("T", 1, "2"))},
            "two cohorts of one template",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        _check_options(settings(**options))
    assert caught.value.fix


def test_what_goes_together_passes() -> None:
    _check_options(settings())
    _check_options(settings(inputs=("megre", "R1map"), derivatives=OTHER, brain_mask="derivatives"))
    _check_options(settings(noise_floor=3.0, rician=True))
    _check_options(settings(output_spaces=(OutputSpace("T", 1, "1"), OutputSpace("T", 2, "1"))))


def test_a_page_that_cannot_be_drawn_is_told_and_the_others_are_made(tmp_path: Path) -> None:
    broken = tmp_path / "sub-01" / "anat" / "sub-01_qc.tsv"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\xff\xfe no table")
    pages, undrawn = write_pages(tmp_path, ["01", "02"], {}, 1)
    assert pages == [tmp_path / "sub-02.html"]
    assert list(undrawn) == ["sub-01"]
    assert "could not be drawn" in undrawn["sub-01"]
