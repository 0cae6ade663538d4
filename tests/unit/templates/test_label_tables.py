"""Label tables in the layouts that users and atlas makers write."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.templates.label_tables import find_label_table, read_label_table

TWO = {1: "Left Putamen", 2: "Right Putamen"}
WORDS = {1: "Putamen_L", 2: "Putamen_R"}

LAYOUTS = {
    "bids.tsv": ("index\tname\n1\tLeft Putamen\n2\tRight Putamen\n", TWO),
    "bids_more.tsv": (
        "index\tname\tcolor\n0\tbackground\tn/a\n1\tLeft Putamen\t#ff0000\n"
        "2\tRight Putamen\t#00ff00\n",
        TWO,
    ),
    "hemisphere.tsv": (
        "index\tname\themisphere\n1\tPutamen\tL\n2\tPutamen\tR\n3\tLeft X\tL\n4\tStem\tn/a\n",
        TWO | {3: "Left X", 4: "Stem"},
    ),
    "cerebra.tsv": ("label\tname\themi\tnotes\n1\tPutamen\tL\tn/a\n2\tPutamen\tR\tn/a\n", TWO),
    "label_as_name.csv": ("Index,Label\n1,Left Putamen\n2,Right Putamen\n", TWO),
    "roi_as_name.csv": ("value;ROI\n1;Left Putamen\n2;Right Putamen\n", TWO),
    "roi_as_index.csv": ('ROI,Region\n1,"Left Putamen"\n2,"Right Putamen"\n', TWO),
    "commas.csv": (
        'index,name\n1,"Putamen, Left"\n2,"Putamen, Right"\n',
        {1: "Putamen, Left", 2: "Putamen, Right"},
    ),
    "dhcp.tsv": (
        "index\tred\tgreen\tblue\topacity\tthing\tname\n1\t255\t0\t0\t1\t1\tPutamen left\n"
        "2\t0\t255\t0\t1\t1\tPutamen right\n",
        {1: "Putamen left", 2: "Putamen right"},
    ),
    "freesurfer.txt": (
        "#No. Label Name: R G B A\n\n0  Unknown  0 0 0 0\n1  Putamen_L  236 13 176 0"
        "\n2  Putamen_R  13 48 255 0\n# end\n",
        WORDS,
    ),
    "spaces.txt": ("1 Left Putamen\n2 Right Putamen\n", TWO),
    "spaces_colours.txt": (
        "1 Left Putamen 1 2 3\n2 Right Putamen 4 5 6\n3 Vermis 4 5 7 8 9\n",
        TWO | {3: "Vermis 4 5"},
    ),
    "spaces_header.txt": ("label name\n1 Left Putamen\n2 Right Putamen\n", TWO),
    "numbers_in_names.txt": ("1 Vermis 3\n2 Vermis 4\n", {1: "Vermis 3", 2: "Vermis 4"}),
    "mricron.txt": ("1 Putamen_L 7011\n2 Putamen_R 7012\n", WORDS),
    "aal_name_first.txt": ("Putamen_L\t1\nPutamen_R\t2\n", WORDS),
    "roi_mni_v4.txt": (
        "PUL\tPutamen_L\t7011\nPUR\tPutamen_R\t7012\n",
        {7011: "Putamen_L", 7012: "Putamen_R"},
    ),
    "roi_mni_spaces.txt": (
        "PUL Putamen_L 7011\nPUR Putamen_R 7012\n",
        {7011: "Putamen_L", 7012: "Putamen_R"},
    ),
    "d99.tsv": (" 2 8Bm\n 3 11l\n", {2: "8Bm", 3: "11l"}),
    "itksnap.label": (
        '# header\n    0     0    0    0        0  0  0    "Clear Label"\n'
        '    1   255    0    0        1  1  1    "Left Putamen"\n'
        '    2     0  255    0        1  1  1    "Right Putamen"\n',
        TWO,
    ),
    "aal.xml": (
        "<?xml version='1.0' encoding='ISO-8859-1'?><atlas><data>"
        "<label><index>2001</index><name>Precentral_L</name></label>"
        "<label><index>2002</index><name>Precentral_R</name></label></data></atlas>",
        {2001: "Precentral_L", 2002: "Precentral_R"},
    ),
    "fsl_labels.xml": (
        "<atlas><header><type>Label</type></header><data>"
        '<label index="0" x="1">Unclassified</label>'
        '<label index="1" x="1">Left Putamen</label>'
        '<label index="2">Right Putamen</label></data></atlas>',
        TWO,
    ),
    "fsl_probabilistic.xml": (
        "<atlas><header><type>Probabilistic</type></header><data>"
        '<label index="0" x="1">Left Putamen</label>'
        '<label index="1">Right Putamen</label></data></atlas>',
        TWO,
    ),
    "same_line_twice.tsv": (
        "index\tname\n1\tLeft Putamen\n1\tLeft Putamen\n2\tRight Putamen\n",
        TWO,
    ),
    "untidy.tsv": (
        "index\tname\r\n1.0\t Left   Putamen \r\n2\tRight Putamen\r\n\r\n3\tn/a\r\n",
        TWO,
    ),
    "large.tsv": ("index\tname\n2147483647\tX\n", {2147483647: "X"}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    text, expected = LAYOUTS[name]
    (tmp_path / name).write_text(text, newline="")
    assert read_label_table(tmp_path / name) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    table = tmp_path / "t.tsv"
    name = "Türk\u2026s field" if encoding.startswith("utf") else "Türksches Feld"
    table.write_bytes(f"index\tname\n1\t{name}\n2\tB\n".encode(encoding))
    assert read_label_table(table) == {1: name, 2: "B"}


def test_a_windows_character_ends_no_line(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_bytes(b"index\tname\n1\tT\xfcrk\x85s field\n")  # \x85: …, a line end in Latin-1
    assert list(read_label_table(table)) == [1]
    assert read_label_table(table)[1].endswith("s field")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("index\tname\n1\tA\n1\tB\n", "calls label 1 'A' and 'B'"),
        ("index\tname\n0\tLeft Frontal Pole\n1\tRight Frontal Pole\n", "label 0 is background"),
        ("Left Value\tRight Value\tstructure\n1\t2\tA\n", "no columns index and name .*Left Value"),
        ("index\tcolour\n1\t#ff\n", "no columns index and name"),
        ("index\tname\n-1\tA\n", "'-1' of 'A'"),
        ("index\tname\n2147483648\tA\n", "not a whole number"),
        ("", "names no labels"),
        ("index\tname\n", "no columns|names no labels"),
        ("1 A b\nsome words here\n", "cannot read the line 'some words here'"),
        ("<atlas><label>", "not valid XML"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "t.txt"
    table.write_text(text)
    with pytest.raises(BadDataError, match=said) as caught:
        read_label_table(table)
    assert caught.value.file == str(table)
    assert caught.value.fix


def test_a_missing_table_and_an_image_as_table(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no such label table"):
        read_label_table(tmp_path / "none.tsv")
    (tmp_path / "x.tsv").write_bytes(b"\x1f\x8b\x00\x00\xff")
    with pytest.raises(BadDataError, match="not a text file"):
        read_label_table(tmp_path / "x.tsv")


def test_the_table_beside_an_image(tmp_path: Path) -> None:
    image = tmp_path / "tpl-X_atlas-A_res-1_dseg.nii.gz"
    assert find_label_table(image) is None
    others = ["tpl-X_atlas-B_dseg.tsv", "tpl-X_atlas-A_res-2_dseg.tsv", "tpl-X_atlas-A_probseg.tsv"]
    for name in others:
        (tmp_path / name).touch()
    assert find_label_table(image) is None
    for name in (
        "tpl-X_dseg.tsv",
        "tpl-X_atlas-A_dseg.tsv",
        "tpl-X_atlas-A_res-1_dseg.txt",
        "tpl-X_atlas-A_res-1_dseg.tsv",
    ):
        (tmp_path / name).touch()
        assert find_label_table(image) == tmp_path / name
