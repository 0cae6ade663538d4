"""White-matter lesions: irregular blobs near the ventricles, more and larger in patients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from bids_xai.arrays import Floats
from bids_xai.simulation.anatomy import HeadSample, head_model
from bids_xai.simulation.cohort import Participant, generator
from bids_xai.simulation.deformation import Grid, SmoothField, interpolate, smooth_field
from bids_xai.simulation.structures import structures

REFERENCE_EFFECT = 0.3
T1W_LOSS = 0.15  # of the T1w intensity of white matter
N_PATIENT, RADIUS_PATIENT_MM = 20.0, 3.5  # mean number, median radius at the reference effect
N_EVERYBODY, RADIUS_EVERYBODY_MM = 2.0, 1.8

_RADIUS_SD = 0.3  # of the logarithm
_WOBBLE, _WOBBLE_LENGTH_MM = 0.2, 4.0  # of the border, as a share of the radius
_EDGE_MM = 1.0  # partial volume at the border
_FADE_MM = 6.0  # distance from the ventricles over which lesions become rarer
_FURTHEST_MM = 20.0
_LEAST_WHITE = 0.9
_SITES_MM = 2.0
_LESION_KEY = 1_000_004


@dataclass(frozen=True)
class SimulatedLesions:
    """A person's lesions in template space: centres (k, 3) mm, radii (k,) mm, shape of borders."""

    centres_mm: Floats
    radii_mm: Floats
    wobble: SmoothField

    def part(self, points: Floats) -> Floats:
        """Proportion (n,) of lesion at (3, n) template points, mm, where all is white matter."""
        part = np.zeros(points.shape[1], dtype=np.float32)
        for centre, radius in zip(self.centres_mm, self.radii_mm, strict=True):
            reach = radius / (1 - 3 * _WOBBLE) + _EDGE_MM
            near = np.flatnonzero(np.abs(points[0] - centre[0]) < reach)
            for axis in (1, 2):
                near = near[np.abs(points[axis, near] - centre[axis]) < reach]
            away = points[:, near] - centre[:, None]
            stretch = 1 + _WOBBLE * np.clip(self.wobble(points[:, near])[0], -3, 3)
            inside = (radius - np.linalg.norm(away, axis=0) * stretch) / _EDGE_MM + 0.5
            part[near] = np.maximum(part[near], np.clip(inside, 0, 1))
        return part


def draw_lesions(person: Participant, seed: int) -> SimulatedLesions:
    """Draw a person's lesions.

    Everybody has a few tiny ones. Patients have more, whose number and whose volume grow with the
    square root of the person's effect, so that their whole volume grows with the effect.
    """
    rng = generator(seed, _LESION_KEY, person.index)
    wobble = smooth_field(rng, 1, _WOBBLE_LENGTH_MM)
    growth = np.sqrt(person.effect / REFERENCE_EFFECT)
    tiny = _draw_radii(rng, N_EVERYBODY, RADIUS_EVERYBODY_MM)
    large = _draw_radii(rng, N_PATIENT * growth, RADIUS_PATIENT_MM * np.cbrt(growth))
    radii = np.concatenate([tiny, large])
    points, weights = _sites()
    sites = rng.choice(len(points), len(radii), replace=False, p=weights)
    within = rng.uniform(-0.5, 0.5, (len(radii), 3)) * _SITES_MM
    return SimulatedLesions(points[sites] + within, radii, wobble)


def _draw_radii(rng: np.random.Generator, mean_number: float, median_mm: float) -> Floats:
    return np.asarray(median_mm * np.exp(rng.normal(0, _RADIUS_SD, rng.poisson(mean_number))))


@lru_cache(maxsize=1)
def _sites() -> tuple[Floats, Floats]:
    """Template points (n, 3), mm, in white matter, and how probably a lesion lies there (n,)."""
    model = head_model(_SITES_MM)
    grid = Grid(model.affine, model.brain.shape)
    points = grid.points()
    ventricles = structures()["ventricles"]
    hollow = interpolate(ventricles.proportion, ventricles.grid.affine, points).reshape(grid.shape)
    away = ndimage.distance_transform_edt(hollow < 0.5, sampling=_SITES_MM).ravel()
    white = model.tissues["white"].ravel() * model.brain.ravel()
    candidates = np.flatnonzero((white > _LEAST_WHITE) & (away < _FURTHEST_MM))
    weights = np.exp(-away[candidates] / _FADE_MM)
    return points[:, candidates].T, weights / weights.sum()


def with_lesions(head: HeadSample, template: Floats, lesions: SimulatedLesions) -> HeadSample:
    """The head with part of its white matter turned into lesions, darker on T1w.

    template : (3, len(head.where)) template mm of the head's points
    """
    white = head.proportions["white"]
    lesion = white * lesions.part(template)
    proportions = {**head.proportions, "white": white - lesion, "lesion": lesion}
    return replace(head, proportions=proportions, t1w=head.t1w * (1 - T1W_LOSS * lesion))
