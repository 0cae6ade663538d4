"""What the step trust reads: heatmaps by network, and the scans of every check."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from trust_cases import prediction

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.context import GroupContext
from bids_xai.group.trust.inputs import read
from bids_xai.settings import RunSettings
from bids_xai.studies.tables import Attribution, Configuration, Quality, Study, Target
from bids_xai.tables.cohort import COHORT, CohortScan
from bids_xai.tables.predictions import PREDICTIONS, Prediction

STUDY = Study(
    name="tiny",
    target=Target("diagnosis", "NC", "AD"),
    configurations=(Configuration("A"), Configuration("B")),
    attribution=Attribution(methods=("lrp-zplus", "saliency")),
    quality=Quality(scans=2, randomization_scans=1),
)


def cohort_scan(number: int) -> CohortScan:
    sub = f"sub-{number:02d}"
    return CohortScan(
        participant_id=sub,
        session_id=None,
        class_name="AD",
        included=True,
        reason=None,
        map_file=Path(f"{sub}/anat/{sub}_space-T1w_R2starmap.nii.gz"),
        mask_file=Path(f"{sub}/anat/{sub}_desc-brain_mask.nii.gz"),
        to_template=None,
    )


def rows() -> list[Prediction]:
    """Two scans a split, one of them explained about another class than the one predicted."""
    networks = [("A", 0), ("A", 1), ("B", 0)]
    return [
        prediction(
            f"sub-{number:02d}",
            method,
            configuration=configuration,
            split=split,
            relevance_class="all" if method == "lrp-zplus" else "NC",
        )
        for configuration, split in networks
        for number in (2 * split, 2 * split + 1)
        for method in ("lrp-zplus", "saliency")
    ]


@pytest.fixture
def context(tmp_path: Path) -> GroupContext:
    settings = RunSettings(tmp_path / "raw", tmp_path / "out", "group", device="cpu", random_seed=3)
    context = GroupContext(settings, STUDY, "")
    COHORT.write(context.folder / COHORT.file, [cohort_scan(number) for number in range(4)])
    baseline = prediction(configuration="volume", method=None, heatmap=None, relevance_class=None)
    PREDICTIONS.write(context.folder / PREDICTIONS.file, [*rows(), baseline], more=("NC", "AD"))
    return context


def test_every_network_has_its_scans_and_samples(context: GroupContext) -> None:
    inputs = read(context)
    assert list(inputs.predictions) == rows()  # baselines have no heatmap
    assert [network.name for network in inputs.networks] == [
        "A, split 0",
        "A, split 1",
        "B, split 0",
    ]
    for network in inputs.networks:
        split = network.split
        assert len(split.heatmaps) == 2
        assert network.model_folder == context.model_folder(split.configuration, split.split)
        assert set(split.scans) <= set(network.scans)
    for samples, n in (
        ([network.perturbed for network in inputs.networks], 2),
        ([network.randomised for network in inputs.networks], 1),
    ):
        assert sum(len(sample.heatmaps) for sample in samples[:2]) == n
        assert len(samples[2].heatmaps) == n
    assert inputs.requests.keys() == {"lrp-zplus", "saliency"}
    assert (inputs.seed, inputs.truth, inputs.grid) == (3, None, None)


def test_samples_follow_the_seed(context: GroupContext) -> None:
    def samples(seed: int) -> list[list[str]]:
        settings = dataclasses.replace(context.settings, random_seed=seed)
        inputs = read(dataclasses.replace(context, settings=settings))
        return [network.perturbed.scans for network in inputs.networks]

    assert samples(0) == samples(0)
    assert len({str(samples(seed)) for seed in range(8)}) > 1


def test_without_checks_there_are_no_samples(context: GroupContext) -> None:
    study = dataclasses.replace(STUDY, quality=Quality(scans=0, randomization_scans=0))
    inputs = read(dataclasses.replace(context, study=study))
    assert [n.perturbed.scans + n.randomised.scans for n in inputs.networks] == [[], [], []]


def test_mistakes_are_named(context: GroupContext, tmp_path: Path) -> None:
    settings = dataclasses.replace(context.settings, derivatives=(("truth", tmp_path / "nowhere"),))
    with pytest.raises(NoInputError, match=r"no such folder.*--derivatives truth"):
        read(dataclasses.replace(context, settings=settings))
    COHORT.write(context.folder / COHORT.file, [cohort_scan(number) for number in range(3)])
    with pytest.raises(BadDataError, match=r"sub-03 is no longer in the cohort"):
        read(context)
    (context.folder / PREDICTIONS.file).unlink()
    with pytest.raises(NoInputError, match=r"run --steps explain first"):
        read(context)
