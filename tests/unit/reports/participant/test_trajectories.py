"""The course of leading regions over the sessions of a participant."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from participant_cases import Cells, write_session

from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.trajectories import CourseRegion, _mean_densities
from bids_xai.tables.atlas import RegionRow


def test_the_course_over_sessions(tmp_path: Path) -> None:
    write_session(tmp_path, "1")
    page = write_participant_page(tmp_path, "01", []).read_text()
    assert "Course over sessions" not in page
    write_session(tmp_path, "2", shift=1.0)
    write_session(tmp_path, "10", shift=-0.25)
    page = write_participant_page(tmp_path, "01", []).read_text()
    (course,) = [t for t in Cells(page).tables if t[0][-1] == "Change"]
    assert course[0] == ["Region", "Session 1", "Session 2", "Session 10", "Change"]
    assert course[1] == ["Right part 8", "9e-06", "1e-05", "8.75e-06", "-2.5e-07"]
    assert len(course) == 1 + 6
    assert "the sessions are equally spaced" in page
    order = re.findall(r'<h2 id="([^"]+)"', page)
    assert order == ["problems", "summary", "regions", "course-over-sessions", "how-this-was-made"]
    assert "Session 10: Regions of atlas X" in page
    raw = tmp_path / "raw"
    (raw / "sub-01").mkdir(parents=True)
    lines = "session_id\tage\nses-1\t72.5\nses-2\t70\nses-10\t71\n"
    (raw / "sub-01" / "sub-01_sessions.tsv").write_text(lines)
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    (course,) = [t for t in Cells(page).tables if t[0][-1] == "Change"]
    assert course[0] == ["Region", "Session 2", "Session 10", "Session 1", "Change"]
    assert "the sessions are equally spaced" not in page


def row(index: int, density: float | None) -> RegionRow:
    return RegionRow(
        method="m",
        atlas="X",
        index=index,
        name=f"part {index}",
        hemisphere=None,
        n_voxels=3,
        sum=None,
        abs_sum=None,
        density=density,
        share=None,
    )


def test_scans_of_a_session_are_averaged_where_they_have_a_density() -> None:
    scans = [[row(1, 0.5), row(2, None), row(3, 1.0)], [row(1, 1.5), row(2, None), row(3, None)]]
    means = _mean_densities(scans)
    assert means[CourseRegion(1, "part 1")] == 1.0
    assert math.isnan(means[CourseRegion(2, "part 2")])
    assert means[CourseRegion(3, "part 3")] == 1.0
    assert [region.index for region in means] == [1, 2, 3]
    assert _mean_densities(scans[:1])[CourseRegion(1, "part 1")] == pytest.approx(0.5)
