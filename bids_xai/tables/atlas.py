"""Tables of relevance by atlas region."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.core.map_similarity import TOP_SHARES
from bids_xai.core.regions.rankings import CONFIDENT, FEWEST_REGIONS, FINGERPRINT_REGIONS, TOP
from bids_xai.core.regions.sums import DENSITY_QUANTILES
from bids_xai.tables.cohort import ScanRow
from bids_xai.tables.table import Table, column

_Q025, _Q250, _Q500, _Q750, _Q975 = (f"{q:g}" for q in DENSITY_QUANTILES)
_IOUS = ", ".join(f"iou_{share:g}" for share in TOP_SHARES)


@dataclass(frozen=True, kw_only=True)
class RegionRow:
    """Relevance of one map in one region (participant level)."""

    method: str = column("Attribution method")
    atlas: str = column("Atlas, warped as its template; sums are taken on the template grid")
    index: int = column("Label value of the region")
    name: str = column("Name of the region")
    hemisphere: str | None = column("L or R where the name claims a side")
    n_voxels: int = column("Number of voxels of the region on the template grid")
    sum: float | None = column("Sum of relevance over the region")
    abs_sum: float | None = column("Sum of the absolute value of relevance over the region")
    density: float | None = column("sum / n_voxels")
    share: float | None = column("sum / sum of relevance over the whole map")


@dataclass(frozen=True, kw_only=True)
class ScanRegionRow(ScanRow):
    """Relevance of a test scan in one region."""

    configuration: str = column("Configuration of the study")
    split: int = column("Number of the split, from 0")
    method: str = column("Attribution method")
    atlas: str = column("Atlas, warped as its template; sums are taken on the template grid")
    index: int = column("Label value of the region")
    name: str = column("Name of the region")
    hemisphere: str | None = column("L or R where the name claims a side")
    n_voxels: int = column("Number of voxels of the region on the template grid")
    sum: float | None = column("Sum of relevance over the region")
    abs_sum: float | None = column("Sum of the absolute value of relevance over the region")
    density: float | None = column("sum / n_voxels")
    share: float | None = column("sum / sum of relevance over the whole map")
    true_class: str = column("Class of the participant")
    outcome: str = column("TP, FP, TN or FN")


@dataclass(frozen=True, kw_only=True)
class RegionGain:
    """A region in a group of scans, against the controls."""

    configuration: str = column("Configuration of the study")
    method: str = column("Attribution method")
    atlas: str = column("Atlas")
    index: int = column("Label value of the region; of joined sides the lower one")
    name: str = column("Name of the region; of joined sides without its side")
    group: str = column(
        "Class of the participants, others (all but the positive one, where there are"
        " more than two), or TP, FP, TN, FN"
    )
    gain: float | None = column(
        "mean_sum of the group / mean_sum of the controls, all scans not of the "
        "positive class; n/a where the latter is below a millionth of the relevance "
        "of all regions"
    )
    n: int = column("Number of scans of the group")
    hemisphere: str | None = column(
        "L, R, both where the sides are combined, n/a where the name gives none"
    )
    merged: bool = column("Whether left and right are joined")
    n_voxels: int = column("Number of voxels of the region")
    n_controls: int = column("Number of scans of the controls")
    mean_sum: float | None = column("Mean of sum over the scans of the group")
    mean_abs_sum: float | None = column("Mean of abs_sum")
    mean_density: float | None = column("Mean of density")
    mean_share: float | None = column("Mean of share")
    density_q025: float | None = column(f"Quantile {_Q025} of density over the scans of the group")
    density_q250: float | None = column(f"Quantile {_Q250} of density over the scans of the group")
    density_q500: float | None = column(f"Quantile {_Q500} of density over the scans of the group")
    density_q750: float | None = column(f"Quantile {_Q750} of density over the scans of the group")
    density_q975: float | None = column(f"Quantile {_Q975} of density over the scans of the group")


@dataclass(frozen=True, kw_only=True)
class RegionRank:
    """A leading region of a group by a metric."""

    configuration: str = column("Configuration of the study")
    method: str = column("Attribution method")
    atlas: str = column("Atlas")
    merged: bool = column("Whether left and right are joined")
    group: str = column("Class of the participants, or TP, FP, TN, FN")
    metric: str = column("sum, abs_sum, density (means over the scans of the group) or gain")
    rank: int = column(f"1 to {TOP}, 1 the largest")
    index: int = column("Label value of the region; of joined sides the lower one")
    name: str = column("Name of the region")
    value: float | None = column("Value of the metric")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How far two methods, splits or configurations agree."""

    comparison: str = column(
        "What differs between a and b: methods (variants of a method, such as other "
        "values of β, count as methods), splits or configurations"
    )
    configuration: str | None = column(
        "Configuration of the study, n/a where configurations are compared"
    )
    method: str | None = column("Attribution method, n/a where methods are compared")
    group: str = column("Class of the participants, or TP, FP, TN, FN")
    a: str = column("First method, split or configuration")
    b: str = column("Second one")
    atlas: str | None = column("Atlas, n/a for measures of mean maps")
    merged: bool | None = column("Whether left and right are joined, n/a for measures of mean maps")
    metric: str = column(
        f"top{TOP}_sum, top{TOP}_abs_sum, top{TOP}_density, top{TOP}_gain: proportion of the "
        f"{TOP} leading regions that both share, for atlases with {FEWEST_REGIONS} or more "
        f"regions. Of means: {_IOUS}: intersection over union of the smallest sets of voxels that "
        "contain this share of the positive relevance; ssim: structural similarity in 3-D, and "
        "spearman: rank correlation, both in the template's brain mask; euclidean: distance of "
        "maps over the sum of their magnitudes; l2: distance of maps over their largest magnitude"
    )
    value: float | None = column("Value of the metric")


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A region of one of two individuals whose heatmaps differ most."""

    configuration: str = column("Configuration of the study")
    method: str = column("Attribution method")
    atlas: str = column("Atlas")
    merged: bool = column("Whether left and right are joined")
    individual: str = column("A or B")
    participant_id: str = column("Participant")
    session_id: str | None = column("Session, n/a where the dataset has none")
    split: int = column("Number of the split, from 0")
    probability: float | None = column("Probability of the positive class")
    cosine_distance: float | None = column(
        "1 - cosine of the densities of A and B over these regions"
    )
    n_candidates: int = column(
        f"True positives with a probability above {CONFIDENT:g} to choose from"
    )
    index: int = column("Label value of the region; of joined sides the lower one")
    name: str = column(
        f"Region, of the {FINGERPRINT_REGIONS} with the highest mean density in the positive class"
    )
    density: float | None = column("Density of the region in this scan")


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """A region between the first and the last session of a participant."""

    participant_id: str = column("Participant with test scans of two or more sessions")
    configuration: str = column("Configuration of the study")
    split: int = column("Number of the split, from 0: both ends are from its one network")
    method: str = column("Attribution method")
    atlas: str = column("Atlas")
    index: int = column("Label value of the region")
    name: str = column("Name of the region")
    hemisphere: str | None = column("L, R, n/a where the name gives none")
    true_class: str = column("Class of the participant in the last session")
    first_session: str = column("First session by age or date, else by its label")
    last_session: str = column("Last one")
    n_sessions: int = column("Number of sessions")
    years: float | None = column(
        "Years between both, from age or acq_time of sessions.tsv; n/a where "
        "not known for all sessions",
        unit="year",
    )
    density_first: float | None = column(
        "Density of the region in the first session, mean of its scans"
    )
    density_last: float | None = column("In the last one")
    change: float | None = column("density_last - density_first")


@dataclass(frozen=True, kw_only=True)
class RegionVolume:
    """The volume of a region in a scan."""

    scan: str = column("Scan, as in the names of its files")
    atlas: str = column("Atlas")
    index: int = column("Label value of the region")
    name: str = column("Name of the region")
    volume_ml: float | None = column(
        "Volume of the region in the T1w image, from the warped atlas, in ml", unit="ml"
    )


@dataclass(frozen=True, kw_only=True)
class BiologyRow:
    """Relevance of a region against its volume or lesions."""

    configuration: str = column("Configuration of the study")
    method: str = column("Attribution method")
    atlas: str | None = column("Atlas; n/a for the whole map")
    index: int | None = column("Label value of the region; of joined sides the lower one")
    name: str = column("Name of the region, its sides joined where it has two; or whole map")
    group: str = column("all, class of the participants, or TP")
    measure: str = column(
        "volume: relevance (sum) of the region with its volume; lesion_load: with the"
        " volume of the lesion mask; lesion_share: fraction of the positive "
        "relevance that lies in lesions, Σ(lm·hm⁺)/Σhm⁺ on the grid of the network"
    )
    source: str = column(
        "Where the measure comes from: dseg (the atlas warped to the T1w image), "
        "table (the user's) or lesion mask"
    )
    r: float | None = column(
        "Pearson's r over participants, whose scans are averaged; n/a where nothing varies"
    )
    p_value: float | None = column("Two-sided permutation p, (1 + k) / (1 + n_permutations)")
    p_holm: float | None = column("p_value corrected by Holm over the regions of the atlas")
    n: int = column("Number of participants")
    n_permutations: int | None = column("Number of permutations; all possible ones where exact")
    exact: bool | None = column("Whether all permutations were enumerated")
    seed: int | None = column("Seed of the random permutations")
    mean: float | None = column(
        "Mean of the measure over the participants: ml (as in the user's table), or the share"
    )


REGIONS_OF_SCAN = Table("_regions.tsv", RegionRow, "participant")
REGIONS = Table("regions.tsv", ScanRegionRow, "atlas")
GAIN = Table("gain.tsv", RegionGain, "atlas")
RANKINGS = Table("rankings.tsv", RegionRank, "atlas")
OVERLAP = Table("overlap.tsv", Overlap, "atlas")
FINGERPRINTS = Table("fingerprints.tsv", Fingerprint, "atlas")
TRAJECTORIES = Table("trajectories.tsv", Trajectory, "atlas")
VOLUMES = Table("volumes.tsv", RegionVolume, "atlas")
BIOLOGY = Table("biology.tsv", BiologyRow, "atlas")
