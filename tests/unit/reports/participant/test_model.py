"""What a page says of a model, from its card."""

from __future__ import annotations

import pytest
from participant_cases import CARD

from bids_xai.reports.participant.model import UsedModel, model_table


def rows(**more: object) -> dict[str, str]:
    model = UsedModel.from_card({**CARD, **more})
    assert model is not None
    return dict(model_table(model).rows)


def test_the_table_of_a_model() -> None:
    assert rows() == {
        "Study, configuration, split": "tiny, A, 0",
        "Network": "graz, seed 3",
        "Input": "R2starmap in T1w space, 4 × 5 × 6 voxels, as the map",
        "Trained with relevance guidance": "no",
        "Versions of the training": "torch 2.6",
        "SHA-256 of the weights": "abc",
    }


def test_what_a_card_adds() -> None:
    table = rows(
        voxel_mm=[1.5, 1.5, 2.0],
        skull_strip=True,
        relevance_guided=True,
        versions={},
        weights_sha256="0123456789abcdef0",
    )
    assert table["Input"].endswith("voxels, 1.5, 1.5, 2 mm, inside the brain mask only")
    assert table["Trained with relevance guidance"] == "yes"
    assert table["Versions of the training"] == "n/a"
    assert table["SHA-256 of the weights"] == "0123456789abcdef"


@pytest.mark.parametrize("card", [None, {}, [], "card"])
def test_what_is_no_card_is_no_model(card: object) -> None:
    assert UsedModel.from_card(card) is None


def test_equal_cards_are_one_model() -> None:
    assert UsedModel.from_card(CARD) == UsedModel.from_card(dict(CARD))
    assert len({UsedModel.from_card(CARD), UsedModel.from_card({**CARD, "split": 1})}) == 2
