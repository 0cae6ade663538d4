"""How networks were trained, in words."""

from __future__ import annotations

from bids_xai.reports.study.methods.training import configurations_words, training_words
from bids_xai.reports.study_description import ConfigurationDescription
from bids_xai.studies.tables import Augmentation, EarlyStopping, Model, Plateau, Training, Transfer

PLAIN = Training(plateau=Plateau(patience=0))


def test_a_plain_recipe_has_no_more_than_its_sentence() -> None:
    assert training_words(PLAIN, Model("mine", {"width": 8})) == (
        "The network mine (width 8) was trained with Adam (Kingma and Ba 2015) for at most 60 "
        "epochs, with learning rate 0.001 and 6 scans per step. The weights of the best epoch by "
        "validation were kept."
    )


def test_everything_a_recipe_can_have_is_said() -> None:
    training = Training(
        optimizer="sgd",
        weight_decay=1e-4,
        accumulate=2,
        class_weights="balanced",
        plateau=Plateau(reset_weights=False),
        early_stopping=EarlyStopping(8, "validation_balanced_accuracy"),
        augmentation=Augmentation((0, 2), 3),
        transfer=Transfer("digits/A"),
    )
    words = training_words(training, Model("vgg-a"))
    for part in (
        "The network vgg-a (Eitel et al. 2021) was trained with stochastic gradient descent, "
        "momentum 0.9 for",
        "learning rate 0.001, weight decay 0.0001 and 12 scans per step.",
        "After 5 epochs without a lower validation loss, the learning rate was multiplied by 0.3 "
        "(at least 1e-06). Training stopped after 8 epochs without a better validation balanced "
        "accuracy. The classes were weighted by their inverse frequency.",
        "mirrored at random along the left–right and inferior–superior axes. Training maps were "
        "shifted by up to 3 voxels. Training started from the weights of digits/A.",
    ):
        assert part in words
    assert "restored" not in words
    restored = training_words(Training(), Model())
    assert "(at least 1e-06), and the best weights so far were restored." in restored


def test_configurations_are_told_apart_by_their_keys() -> None:
    plain = ConfigurationDescription(
        id="A", model={"options": {"width": 8}}, training={"epochs": 3}
    )
    assert configurations_words([plain], PLAIN) == (
        "Configuration A: maps as they are, not relevance guided, model.options.width 8, "
        "training.epochs 3."
    )
    guided = ConfigurationDescription(id="B", skull_strip=True, relevance_guided=True)
    training = Training(guidance_after=1, guidance_weight=0.5, guidance_mask="atlas:x")
    words = configurations_words([plain, guided], training)
    assert "Configuration B: maps without the skull, relevance guided." in words
    assert words.endswith("(atlas:x) with weight −0.5, after 1 epoch without it.")
