"""Perturbation curves against a slow version, cube by cube and step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from bids_xai.core import answers
from bids_xai.core.perturbation import (
    CubePlan,
    Perturbation,
    aopc,
    box_sums,
    cube_boxes,
    mean_interval,
)
from bids_xai.errors import BadDataError, UsageError

SHAPE = (9, 8, 7)


def network(batch: np.ndarray) -> np.ndarray:
    """A toy: the sigmoid of a weighted sum, as two classes."""
    weights = np.random.default_rng(9).normal(size=SHAPE)
    score = 0.1 * (batch.astype(np.float64) * weights).sum(axis=(1, 2, 3))
    p = 1 / (1 + np.exp(-score))
    return np.stack([1 - p, p], axis=1)


@pytest.fixture
def volume() -> np.ndarray:
    found = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    found[6:] = 0  # nothing there
    return found


def plan(**changes: object) -> CubePlan:
    return CubePlan(**{"edge": (3, 3, 3), "stride": (3, 3, 3), "steps": 6, **changes})


def slow_cubes(shape, edge, stride) -> list[tuple[slice, ...]]:
    """Cubes along each axis until it is covered."""
    starts = []
    for n, size, step in zip(shape, edge, stride, strict=True):
        axis, first = [], 0
        while first < n:
            axis.append(slice(first, min(first + size, n)))
            if first + size >= n:
                break
            first += step
        starts.append(axis)
    return [(x, y, z) for x in starts[0] for y in starts[1] for z in starts[2]]


def slow_curve(volume, relevance, made: CubePlan, order: str, noise) -> np.ndarray:
    cubes = [c for c in slow_cubes(SHAPE, made.edge, made.stride) if (volume[c] != 0).any()]
    values = np.abs(relevance) if made.ordering == "absolute" else relevance
    scores = [values[c].sum() for c in cubes]
    left = sorted(range(len(cubes)), key=lambda i: -scores[i] if order == "morf" else scores[i])
    if made.placement == "greedy":
        chosen: list[int] = []
        touched = np.zeros(SHAPE, int)
        for i in left:
            if not touched[cubes[i]].any():
                touched[cubes[i]] = 1
                chosen.append(i)
        left = chosen
    x, curve = volume.copy(), [np.zeros(2)]
    start = network(volume[None])[0]
    filled = [c for c in slow_cubes(SHAPE, made.edge, made.edge) if (volume[c] != 0).any()]
    quarter = -(-len(filled) // 4)
    n_steps = made.steps if made.per_step else min(made.steps, quarter)
    size = made.per_step or quarter / n_steps
    for step in range(n_steps):
        first, last = int(step * size + 1e-9), int((step + 1) * size + 1e-9)
        if last > len(left):
            break
        for i in left[first:last]:
            x[cubes[i]] = noise[cubes[i]]
        curve.append(start - network(x[None])[0])
    return np.array(curve)


def test_intervals_of_few_participants_hold_what_they_promise() -> None:
    """Of six normal values around 0, one interval in 40 lies above 0 (bootstrap: one in 12)."""
    values = np.random.default_rng(0).normal(size=(6, 40_000))
    mean, low, high = mean_interval(values)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    assert 0.0225 < (low > 0).mean() < 0.0275
    assert 0.0225 < (high < 0).mean() < 0.0275
    slow = stats.ttest_1samp(values[:, 0], 0).confidence_interval(0.95)
    np.testing.assert_allclose((low[0], high[0]), slow)
    assert np.isnan(mean_interval(values[:4])[1]).all()


@pytest.mark.parametrize("order", ["morf", "lerf"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ordering": "absolute"},
        {"stride": (2, 2, 2), "placement": "greedy"},
        {"stride": (1, 2, 3), "placement": "greedy", "ordering": "absolute"},
        {"stride": (2, 3, 2)},
        {"stride": (4, 5, 4), "per_step": 2},
        {"edge": (4, 2, 3), "stride": (4, 2, 3), "steps": 100},
        {"per_step": 0, "steps": 2},
        {"per_step": 0, "steps": 7},
        {"per_step": 0, "steps": 100},
        {"per_step": 0, "steps": 1, "placement": "greedy", "stride": (1, 1, 1)},
        {"edge": (20, 20, 20), "stride": (20, 20, 20)},
    ],
)
def test_curves_equal_a_slow_version(volume, order: str, changes: dict, monkeypatch) -> None:
    monkeypatch.setattr(answers, "BATCH_VOXELS", 4 * volume.size + 5)  # batches of four
    relevance = np.random.default_rng(2).normal(size=SHAPE)
    made = plan(**changes)
    run = Perturbation(volume, network, made, low=-0.5, high=2.0, seed=7, draws=2)
    found = run.by_relevance(relevance, order)
    for draw in range(2):
        noise = np.random.default_rng([7, 0, draw]).uniform(-0.5, 2.0, SHAPE)
        expected = slow_curve(volume, relevance, made, order, noise)
        np.testing.assert_allclose(found[draw], expected, atol=1e-12)


def test_random_orders_are_permutations_of_the_same_cubes(volume) -> None:
    made = plan(steps=10_000)
    run = Perturbation(volume, network, made, low=0.0, high=1.0, seed=(1, 2))
    found = run.at_random(3)
    assert found.shape == (3, len(run.boxes) + 1, 2)
    assert np.ptp(found[:, -1], axis=0).max() < 1e-6  # in the end, all cubes are noise
    assert np.ptp(found[:, 5], axis=0).min() > 1e-6
    again = Perturbation(volume, network, made, low=0.0, high=1.0, seed=(1, 2)).at_random(3)
    np.testing.assert_array_equal(found, again)


def test_a_map_of_the_truth_lies_above_random_above_least_first() -> None:
    weights = np.zeros((12, 12, 12))
    weights[2:5, 2:5, 2:5] = 1.0
    volume = np.ones(weights.shape, np.float32)

    def predict(batch: np.ndarray) -> np.ndarray:
        return (batch * weights).sum(axis=(1, 2, 3))[:, None] / 27

    made = CubePlan(edge=(3, 3, 3), stride=(3, 3, 3), steps=20)
    run = Perturbation(volume, predict, made, low=0.0, high=0.2)
    curves = [
        run.by_relevance(weights, "morf"),
        run.at_random(8),
        run.by_relevance(weights, "lerf"),
    ]
    most, chance, least = (aopc(c.mean(axis=0)[:, 0])[-1] for c in curves)
    assert most > chance + 0.1
    assert chance > least + 0.1


def test_aopc_is_the_mean_of_the_first_drops() -> None:
    drops = np.array([[0.0, 0.3, 0.6], [0.0, 0.0, 0.3]])
    np.testing.assert_allclose(aopc(drops), [[0, 0.15, 0.3], [0, 0, 0.1]])


def test_box_sums_and_cover() -> None:
    values = np.random.default_rng(5).normal(size=SHAPE)
    boxes = cube_boxes(SHAPE, (3, 4, 5), (2, 4, 1))
    expected = [values[a:b, c:d, e:f].sum() for (a, b), (c, d), (e, f) in boxes]
    np.testing.assert_allclose(box_sums(values, boxes), expected, atol=1e-12)
    reached = np.zeros(SHAPE, int)
    for (a, b), (c, d), (e, f) in cube_boxes(SHAPE, (4, 4, 4), (4, 4, 4)):
        reached[a:b, c:d, e:f] += 1
    assert (reached == 1).all()


def test_mistakes_are_named(volume) -> None:
    with pytest.raises(UsageError, match="steps"):
        plan(steps=0)
    with pytest.raises(UsageError, match="'spiral'"):
        plan(placement="spiral")
    with pytest.raises(BadDataError, match="changes nothing"):
        Perturbation(volume, network, plan(), low=1.0, high=1.0)
    with pytest.raises(BadDataError, match="empty"):
        Perturbation(np.zeros(SHAPE, np.float32), network, plan(), low=0.0, high=1.0)
    run = Perturbation(volume, network, plan(), low=0.0, high=1.0)
    with pytest.raises(BadDataError, match="another shape"):
        run.by_relevance(np.ones((3, 3, 3)), "morf")


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_equals_quantus_on_slices(order: str) -> None:
    quantus = pytest.importorskip("quantus")
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 14, 2))
    rng = np.random.default_rng(3)
    slices = rng.uniform(0.1, 1, (3, 12, 16)).astype(np.float32)
    maps = rng.normal(size=slices.shape)
    metric = quantus.RegionPerturbation(
        patch_size=4,
        order=order,
        regions_evaluation=8,
        normalise=False,
        perturb_baseline=0.5,
        disable_warnings=True,
    )
    theirs = metric(
        net.eval(), x_batch=slices[:, None], y_batch=np.array([1, 0, 1]), a_batch=maps[:, None]
    )

    def predict(volumes: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = net(torch.from_numpy(volumes)[:, None, ..., 0]).softmax(1).numpy()
        return found

    cubes = CubePlan(edge=(4, 4, 1), stride=(4, 4, 1), steps=8, per_step=1)
    for each, relevance, target, their in zip(slices, maps, (1, 0, 1), theirs, strict=True):
        narrow = {"low": 0.5 - 1e-7, "high": 0.5 + 1e-7}  # noise that is the constant of Quantus
        curves = Perturbation(each[..., None], predict, cubes, **narrow)
        found = curves.by_relevance(relevance[..., None], order)[0, 1:, target]
        np.testing.assert_allclose(found, np.ravel(their), rtol=0, atol=1e-5)
