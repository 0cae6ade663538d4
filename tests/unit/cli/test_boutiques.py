"""The Boutiques descriptor: of this parser, up to date, valid, and leading to the same settings."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from bids_xai.cli.boutiques import descriptor
from bids_xai.cli.main import main
from bids_xai.cli.parser import build_parser, parse_settings
from bids_xai.errors import UserError

STORED = Path(__file__).resolve().parents[3] / "boutiques.json"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return descriptor(build_parser())


def test_the_stored_descriptor_is_up_to_date(found: dict[str, Any]) -> None:
    assert json.loads(STORED.read_text(encoding="utf-8")) == found, (
        "stale; write it anew: bids_xai --bids-exec-spec > boutiques.json"
    )


def test_it_is_printed(capsys: pytest.CaptureFixture[str], found: dict[str, Any]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--bids-exec-spec"])
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out) == found


def test_every_argument_is_an_input_once(found: dict[str, Any]) -> None:
    own = {"help", "version", "bids_exec_spec"}
    names = [one["id"] for one in found["inputs"]]
    assert len(names) == len(set(names))
    assert set(names) == {action.dest for action in build_parser()._actions} - own
    for one in found["inputs"]:
        assert one["value-key"] in found["command-line"].split()


def command_line(found: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """A slow, simple version of what Boutiques does with a descriptor and values."""
    line = f" {found['command-line']} "
    for one in found["inputs"]:
        value = values.get(one["id"])
        words: list[str] = []
        if value is not None:
            given = value if isinstance(value, list) else [value]
            assert one.get("list", False) == isinstance(value, list)
            assert one["type"] != "Number" or all(isinstance(v, int) for v in given)
            assert all(v in one.get("value-choices", given) for v in given)
            flag = [one["command-line-flag"]] if "command-line-flag" in one else []
            words = flag + ([] if one["type"] == "Flag" else [str(v) for v in given])
        line = line.replace(f" {one['value-key']} ", f" {shlex.join(words)} ")
    assert "[" not in line
    return shlex.split(line)[1:]


def test_a_command_line_made_from_it_gives_the_settings(found: dict[str, Any]) -> None:
    values = {
        "bids_dir": "/in",
        "output_dir": "/out",
        "analysis_level": "group",
        "participant_label": ["01", "02"],
        "nprocs": 3,
        "sloppy": True,
        "split": [0, 2],
        "steps": ["cohort", "train"],
        "noise_floor": "2.5",
        "study": "tinauer2025",
    }
    asked = (
        "/in /out group --participant-label 01 02 --nprocs 3 --sloppy --split 0 2 "
        "--steps cohort train --noise-floor 2.5 --study tinauer2025"
    )
    assert parse_settings(command_line(found, values)) == parse_settings(asked.split())


def test_every_exit_status_is_told(found: dict[str, Any]) -> None:
    told = {one["code"] for one in found["error-codes"]}

    def statuses(kind: type[UserError]) -> set[int]:
        return {kind.status}.union(*(statuses(one) for one in kind.__subclasses__()))

    assert statuses(UserError) <= told
    assert {1, 17} <= told


def test_boutiques_accepts_it() -> None:
    validator = pytest.importorskip("boutiques.validator", reason="needs boutiques")
    validator.validate_descriptor(json.loads(STORED.read_text(encoding="utf-8")))
