"""Values of settings in words."""

from __future__ import annotations

from bids_xai.reports.study.methods.words import flattened, listed, options_words, value_words


def test_values_in_words() -> None:
    values = (None, "", [], {}, 0, 1e-6, 40.0, True, ["a", "b"], (0.7, 0.15))
    words = ["–", "–", "–", "–", "0", "1e-06", "40", "yes", "a, b", "0.7, 0.15"]
    assert [value_words(value) for value in values] == words


def test_lists_in_words() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(name for name in "abc") == "a, b and c"
    assert options_words({}) == ""
    assert options_words({"beta": 0.5, "start": "logit"}) == " (beta 0.5, start logit)"


def test_tables_become_dotted_keys_and_lists_of_tables_go_by_id() -> None:
    plain = {
        "a": {"b": {"c": 1}, "d": {}},
        "e": [{"id": "x", "f": 2}, {"f": 3}],
        "g": [1, 2],
        "h": None,
    }
    assert flattened(plain) == [
        ("a.b.c", 1),
        ("a.d", {}),
        ("e.x.id", "x"),
        ("e.x.f", 2),
        ("e.1.f", 3),
        ("g", [1, 2]),
        ("h", None),
    ]
