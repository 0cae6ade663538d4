"""What a run is about: where its files lie, and which splits and configurations it does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from prediction_rows import as_prediction

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.studies.tables import Attribution
from bids_xai.tables.predictions import PREDICTIONS


def test_files_lie_below_the_output_folder(derivatives: Any) -> None:
    context = derivatives.context()
    out = derivatives.out.resolve()
    assert context.folder == out / "group" / "quick"
    assert context.model_folder("A", 3) == out / "models" / "quick" / "A" / "split-3"
    assert context.relevance_folder("A", 3) == (
        out / "group" / "quick" / "relevance" / "configuration-A" / "split-3"
    )


def test_all_splits_and_configurations_are_done_unless_some_are_named(derivatives: Any) -> None:
    context = derivatives.context()
    ids = [configuration.id for configuration in context.study.configurations]
    assert context.selected_splits(3) == [0, 1, 2]
    assert context.selected_configurations == ids
    part = derivatives.context(split=(2, 0), configuration=(ids[1],))
    assert part.selected_splits(3) == [2, 0]
    assert part.selected_configurations == [ids[1]]
    with pytest.raises(BadDataError, match=r"no split 2.*from 0 to 1"):
        part.selected_splits(2)
    with pytest.raises(BadDataError, match="no configuration 'X'"):
        _ = derivatives.context(configuration=("X",)).selected_configurations


def test_predictions_are_read_from_the_table_of_the_study(derivatives: Any) -> None:
    context = derivatives.context()
    with pytest.raises(NoInputError, match="--steps explain first"):
        context.predictions()
    row = as_prediction(
        {
            "configuration": "A",
            "split": 1,
            "participant_id": "sub-1",
            "method": "saliency",
            "true_class": "AD",
            "predicted_class": "NC",
            "probability": 0.25,
            "relevance": "relevance/sub-1_ses-2_space-T1w_relmap.nii.gz",
        }
    )
    PREDICTIONS.write(context.folder / "predictions.tsv", [row])
    (found,) = context.predictions()
    assert found == row
    assert found.scan == "sub-1_ses-2"


def test_requests_are_the_methods_and_variants_of_the_study(derivatives: Any) -> None:
    context = derivatives.context()
    attribution = Attribution(
        methods=("saliency", "sharp"),
        target="true",
        options={"sharp": {"method": "lrp-zplus", "start": "logit"}},
    )
    study = dataclasses.replace(context.study, attribution=attribution)
    first, second = dataclasses.replace(context, study=study).requests()
    assert (first.name, first.method, first.target) == ("saliency", "saliency", "true")
    assert (second.name, second.method, second.start) == ("sharp", "lrp-zplus", "logit")


def test_maps_are_taken_from_where_the_run_says(derivatives: Any, tmp_path: Path) -> None:
    context = derivatives.context(derivatives=(("other", tmp_path / "o"),))
    source = context.map_source
    assert source.output_dir == derivatives.out.resolve()
    assert source.template == "MNI152NLin2009aSym"
    assert source.derivatives == {"other": tmp_path / "o"}
