"""Tables of a study file: heatmaps, whether they can be trusted, their clusters."""

from __future__ import annotations

from dataclasses import dataclass, field

from bids_xai.studies.tables.plain import Plain

SPRAY_SPACES = ("T1w", "template")


@dataclass(frozen=True)
class Attribution:
    """How test scans are explained.

    target : class that methods starting from one class explain: its name, ``positive``,
        ``predicted`` or ``true``
    options : method -> its options
    """

    methods: tuple[str, ...] = ("lrp-zplus",)
    target: str = "positive"
    options: Plain = field(default_factory=dict)


@dataclass(frozen=True)
class Quality:
    """Whether the heatmaps can be trusted.

    scans : most test scans of a configuration that are perturbed; 0 for none
    cube_mm, stride_mm : edge of the cubes, and from one to the next (0: the edge)
    placement : ``grid``, or ``greedy`` for cubes that are sought and do not overlap
    ordering : by ``sum`` of relevance, or of its ``absolute`` value
    steps : most steps of a curve, of ``cubes_per_step`` cubes each (0: a quarter of all cubes is
        spread over the steps)
    random_orders, noise_draws : repetitions
    randomization_scans : most test scans of a configuration that are explained with random weights;
        0 for none
    randomization_without : methods left out there, as each of their maps takes many passes
    tolerance_mm : how far outside the true region the highest voxel may lie
    """

    scans: int = 20
    cube_mm: float = 20.0
    stride_mm: float = 0.0
    placement: str = "grid"
    ordering: str = "sum"
    steps: int = 20
    cubes_per_step: int = 0
    random_orders: int = 5
    noise_draws: int = 1
    randomization_scans: int = 5
    randomization_without: tuple[str, ...] = ("occlusion", "area-occlusion")
    tolerance_mm: float = 0.0


@dataclass(frozen=True)
class Spray:
    """Spectral relevance analysis; maps finer than ``voxel_mm`` are resampled to it.

    features : what of a map is compared (``core.spray.features.FEATURES``)
    inputs : whether the input maps are clustered as well, as a control
    embedding : ``tsne`` or ``umap``; bootstraps : samples behind the stability of clusters
    approximate_from : number of maps from which neighbours are searched approximately
    precision : ``float32`` or ``float16`` of the features on disk; memory_mb : bound of the search
    virelay : whether to write projects for ViRelAy
    """

    neighbours: int = 12
    spaces: tuple[str, ...] = SPRAY_SPACES
    voxel_mm: float = 2.0
    max_clusters: int = 9
    features: str = "plain"
    inputs: bool = True
    embedding: str = "tsne"
    bootstraps: int = 50
    approximate_from: int = 20_000
    precision: str = "float32"
    memory_mb: float = 1024.0
    virelay: bool = False
