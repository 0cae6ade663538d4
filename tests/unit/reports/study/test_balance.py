"""Balance of the classes before and after matching."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_cases import StudyCase, cells, of_kind, texts

from bids_xai.reports.blocks import Picture, TableBlock
from bids_xai.reports.study.cohort import cohort


def test_balance_stands_beside_its_dots(tmp_path: Path, quick: dict[str, Any]) -> None:
    case = StudyCase(tmp_path)
    case.people([None, None])
    treated, age, matched = case.matched()
    section = cohort(case.study)
    (table,) = (t for t in of_kind(section, TableBlock) if t.header[0] == "Covariate")
    assert table.header[1:] == (
        "AD before",
        "NC before",
        "AD after",
        "NC after",
        "SMD before",
        "SMD after",
        "Variance ratio before",
        "Variance ratio after",
    )
    lines = cells(table)
    assert list(lines) == ["age", "volume", "sex = M", "constant"]
    old, young = age[treated], age[~treated]
    assert lines["age"]["AD before"] == f"{old.mean():.1f} ± {old.std(ddof=1):.1f}"
    pooled = math.sqrt((old.var(ddof=1) + young.var(ddof=1)) / 2)
    before = (old.mean() - young.mean()) / pooled
    assert lines["age"]["SMD before"] == f"{before:+.2f}"
    is_matched = np.isin(np.arange(40), matched)
    after = (age[treated & is_matched].mean() - age[~treated & is_matched].mean()) / pooled
    assert lines["age"]["SMD after"] == f"{after:+.2f}".replace("-", "−")
    assert abs(after) < abs(before)
    assert lines["volume"]["NC after"].replace(" ± ", "").isdigit()
    assert lines["sex = M"]["AD before"].endswith(" %")
    assert lines["constant"]["Variance ratio after"] == "n/a"
    assert lines["constant"]["SMD after"] == "0.00"
    names, dots_before, dots_after = quick["balance_dots"]
    assert names == list(lines)
    assert (dots_before[0], dots_after[0]) == pytest.approx((before, after), rel=1e-6)
    (picture,) = of_kind(section, Picture)
    assert f"age {before:+.2f} and" in picture.alt


def test_nothing_is_said_about_balance_where_nobody_was_matched(tmp_path: Path) -> None:
    case = StudyCase(tmp_path)
    case.people([None, None])
    section = cohort(case.study)
    assert not of_kind(section, Picture)
    assert not [text for text in texts(section) if "balance.tsv" in text]
