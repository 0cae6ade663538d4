"""Registration of small phantoms whose true transform is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.bids.images import Volume
from bids_xai.core.masks import dice
from bids_xai.errors import BadDataError, UsageError
from bids_xai.stages import ants_tools, registration, syn

SHAPE = (44, 52, 40)
VOXEL_MM = 4.0
QUICK = syn.SynRecipe(
    (20, 6), metric="CC", sampling=2, level_mm=(8.0, 4.0), smoothing_mm=(4.0, 2.0), masked=False
)


@pytest.fixture(scope="module")
def ants() -> Any:
    return ants_tools.ants_module(0)


def grid() -> NDArray[np.float64]:
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = [-86, -110, -70]
    return affine


def points() -> NDArray[np.float64]:
    affine = grid()
    return np.moveaxis(np.indices(SHAPE), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def phantom(where: NDArray[np.float64]) -> NDArray[np.float32]:
    """An ellipsoid brain with a dark and two bright ellipsoids in it, at points (…, 3)."""

    def inside(centre: tuple[float, ...], axes: tuple[float, ...]) -> NDArray[np.bool_]:
        return np.asarray((((where - centre) / axes) ** 2).sum(-1) < 1)

    image = 80.0 * inside((0, 0, 0), (62, 80, 54))
    image += 40 * inside((0, -5, 5), (48, 62, 40))
    image[inside((0, 10, 10), (14, 30, 12))] = 20
    image[inside((-30, 5, -8), (12, 22, 14))] = 170
    image[inside((30, 5, -8), (12, 22, 14))] = 170
    return image.astype(np.float32)


def bent(where: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subject point → template point: an affine and a bump of up to 6 mm."""
    moved = where @ np.diag([1.08, 0.94, 1.05]) + [6.0, -4.0, 3.0]
    distance = ((where - [25, 10, 0]) ** 2).sum(-1, keepdims=True)
    return np.asarray(moved + np.array([6.0, 5.0, -4.0]) * np.exp(-distance / (2 * 25.0**2)))


def pair() -> tuple[Volume, Volume, Volume, Volume]:
    """Template, its mask, subject, its mask."""
    template, subject = phantom(points()), phantom(bent(points()))
    masks = [Volume((v > 0).astype(np.float32), grid()) for v in (template, subject)]
    return Volume(template, grid()), masks[0], Volume(subject, grid()), masks[1]


def normalise(ants: Any, folder: Path, method: str, **more: Any) -> tuple[Path, Path]:
    template, mask, subject, own = pair()
    forward, inverse = folder / "forward.h5", folder / "inverse.h5"
    registration.register_to_template(
        ants,
        template,
        mask,
        subject,
        own,
        method=method,
        forward=forward,
        inverse=inverse,
        **{"recipe": QUICK, **more},
    )
    return forward, inverse


def overlap(ants: Any, forward: Path) -> float:
    """Dice of the bright nuclei in the template."""
    template, _, subject, _ = pair()
    bright = Volume((subject.data > 150).astype(np.float32), subject.affine)
    found = ants_tools.resample(ants, bright, template, [forward], nearest=True)
    return dice(found, template.data > 150)


def carried(ants: Any, where: NDArray[np.float64], *files: Path) -> NDArray[np.float64]:
    """Points (n, 3) in RAS mm through the transforms, one after the other."""
    import pandas as pd

    table = pd.DataFrame(where * [-1, -1, 1], columns=["x", "y", "z"])
    for file in files:
        table = ants.apply_transforms_to_points(3, table, [str(file)])
    return np.asarray(table[["x", "y", "z"]].to_numpy() * [-1, -1, 1])


def mean_trip_mm(ants: Any, *files: Path) -> float:
    """How far points of the brain end from where they started, there and back (mm)."""
    brain = points()[phantom(points()) > 0]
    return float(np.linalg.norm(carried(ants, brain, *files) - brain, axis=1).mean())


