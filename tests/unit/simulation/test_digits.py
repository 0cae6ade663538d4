"""Digits: legible, each image once, and products that the group level can read."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bids_xai.errors import UsageError
from bids_xai.simulation import digits as d
from bids_xai.simulation.cohort import SimulationOptions


def options(n: int = 20, **more: float) -> SimulationOptions:
    return SimulationOptions(**{"n_participants": n, "kind": "digits", "snr": 1e5, **more})


def test_classes_come_in_turn_and_no_image_twice() -> None:
    people = d.draw_digits(options(1740))
    assert [p.digit for p in people] == [i % 10 for i in range(1740)]
    assert len({p.sample for p in people}) == 1740
    target = load_digits().target
    assert all(target[p.sample] == p.digit for p in people)
    assert d.draw_digits(options(30)) == [
        d.DigitPerson(p.index, p.label[2:], p.digit, p.sample, p.n_sessions) for p in people[:30]
    ]
    assert d.draw_digits(options(20, seed=1)) != d.draw_digits(options(20))


def test_ink_is_the_image_where_it_is_not_turned() -> None:
    pixels = load_digits().images[3]
    rows, columns = np.indices((8, 8))
    x, y = d.PIXEL_VOXELS * (columns - 3.5), d.PIXEL_VOXELS * (3.5 - rows)
    for z, share in ((0.0, 1.0), (4.5, 0.5), (6.0, 0.0)):
        ink, plate = d._draw(pixels, np.stack([x.ravel(), y.ravel(), np.full(64, z)]))
        np.testing.assert_allclose(ink.reshape(8, 8), share * pixels / 16, atol=1e-6)
        assert plate.all() == (share > 0)


def test_volumes_are_legible_to_a_template_matcher() -> None:
    """The mean over the thickness looks most like the mean image of its own class."""
    data = load_digits()
    rows, columns = np.indices((8, 8))
    means = np.stack([data.images[data.target == k].mean(0) for k in range(10)]) / 16
    right = 0
    people = d.draw_digits(options(60))
    for person in people:
        scan = d.simulate_digit(person, 1, options(60))
        flat = scan.image[:, :, 12:20].mean(axis=2)  # seen through the plate
        x = (15.5 + d.PIXEL_VOXELS * (columns - 3.5)).round().astype(int)
        y = (15.5 + d.PIXEL_VOXELS * (3.5 - rows)).round().astype(int)
        seen = flat[x, y].ravel()
        scores = [np.corrcoef(seen, mean.ravel())[0, 1] for mean in means]
        right += int(np.argmax(scores) == person.digit)
    assert right > 40


def test_volumes_hold_the_whole_digit_and_its_masks() -> None:
    for person in d.draw_digits(options(10)):
        scan = d.simulate_digit(person, 1, options(10))
        assert scan.image.shape == (32, 32, 32)
        assert not scan.strokes[~scan.plate].any()
        assert scan.image[scan.strokes].mean() == pytest.approx(500, rel=0.01)
        assert scan.image[~scan.plate].max() < 60
        for axis in range(3):
            assert not any(scan.plate.take(end, axis).any() for end in (0, -1))
        assert 0.9 < scan.plate.sum() / (21.6 * 21.6 * 10) < 1.1


def test_sessions_show_one_image_in_other_poses() -> None:
    person = d.draw_digits(options())[0]
    first, again, second = (d.simulate_digit(person, k, options()) for k in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != second.image).any()
    assert first.strokes.sum() == pytest.approx(second.strokes.sum(), rel=0.1)


@pytest.mark.parametrize(
    "wrong", [{"n_participants": 1741}, {"effect_percent": 20.0}, {"cheat": 0.9}]
)
def test_what_digits_do_not_have_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        SimulationOptions(kind="digits", **wrong)
