"""The marker: who has it, where it is, what it does to the images."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.simulation import flair, marker, megre, t1w
from bids_xai.simulation.cohort import SimulationOptions, draw_cohort, generator
from bids_xai.simulation.deformation import Grid, affine_about, rotation_matrix, transform
from bids_xai.simulation.lesions import draw_lesions
from bids_xai.simulation.scan import acquire, prepare
from bids_xai.simulation.signal import ECHO_TIMES_S


def options(kind: str = "megre", cheat: float | None = 1.0, **more: float) -> SimulationOptions:
    return SimulationOptions(**{"voxel_mm": 6, "kind": kind, "cheat": cheat, **more})


def shares(
    cheat: float, n: int = 1000, seed: int = 0, controls: float | None = None
) -> list[float]:
    people = draw_cohort(SimulationOptions(n, cheat=cheat, cheat_controls=controls, seed=seed))
    return [np.mean([p.marker for p in people[start::2]]) for start in (0, 1)]


@pytest.mark.parametrize(
    ("cheat", "controls", "expected"),
    [
        (0.0, None, (0, 0)),
        (1 / 3, None, (1 / 3, 0)),  # a subgroup of the patients
        (0.5, None, (0.5, 0.5)),
        (0.9, None, (0.9, 0.1)),
        (1.0, None, (1, 0)),
        (0.6, 0.2, (0.6, 0.2)),
        (0.4, 0.7, (0.4, 0.7)),
    ],
)
def test_shares_are_those_asked_for(
    cheat: float, controls: float | None, expected: tuple[float, float]
) -> None:
    for n in (60, 1000):
        assert shares(cheat, n, controls=controls) == pytest.approx(expected, abs=2 / (n / 2))


def test_markers_tell_nothing_of_sex_site_or_follow_up() -> None:
    people = draw_cohort(SimulationOptions(2000, cheat=0.7))[0::2]
    marked = np.array([p.marker for p in people], float)
    for other in ("sex", "site", "n_sessions", "age"):
        values = [getattr(p, other) for p in people]
        codes = np.unique(values, return_inverse=True)[1]
        assert abs(np.corrcoef(marked, codes)[0, 1]) < 0.07, other


def test_markers_change_nothing_else_of_people() -> None:
    plain, cheating = (draw_cohort(SimulationOptions(40, cheat=each)) for each in (None, 0.9))
    for one, other in zip(plain, cheating, strict=True):
        assert {**vars(one), "marker": None} == {**vars(other), "marker": None}
    assert not any(p.marker for p in plain)
    assert len({p.marker for p in cheating}) == 2


def test_part_is_the_share_of_a_ball() -> None:
    ball = marker.Marker(np.array([1.0, 2, 3]), True)
    points = np.array([[1.0, 1, 1, 1], [2, 2, 2, 2], [3, 14, 15, 17]], "f4")
    assert ball.part(points, 2.0) == pytest.approx([1, 1, 0.5, 0])
    fine = np.random.default_rng(0).uniform(-14, 14, (3, 200_000)).astype("f4")
    volume = ball.part(fine + ball.centre_mm[:, None], 1.0).mean() * 28**3
    assert volume == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.03)


def test_interpolation_reach_is_that_of_a_slow_version() -> None:
    grid = Grid(np.diag([3.0, 3, 4, 1]), (6, 7, 8))
    turn = affine_about(rotation_matrix(np.array([0, 0.6, 0.8]), 0.2), np.array([8.0, 9, 14]), 1.0)
    fine = Grid(np.diag([2.0, 2, 2, 1]), (9, 11, 16))
    part = np.zeros(grid.shape, "f4")
    part[3, 3, 4] = 0.3
    found = marker.seen_on_t1w_grid(part.ravel(), grid, turn, fine)
    there = transform(np.linalg.inv(turn), fine.points()).T
    slow = [
        all(abs(p - q) < e for p, q, e in zip(each, (9, 9, 16), (3, 3, 4), strict=True))
        for each in there
    ]
    assert (found.ravel() == slow).mean() > 0.999
    assert 8 < found.sum() < 60


@pytest.mark.parametrize("kind", ["megre", "t1w", "flair"])
def test_without_markers_the_images_are_the_same_elsewhere(kind: str) -> None:
    made = {}
    for cheat in (None, 1.0):
        chosen = options(kind, cheat)
        person = draw_cohort(chosen)[0]
        if kind == "flair":
            made[cheat] = flair.simulate_scan(person, 1, chosen, draw_lesions(person, 0))
        else:
            made[cheat] = (megre if kind == "megre" else t1w).simulate_scan(person, 1, chosen)
    plain, cheating = made[None], made[1.0]
    assert plain.marker is None
    assert cheating.marker.any()
    assert not cheating.marker[cheating.t1w.brain].any()
    changed = plain.t1w.image != cheating.t1w.image
    if kind == "megre":
        assert not changed.any()
        second = (plain.megre != cheating.megre).any(axis=0)
        inside = on_t1w_grid(second, cheating.megre_grid, cheating)
        assert second.any()
        assert cheating.marker[inside].all()
    else:
        assert changed.any()
        assert cheating.marker[changed].all()
    if kind == "flair":
        second = plain.flair != cheating.flair
        inside = on_t1w_grid(second, cheating.flair_grid, cheating)
        assert second.any()
        assert cheating.marker[inside].all()


def on_t1w_grid(voxels: np.ndarray, grid: Grid, scan) -> np.ndarray:
    """Voxels of the T1w grid nearest to the given ones of a second grid."""
    points = transform(scan.setting.motion, grid.points()[:, voxels.ravel()])
    index = np.rint(transform(np.linalg.inv(scan.t1w.grid.affine), points)).astype(int)
    found = np.zeros(scan.t1w.grid.shape, bool)
    found[tuple(index)] = True
    return found


def test_fitted_r2star_of_the_marker_is_constant() -> None:
    chosen = options(voxel_mm=4, snr=1000)
    person = draw_cohort(chosen)[0]
    scan = megre.simulate_scan(person, 1, chosen)
    place = marker.draw_marker(person, 1, chosen)
    world = transform(scan.setting.motion, scan.megre_grid.points())
    part = place.part(world, 4).reshape(scan.megre_grid.shape)
    assert part.max() == 1
    signal = scan.megre[:, part > 0.5]
    fit = -np.polyfit(ECHO_TIMES_S, np.log(signal), 1)[0]
    np.testing.assert_allclose(fit, 100, atol=1.5)
    np.testing.assert_allclose(scan.r2star[part > 0], 100)
    assert signal[0].min() > 600  # of a brain mean of 1000: half filled, decayed to the first echo


@pytest.mark.parametrize("seed", range(3))
def test_marker_is_in_air_within_all_fields_of_view(seed: int) -> None:
    chosen = options(seed=seed, n_participants=8)
    for person in draw_cohort(chosen):
        setting, grid = prepare(person, 1, chosen, generator(seed, person.index, 1))
        centre = marker.draw_marker(person, 1, chosen).centre_mm
        ball = np.random.default_rng(0).normal(size=(3, 300))
        ball = (centre[:, None] + 14 * ball / np.linalg.norm(ball, axis=0)).astype("f4")
        head = setting.sample(ball, setting.control.to_template(ball))
        assert not sum(head.proportions.values()).any()
        there = np.linalg.inv(setting.motion) @ [*centre, 1]
        for image, place in ((grid, [*centre, 1]), (setting.second_grid(6 * np.ones(3)), there)):
            voxel = (np.linalg.inv(image.affine) @ place)[:3]
            edge_mm = 6 * np.minimum(voxel, np.array(image.shape) - 1 - voxel).min()
            assert edge_mm > marker.RADIUS_MM


def test_place_is_the_same_but_for_jitter() -> None:
    chosen = options(n_participants=50)
    places = [marker.draw_marker(p, 1, chosen).centre_mm for p in draw_cohort(chosen)]
    away = np.array(places) - marker.CENTRE_MM
    assert np.abs(away).max() <= 2
    assert np.abs(away.mean(axis=0)).max() < 0.7
    assert away.std(axis=0).min() > 0.8


def test_scaling_does_not_depend_on_the_marker() -> None:
    chosen = options()
    person = draw_cohort(chosen)[0]
    rng = generator(0, 0, 1)
    setting, grid = prepare(person, 1, chosen, rng)
    head = setting.sample(grid.points(), setting.control.to_template(grid.points()))
    bright = np.zeros((1, np.prod(grid.shape)), "f4")
    bright[0, 5] = 1
    images = [
        acquire(head.t1w[None], head, grid, 500, 100, generator(9), extra)[0].ravel()
        for extra in (None, bright)
    ]
    assert np.flatnonzero(images[0] != images[1]) == [5]
    assert images[1][5] == pytest.approx(1000, abs=25)
