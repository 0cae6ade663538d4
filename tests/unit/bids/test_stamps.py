"""Stamps: current only while options, inputs and outputs are what they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_xai.bids.stamps import (
    code_state,
    file_states,
    fingerprint,
    is_current,
    read_stamp,
    remove_leftovers,
    stamped_outputs,
    what_changed,
    write_stamp,
)
from bids_xai.runtime.run_lock import ENDING, alone_in

OPTIONS = {"method": "nlls", "seed": 0, "spaces": ["a"]}


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "in" / name for name in ("a.nii.gz", "b.json")]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_text(path.name)
    return paths


def test_the_fingerprint_knows_options_and_inputs_but_not_their_order(inputs: list[Path]) -> None:
    first = fingerprint(inputs, OPTIONS)
    assert first == fingerprint(reversed(inputs), dict(reversed(OPTIONS.items())))
    assert first == fingerprint([*inputs, inputs[0]], OPTIONS)
    assert first != fingerprint(inputs[:1], OPTIONS)
    assert first != fingerprint(inputs, OPTIONS | {"seed": 1})
    assert first != fingerprint(inputs, OPTIONS | {"extra": None})


def test_the_fingerprint_sees_changed_inputs(inputs: list[Path]) -> None:
    first = fingerprint(inputs, OPTIONS)
    stat = inputs[0].stat()
    inputs[0].write_text("b.nii.gz")  # as long as before
    os.utime(inputs[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    later = fingerprint(inputs, OPTIONS)
    assert later != first
    inputs[0].write_text("longer than before")
    os.utime(inputs[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(inputs, OPTIONS) not in (first, later)


def test_the_fingerprint_follows_links_and_ignores_the_folder(
    inputs: list[Path], tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere" / inputs[0].name
    link.parent.mkdir()
    link.symlink_to(inputs[0])
    assert fingerprint([link], OPTIONS) == fingerprint(inputs[:1], OPTIONS)


@pytest.fixture
def stamped(tmp_path: Path) -> tuple[Path, Path, Path]:
    root = tmp_path / "out"
    output = root / "sub-01" / "anat" / "map.nii.gz"
    output.parent.mkdir(parents=True)
    output.write_bytes(b"12345")
    stamp = write_stamp(root / "logs" / "sub-01.json", "digest", root, [output, output])
    return stamp, root, output


def test_a_stamp_is_current_until_something_changes(stamped: tuple[Path, Path, Path]) -> None:
    stamp, root, output = stamped
    assert is_current(stamp, "digest", root)
    assert not is_current(stamp, "another", root)
    output.write_bytes(b"1234")
    assert not is_current(stamp, "digest", root)
    output.write_bytes(b"12345")
    assert is_current(stamp, "digest", root)
    output.unlink()
    assert not is_current(stamp, "digest", root)


def test_a_stamp_moves_with_its_folder(stamped: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, root, _ = stamped
    moved = root.rename(tmp_path / "moved")
    assert is_current(moved / "logs" / "sub-01.json", "digest", moved)


@pytest.mark.parametrize(
    "content",
    ["", "{", "{}", '{"digest": "digest"}', '{"digest": "digest", "outputs": []}', "\u00ff"],
)
def test_a_broken_stamp_is_not_current(stamped: tuple[Path, Path, Path], content: str) -> None:
    stamp, root, _ = stamped
    stamp.write_bytes(content.encode("latin-1"))
    assert not is_current(stamp, "digest", root)
    stamp.unlink()
    assert not is_current(stamp, "digest", root)


@pytest.mark.parametrize("content", ["[]", "null", "3"])
def test_a_stamp_that_is_no_object_is_not_current(
    stamped: tuple[Path, Path, Path], content: str
) -> None:
    stamp, root, _ = stamped
    stamp.write_text(content)
    assert not is_current(stamp, "digest", root)


def test_leftovers_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    kept, old, begun = (tmp_path / name for name in ("kept", "old", ".tmp-1"))
    for path in (kept, old, begun):
        path.write_text("x")
    stamp = write_stamp(tmp_path / "s.json", "d", tmp_path, [kept, old])
    assert stamped_outputs(stamp, tmp_path) == {kept, old}
    remove_leftovers(stamped_outputs(stamp, tmp_path) - {kept}, [tmp_path])
    assert kept.exists()
    assert not old.exists()
    assert not begun.exists()
    assert stamped_outputs(tmp_path / "none.json", tmp_path) == set()


def test_a_stamp_tells_how_its_outputs_were_made(tmp_path: Path) -> None:
    about = {"methods": {"paragraphs": ["Maps were fitted."]}, "settings": {"sloppy": True}}
    stamp = write_stamp(tmp_path / "s.json", "d", tmp_path, [], **about)
    assert is_current(stamp, "d", tmp_path)
    assert read_stamp(stamp) == {"digest": "d", **about, "outputs": {}}
    assert read_stamp(tmp_path / "none.json") == {}
    for text in ("{", "[1]"):
        stamp.write_text(text)
        assert read_stamp(stamp) == {}


def test_a_stamp_says_why_it_is_not_current(stamped: tuple[Path, Path, Path]) -> None:
    stamp, root, output = stamped
    assert what_changed(stamp, "digest", root) == ""
    assert "its options" in what_changed(stamp, "another", root)
    output.write_text("longer than it was before")
    assert what_changed(stamp, "digest", root) == f"{output} is of another size"
    output.unlink()
    assert what_changed(stamp, "digest", root) == f"{output} is gone"
    stamp.write_text("no JSON")
    assert "cannot be read" in what_changed(stamp, "digest", root)
    stamp.unlink()
    assert what_changed(stamp, "digest", root) == "it has not been done"


def test_states_of_files_are_names_sizes_and_times(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for name in ("x.tsv", "b/y.tsv", "b/.tmp-1", ".git/c", "left/z.tsv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        os.utime(folder / name, ns=(1, 7))
    left = [folder / "left"]
    assert file_states(tmp_path, folder, leave_out=left) == ["a/b/y.tsv:7:7", "a/x.tsv:5:7"]
    assert file_states(tmp_path, folder, leave_out=[folder / "x.tsv"]) == [
        "a/b/y.tsv:7:7",
        "a/left/z.tsv:10:7",
    ]
    (folder / "link").symlink_to(tmp_path / "nowhere")
    assert file_states(tmp_path, folder, leave_out=left)[1] == "a/link:gone"
    (folder / "link").unlink()
    (folder / "link").symlink_to(folder / "left")  # a folder of models may lie elsewhere
    assert "a/link/z.tsv:10:7" in file_states(tmp_path, folder, leave_out=left)
    assert file_states(tmp_path, tmp_path / "none") == []
    before = file_states(tmp_path, folder, leave_out=left)
    with alone_in(folder / "b"):
        assert (folder / f".b{ENDING}").is_file()
        assert file_states(tmp_path, folder, leave_out=left) == before


def test_the_code_is_known_by_its_files_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: tmp_path / name for name in ("__init__.py", "page.html", "page.pyc")}
    for file in files.values():
        file.write_text("a")
    monkeypatch.setattr("bids_xai.__file__", str(files["__init__.py"]))

    def now(*libraries: str) -> str:
        code_state.cache_clear()
        return code_state(*libraries)

    first = now("numpy")
    files["page.pyc"].write_text("b")
    assert now("numpy") == first
    assert now("scipy") != first
    files["page.html"].write_text("b")
    assert now("numpy") != first
    code_state.cache_clear()
