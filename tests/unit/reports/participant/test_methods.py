"""How sessions were made: told once for those made alike."""

from __future__ import annotations

import json
from pathlib import Path

from participant_cases import CARD

from bids_xai.reports.blocks import Subheading, TableBlock, Text
from bids_xai.reports.participant.methods import SessionMethods, how_made, settings_text
from bids_xai.reports.participant.model import UsedModel
from bids_xai.reports.participant.session_files import sidecar_of
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


def test_what_was_said_of_images_and_headers_is_on_the_page(participant_dir: Path) -> None:
    """Of each session, also of those made alike; what the sidecars say as well, once."""
    folder = Folder.of(participant_dir / "sub-01" / "ses-1" / "anat")
    image = next(iter(folder.find("T1w", space=None, desc="preproc")))
    sidecar = sidecar_of(image.path)
    content = json.loads(sidecar.read_text()) if sidecar.exists() else {}
    content["InputNotes"] = ["the image has negative values by design", "the sform has shear"]
    sidecar.write_text(json.dumps(content))
    sessions = [
        ("S1", folder, SessionMethods({}, {}, ("the sform has shear",))),
        ("S2", Folder(()), SessionMethods({}, {}, ("sub-01_ses-2_T1w.nii.gz: units of metre",))),
    ]
    notes = [str(b.text) for b in how_made(sessions, []).blocks if isinstance(b, Text)]
    assert notes[1:] == [
        "the sform has shear.",
        "the image has negative values by design.",
        "sub-01_ses-2_T1w.nii.gz: units of metre.",
    ]
