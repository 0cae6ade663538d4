"""SpRAy: how long, against scikit-learn alone, how it grows, how many true neighbours are found.

    python benchmarks/spray.py speed  [--maps 450] [--voxels 230000] [--corelay FOLDER]
    python benchmarks/spray.py growth [--maps 500 1000 2000 4000 8000] [--voxels 230000]
    python benchmarks/spray.py recall [--maps 20000] [--voxels 20000] [--dimensions 256 512 1024]

Maps are mixtures of 30 shapes with noise, in as many groups as 4, float32 in a file. Every
run is a process of its own; its peak memory (resident, the pages of the file that are mapped
included) is measured by the system. FOLDER: of `pip install --target FOLDER corelay`, whose
spectral clustering and t-SNE are run on the same maps, too. `growth` prints the exponent of time
over maps. Threads: OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bids_xai.core.spray.clusters import N_NEIGHBORS, spray
from bids_xai.core.spray.embedding import neighbours_needed
from bids_xai.core.spray.neighbours import exact_neighbours
from bids_xai.core.spray.search import approximate_neighbours
from bids_xai.core.spray.stability import stability

SHAPES, GROUPS, NOISE = 30, 4, 3.0
BOUND_S, LEAST_RECALL = 30.0, 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("speed", "growth", "recall"))
    parser.add_argument("--maps", type=int, nargs="+")
    parser.add_argument("--voxels", type=int)
    parser.add_argument("--dimensions", type=int, nargs="+", default=(256, 512, 1024))
    parser.add_argument("--memory-mb", type=float, default=1024.0)
    parser.add_argument("--corelay", type=Path, help="where CoRelAy is installed")
    parser.add_argument("--work", type=Path, help="folder for the maps")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.work) as folder:
        {"speed": speed, "growth": growth, "recall": recall}[asked.part](asked, Path(folder))


def write_maps(file: Path, n: int, p: int) -> None:
    """Maps (n, p), written a hundred at a time."""
    rng = np.random.default_rng(0)
    shapes = rng.standard_normal((SHAPES, p), dtype=np.float32)
    centres = 3 * rng.standard_normal((GROUPS, SHAPES), dtype=np.float32)
    maps = np.lib.format.open_memmap(file, "w+", np.float32, (n, p))
    for start in range(0, n, 100):
        stop = min(start + 100, n)
        group = np.arange(start, stop) % GROUPS
        weights = centres[group] + rng.standard_normal((stop - start, SHAPES), dtype=np.float32)
        noise = rng.standard_normal((stop - start, p), dtype=np.float32)
        maps[start:stop] = weights @ shapes + NOISE * noise
    maps.flush()


def measured(call: Callable[..., object], *arguments: object) -> tuple[float, float, object]:
    """Seconds, peak memory in MiB and result of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_timed, (call, *arguments))


def _timed(call: Callable[..., object], *arguments: object) -> tuple[float, float, object]:
    start = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - start, peak_mib(), result


