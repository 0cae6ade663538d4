"""How sessions were made: told once for those made alike."""

from __future__ import annotations

from pathlib import Path

from participant_cases import CARD

from bids_xai.reports.blocks import Subheading, TableBlock, Text
from bids_xai.reports.participant.methods import SessionMethods, how_made, settings_text
from bids_xai.reports.participant.model import UsedModel
from bids_xai.reports.volumes import Folder


def test_the_methods_of_a_session_are_those_of_its_stamp(participant_dir: Path) -> None:
    first, second, none = (SessionMethods.of(participant_dir, "01", s) for s in ("1", "2", "3"))
    assert first.settings == {"preprocessing": {"r2star_method": "nlls"}}
    assert second.settings == {"preprocessing": {"r2star_method": "arlo"}}
    assert first != second
    assert not first.sloppy
    assert none == SessionMethods({}, {})
    (note,) = none.blocks()
    assert isinstance(note, Text)
    assert "was not recorded" in str(note.text)


def test_sloppy_is_told_of_any_step() -> None:
    assert SessionMethods({}, {"a": {"sloppy": False}, "b": {"sloppy": True}}).sloppy
    assert not SessionMethods({}, {"a": {"sloppy": False}}).sloppy


def test_sessions_made_alike_are_told_together(participant_dir: Path) -> None:
    first, second = (SessionMethods.of(participant_dir, "01", s) for s in ("1", "2"))
    model, empty = UsedModel.from_card(CARD), Folder(())
    assert model is not None
    sessions = [("S1", empty, first), ("S2", empty, second), ("S3", empty, first)]
    section = how_made(sessions, [model, model])
    headings = [str(b.text) for b in section.blocks if isinstance(b, Subheading)]
    assert headings == ["S1 and S3", "S2", "References"]
    tables = [b for b in section.blocks if isinstance(b, TableBlock)]
    assert [t.caption for t in tables].count("The model") == 1


def test_settings_in_words() -> None:
    assert settings_text({"a": 1.5, "b": "x"}) == "a 1.5, b x"
    assert settings_text({}) == "n/a"
    assert settings_text([]) == "none"
    assert settings_text("") == "none"
    assert settings_text(["p", "q"]) == "p, q"
    assert settings_text(True) == "yes"


def test_what_was_said_of_images_and_headers_is_on_the_page() -> None:
    blocks = SessionMethods({}, {}, ("sub-01_T1w.nii.gz: the sform has shear",)).blocks()
    assert Text("sub-01_T1w.nii.gz: the sform has shear.", "note") in blocks