@pytest.fixture(scope="module")
def made(ants: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    return {
        method: normalise(ants, tmp_path_factory.mktemp(method), method)
        for method in registration.NORMALISATIONS
    }


def test_each_step_brings_the_nuclei_closer(ants: Any, made: dict[str, tuple[Path, Path]]) -> None:
    none, linear, nonlinear = (overlap(ants, made[m][0]) for m in registration.NORMALISATIONS)
    assert none < linear < nonlinear
    assert linear > 0.6
    assert nonlinear > 0.85


@pytest.mark.parametrize(
    ("method", "bound_mm"), [("none", 1e-3), ("linear", 1e-2), ("nonlinear", 0.3)]
)
def test_there_and_back_is_where_it_was(
    ants: Any, made: dict[str, tuple[Path, Path]], method: str, bound_mm: float
) -> None:
    forward, inverse = made[method]
    assert mean_trip_mm(ants, forward, inverse) < bound_mm
    assert mean_trip_mm(ants, inverse, forward) < bound_mm


def test_the_same_seed_gives_the_same_transform(
    ants: Any, made: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    template, _, subject, _ = pair()
    again = normalise(ants, tmp_path, "nonlinear")
    first, second = (
        ants_tools.resample(ants, subject, template, [file])
        for file in (made["nonlinear"][0], again[0])
    )
    np.testing.assert_array_equal(first, second)


def test_none_only_crops_and_pads(ants: Any, tmp_path: Path) -> None:
    """A smaller grid elsewhere, stored from right to left, lands unchanged in the middle."""
    template = Volume(np.zeros((12, 16, 14), np.float32), grid())
    affine = grid()
    affine[:3, 3] = [300, 200, 100]
    affine[0, 0] *= -1
    data = np.random.default_rng(0).random((8, 10, 6)).astype(np.float32)
    file = registration.align_centres(ants, template, Volume(data, affine), tmp_path / "a.txt")
    found = ants_tools.resample(ants, Volume(data, affine), template, [file])
    np.testing.assert_allclose(found[2:10, 3:13, 4:10], data[::-1], atol=1e-4)
    assert found.sum() == pytest.approx(data.sum(), rel=1e-4)


def test_centres_of_masks(ants: Any, tmp_path: Path) -> None:
    fixed, moving = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    fixed[10:13, 20:25, 5:8] = 1
    moving[30:33, 22:27, 15:18] = 1
    file = registration.align_centres(
        ants, Volume(fixed, grid()), Volume(moving, grid()), tmp_path / "a.mat", masks=True
    )
    found = ants_tools.resample(ants, Volume(moving, grid()), Volume(fixed, grid()), [file])
    np.testing.assert_allclose(found, fixed, atol=1e-4)
    with pytest.raises(BadDataError, match="mask is empty"):
        registration.align_centres(
            ants, Volume(fixed * 0, grid()), Volume(moving, grid()), tmp_path / "b.mat", masks=True
        )


def test_an_unknown_method_is_refused(ants: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="elastic") as caught:
        normalise(ants, tmp_path, "elastic")
    assert "nonlinear" in str(caught.value)


def test_the_engine_can_be_exchanged(ants: Any, tmp_path: Path) -> None:
    seen = {}

    def engine(_: Any, fixed: Volume, moving: Volume, **more: Any) -> None:
        seen.update(more, moving=moving)

    normalise(ants, tmp_path, "nonlinear", deformable=engine, seed=7)
    assert seen["seed"] == 7
    assert seen["recipe"] is QUICK
    assert set(seen) == {"moving", "forward", "inverse", "fixed_mask", "recipe", "initial", "seed"}


def test_the_skull_is_not_seen(ants: Any, tmp_path: Path) -> None:
    template, mask, subject, own = pair()
    head = Volume(np.where(own.data > 0, subject.data, 500.0), subject.affine)
    seen = {}

    def engine(_: Any, fixed: Volume, moving: Volume, **more: Any) -> None:
        seen["moving"] = moving.data

    registration.register_to_template(
        ants,
        template,
        mask,
        head,
        own,
        method="nonlinear",
        forward=tmp_path / "f.h5",
        inverse=tmp_path / "i.h5",
        deformable=engine,
    )
    np.testing.assert_array_equal(seen["moving"], subject.data)


@pytest.mark.parametrize(("kind", "stretch"), [("Rigid", 1.0), ("Affine", 1.06)])
def test_rigid_and_affine_find_what_was_done(
    ants: Any, tmp_path: Path, kind: str, stretch: float
) -> None:
    """To half a voxel of the 7 mm they were off, the transform and its inverse."""
    fixed = Volume(phantom(points()), grid())
    reach = phantom(points()) > 0
    scale, shift = np.array([1, stretch, 1]), np.array([5.0, -3.0, 4.0])
    moving = Volume(phantom(points() * scale + shift), grid())
    file = registration.register_linear(
        ants, fixed, moving, tmp_path / "there.mat", kind=kind, fixed_mask=reach
    )
    here = points()[reach]
    there = (here - shift) / scale  # where the moving image shows the same
    inverse = registration.invert_linear(ants, file, tmp_path / "back.mat")
    for transform, start, end in ((file, here, there), (inverse, there, here)):
        found = carried(ants, start, transform)
        assert np.linalg.norm(found - end, axis=1).mean() < VOXEL_MM / 2