def peak_mib() -> float:
    """Peak memory of this process; ru_maxrss would hold that of the process that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM:")]
    return float(line.split()[1]) / 1024


def ours(file: Path, memory_mb: float) -> int:
    return spray(np.load(file, mmap_mode="r"), memory_mb=memory_mb).n_clusters


def ours_with_stability(file: Path, memory_mb: float) -> int:
    result = spray(np.load(file, mmap_mode="r"), memory_mb=memory_mb)
    return stability(result).clusters.size


def scikit_learn(file: Path) -> int:
    """Neighbours, eigenvalues for the gap, labels and picture with its parts alone."""
    from scipy.linalg import eigh
    from sklearn.cluster import SpectralClustering
    from sklearn.manifold import TSNE
    from sklearn.neighbors import kneighbors_graph

    maps = np.load(file)
    graph = kneighbors_graph(maps, 12, include_self=True).toarray()
    affinity = 0.5 * (graph + graph.T)
    scale = affinity.sum(axis=1) ** -0.5
    values = eigh(np.eye(len(maps)) - scale[:, None] * affinity * scale, eigvals_only=True)[:10]
    k = int(np.argmax(np.diff(values))) + 1
    SpectralClustering(k, affinity="precomputed", random_state=0).fit_predict(affinity)
    distances = 1 / (affinity + 1e-3)
    np.fill_diagonal(distances, 0)
    TSNE(metric="precomputed", init="random", perplexity=12, random_state=0).fit_transform(
        distances
    )
    return k


_CORELAY = """
import sys, time
import numpy as np
from corelay.pipeline.spectral import SpectralEmbedding
from corelay.processor.affinity import SparseKNN
from corelay.processor.clustering import KMeans
from corelay.processor.embedding import EigenDecomposition, TSNEEmbedding
start = time.perf_counter()
pipeline = SpectralEmbedding(
    affinity=SparseKNN(n_neighbors=12, symmetric=True),
    embedding=EigenDecomposition(n_eigval=32),
)
values, vectors = pipeline(np.load(sys.argv[1]))
KMeans(n_clusters=int(sys.argv[2]))(vectors)
TSNEEmbedding()(vectors)
seconds = time.perf_counter() - start
status = open("/proc/self/status").read().splitlines()
print(seconds, float([one for one in status if one.startswith("VmHWM:")][0].split()[1]) / 1024)
"""


def corelay(file: Path, folder: Path) -> tuple[float, float, int]:
    """Its own pipeline in its own environment; it is told the number of clusters."""
    done = subprocess.run(
        [sys.executable, "-c", _CORELAY, str(file), str(GROUPS)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, peak = map(float, done.stdout.split()[-2:])
    return seconds, peak, GROUPS


def speed(asked: argparse.Namespace, folder: Path) -> None:
    """One cohort: ours, ours with stability, and scikit-learn."""
    n, p = (asked.maps or [450])[0], asked.voxels or 230_000
    file = folder / "maps.npy"
    write_maps(file, n, p)
    print(f"{n} maps of {p} voxels")
    seconds = {}
    for name, call, arguments in (
        ("bids_xai", ours, (file, asked.memory_mb)),
        ("bids_xai with stability", ours_with_stability, (file, asked.memory_mb)),
        ("scikit-learn", scikit_learn, (file,)),
    ):
        seconds[name], peak, k = measured(call, *arguments)
        print(f"  {name:25} {seconds[name]:8.1f} s {peak:8.0f} MiB   {k} clusters")
    if asked.corelay is not None:
        seconds["CoRelAy"], peak, k = corelay(file, asked.corelay)
        print(f"  {'CoRelAy':25} {seconds['CoRelAy']:8.1f} s {peak:8.0f} MiB   {k} clusters given")
    for other in ("scikit-learn", "CoRelAy"):
        if other in seconds:
            print(f"  {seconds[other] / seconds['bids_xai']:.1f} x as fast as {other}")
    print(f"  {'within' if seconds['bids_xai'] <= BOUND_S else 'BEYOND'} {BOUND_S:.0f} s")


def growth(asked: argparse.Namespace, folder: Path) -> None:
    """More and more maps of one size."""
    sizes, p = asked.maps or [500, 1000, 2000, 4000, 8000], asked.voxels or 230_000
    file = folder / "maps.npy"
    write_maps(file, max(sizes), p)
    times = []
    for n in sizes:
        part = folder / "part.npy"
        np.save(part, np.load(file, mmap_mode="r")[:n])
        seconds, peak, k = measured(ours, part, asked.memory_mb)
        times.append(seconds)
        print(f"  {n:6} maps {seconds:8.1f} s {peak:8.0f} MiB   {k} clusters", flush=True)
    if len(sizes) > 1:
        slope = np.polyfit(np.log(sizes), np.log(times), 1)[0]
        print(f"  time grows with the power {slope:.2f} of the number of maps")


def search(file: Path, dimensions: int, memory_mb: float) -> float | None:
    maps = np.load(file, mmap_mode="r")
    count = neighbours_needed(len(maps), N_NEIGHBORS)
    return approximate_neighbours(maps, count, dimensions=dimensions, memory_mb=memory_mb).recall


def exact(file: Path, memory_mb: float) -> None:
    maps = np.load(file, mmap_mode="r")
    exact_neighbours(maps, neighbours_needed(len(maps), N_NEIGHBORS), memory_mb=memory_mb)


def recall(asked: argparse.Namespace, folder: Path) -> None:
    """Approximate against exact search."""
    n, p = (asked.maps or [20_000])[0], asked.voxels or 20_000
    file = folder / "maps.npy"
    write_maps(file, n, p)
    print(f"{n} maps of {p} voxels")
    for dimensions in asked.dimensions:
        seconds, peak, share = measured(search, file, dimensions, asked.memory_mb)
        word = "enough" if isinstance(share, float) and share >= LEAST_RECALL else "TOO FEW"
        print(
            f"  {dimensions:5} dimensions {seconds:8.1f} s {peak:8.0f} MiB   recall {share:.3f} "
            f"({word})",
            flush=True,
        )
    seconds, peak, _ = measured(exact, file, asked.memory_mb)
    print(f"  exact            {seconds:8.1f} s {peak:8.0f} MiB")


if __name__ == "__main__":
    main()
