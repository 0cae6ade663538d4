"""Quality of a session on its page: the table, and the sentences on top."""

from __future__ import annotations

import math
import re
from pathlib import Path

from bids_xai.core.qc_limits import LIMITS, Limit
from bids_xai.reports.participant import session_pictures
from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.qc import (
    LOOK_AT,
    Look,
    finding,
    problems,
    qc_table,
    value_text,
    verdict_words,
)
from bids_xai.reports.participant.session_pictures import session_figures
from bids_xai.tables.qc import Measure

T1W = "sub-01_space-MNI152NLin2009aSym_res-2_desc-preproc_T1w"


def measure(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    metric: str = "MaskDice",
    image: str = T1W,
) -> Measure:
    limit = Limit("", -math.inf if low is None else low, math.inf if high is None else high)
    return Measure(
        image=image,
        metric=metric,
        value=value,
        low=low,
        high=high,
        flagged=limit.flags(math.nan if value is None else value),
        meaning="overlap <of> masks",
    )


def test_flagged_lines_come_first_and_are_marked() -> None:
    (table,) = qc_table([measure(0.95, 0.9), measure(0.71, 0.9)])
    assert "1 of 2 metrics" in table.caption  # type: ignore[union-attr]
    first, second = table.rows  # type: ignore[union-attr]
    assert "<strong" in first[0]
    assert "below 0.9" in first[1]
    assert "<strong" not in "".join(second)
    assert "overlap &lt;of&gt; masks" in second[0]  # a phone shows the first column
    assert qc_table([]) == []


def look(desc: str, suffix: str, **entities: str) -> Look:
    return Look(f"{desc} & {suffix}", f"{desc}-{suffix}", {"desc": desc, **entities}, suffix)


def test_a_problem_says_value_limit_meaning_and_where_to_look() -> None:
    (sentence,) = problems(
        [measure(0.71, 0.9), measure(0.95, 0.9)], [look("templatemask", "T1w")], "2"
    )
    assert sentence == (
        "ses-2: MaskDice 0.71 is below 0.9: overlap &lt;of&gt; masks "
        "(space-MNI152NLin2009aSym_res-2_desc-preproc_T1w) — look at "
        '<a href="#templatemask-T1w">templatemask &amp; T1w</a>'
    )
    (sentence,) = problems([measure(None, 0.9)], [])
    assert sentence.startswith("MaskDice is undefined: ")
    assert "look at the image itself" in sentence


def test_the_picture_of_the_very_image_is_pointed_at() -> None:
    pictures = [
        look("registration", "R2starmap", space="T1w"),
        look("registration", "FLAIR", space="T1w"),
        look("registration", "R2starmap", space="T1w", acq="hr"),
        look("brainmask", "T1w"),
    ]
    found = [
        problems([measure(0.1, 0.6, metric="BrainCovered", image=image)], pictures)[0]
        for image in ("sub-01_acq-hr_space-T1w_R2starmap", "sub-01_space-T1w_desc-preproc_FLAIR")
    ]
    assert "#registration-R2starmap" in found[0]
    assert "#registration-FLAIR" in found[1]


def test_every_metric_has_a_picture_that_is_drawn() -> None:
    assert set(LOOK_AT) == set(LIMITS)
    known = set(re.findall(r'"desc": "(\w+)"', Path(str(session_pictures.__file__)).read_text()))
    known |= {"lesion", "lesionfilled"}
    assert {desc for wanted in LOOK_AT.values() for desc in wanted} <= known


def test_flagged_rows_stand_on_top_of_the_page(participant_dir: Path) -> None:
    anat = participant_dir / "sub-01" / "ses-2" / "anat"
    session_figures(participant_dir, {"sub": "01", "ses": "2"})
    page = write_participant_page(participant_dir, "01", ["the fit failed"]).read_text()
    top = page.partition('<h2 id="summary">')[0]
    assert top.index("the fit failed") < top.index("ses-2: MaskDice 0.71 is below 0.9")
    anchor = re.search(r'look at <a href="#([^"]+)"', top)
    assert anchor
    assert f'<span id="{anchor[1]}">' in page
    assert "templatemask" in anchor[1]
    assert "ses-2" in anchor[1]
    for table in anat.glob("*_qc.*"):
        table.unlink()
    page = write_participant_page(participant_dir, "01", []).read_text()
    assert "None reported" in page
    assert page.count("out of the limits</caption>") == 1  # that of session 1
    assert "Quality: not measured." in page


def test_a_session_is_judged_in_a_word() -> None:
    good, bad = measure(0.95, 0.9), measure(0.71, 0.9)
    assert verdict_words([]) == "Quality: not measured."
    assert verdict_words([good, good]) == "Quality: within the limits (2 metrics)."
    assert verdict_words([bad]) == "Quality: to be checked. 1 of 1 metric is out of the limits."
    assert verdict_words([bad, good, bad]).endswith("2 of 3 metrics are out of the limits.")


def test_values_have_four_digits_and_whole_numbers_all() -> None:
    values = (0.123456, 123456.0, 1e12, None)
    assert [value_text(measure(v)) for v in values] == ["0.1235", "123456", "1e+12", "n/a"]
    assert finding(measure(200.0, high=150.0)).startswith("MaskDice 200 is above 150: overlap")
