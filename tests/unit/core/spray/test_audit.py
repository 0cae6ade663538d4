"""The audit on cohorts with a known answer: planted cheats are named."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from bids_xai.core.spray.audit import EXPECTED, MODEL, PERSONAL, SUSPECT, Covariate, audit
from bids_xai.core.spray.graph import (
    cluster_rows,
    embedding_rows,
    largest_gap,
    neighbour_affinity,
    smallest_eigenpairs,
)

PERMUTATIONS = 4999  # a quarter of the default, for speed
CLASSES = np.array(["NC", "AD"])


def _cohort(seed: int, n: int = 60) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Sick or not, and heatmaps (n, 200) in which the sick differ."""
    rng = np.random.default_rng(seed)
    sick = rng.permutation(np.arange(n) % 2)
    maps = rng.normal(size=(n, 200)) * 0.5
    maps[sick == 1, :20] += 2.0
    return rng, sick, maps


def _known(rng: np.random.Generator, sick: np.ndarray) -> list[Covariate]:
    """Site and scanner by chance; brain volume and age differ between the classes."""
    n = sick.size
    text = {"site": rng.choice(list("ABC"), n), "scanner": rng.choice(["X", "Y"], n)}
    numbers = {
        "BrainVolumeMl": 1400 - 80 * sick,
        "snr": 0 * sick,
        "mask_volume": -sick,
        "MaskDice": 0 * sick,
        "Correlation": 0 * sick,
    }
    made = [Covariate(name, values, SUSPECT, name) for name, values in text.items()]
    made += [
        Covariate(name, shift + 60 * rng.normal(size=n), SUSPECT, name)
        for name, shift in numbers.items()
    ]
    made.append(Covariate("age", 70 + 4 * sick + 6 * rng.normal(size=n), PERSONAL, "age"))
    made.append(Covariate("class", CLASSES[sick], EXPECTED, "class"))
    made.append(Covariate("split", rng.choice(["0", "1", "2"], n), MODEL, "split"))
    outside = np.clip(0.35 + 0.08 * rng.normal(size=n), 0, 1)
    made.append(
        Covariate(
            "outside",
            outside,
            SUSPECT,
            "relevance outside the brain",
            is_share=True,
            misplaced=True,
        )
    )
    return made


def _run(maps: np.ndarray, sick: np.ndarray, known: list[Covariate]):
    affinity = neighbour_affinity(maps, 12)  # spray() without its picture, for speed
    spectrum = smallest_eigenpairs(affinity, 10)
    k = largest_gap(spectrum.gaps, 9)
    labels = cluster_rows(embedding_rows(spectrum, affinity, k), k, 0)
    names = [f"sub-{i:02d}" for i in range(sick.size)]
    return labels, audit(
        labels, known, classes=list(CLASSES[sick]), participants=names, permutations=PERMUTATIONS
    )


def test_honest_cohorts_raise_no_alarm() -> None:
    alarms, diagnosis = 0, 0
    for seed in range(20):
        rng, sick, maps = _cohort(seed)
        labels, found = _run(maps, sick, _known(rng, sick))
        assert adjusted_rand_score(sick, labels) > 0.9
        alarms += bool(found.suspicious)
        diagnosis += any(v.finding == "diagnosis" for v in found.verdicts)
    assert alarms <= 1
    assert diagnosis == 20


@pytest.mark.parametrize(("n", "seeds"), [(120, 20), (1000, 10)])
def test_imperfect_clusters_of_the_sick_raise_no_alarm(n: int, seeds: int) -> None:
    """Clusters follow how sick somebody is, and so does the brain's volume: nothing technical."""
    alarms, tested = 0, 0
    for seed in range(seeds):
        rng, sick, _ = _cohort(seed, n)
        how_sick = rng.normal(size=n)
        severity = sick * 2.6 + how_sick
        labels = (severity > 1.3).astype(np.int64)
        assert 0.05 < (labels != sick).mean() < 0.2
        known = _known(rng, sick)
        volume = 1400 - 80 * sick - 15 * how_sick + 60 * rng.normal(size=n)
        known[2] = Covariate("BrainVolumeMl", volume, SUSPECT, "brain volume")
        found = audit(
            labels,
            known,
            classes=list(CLASSES[sick]),
            participants=[str(i) for i in range(n)],
            permutations=999,
        )
        tested += any(r.q_within is not None and r.covariate.kind == SUSPECT for r in found.rows)
        alarms += bool(found.suspicious)
    assert tested == seeds
    assert alarms <= seeds // 20


def test_what_the_diagnosis_hides_is_found() -> None:
    """A cluster by SNR within the classes, which the classes' own SNR cancels over the cohort."""
    rng = np.random.default_rng(0)
    sick = np.arange(200) % 2
    noise = rng.normal(size=200)
    cluster = (noise + 1.2 * sick > 0.6).astype(np.int64)
    snr = 1.5 * noise - 1.35 * sick + 0.5 * rng.normal(size=200)
    found = audit(
        cluster,
        [Covariate("snr", snr, SUSPECT, "SNR")],
        classes=list(CLASSES[sick]),
        participants=[str(i) for i in range(200)],
    )
    row = found.rows[0]
    assert abs(row.test.effect_size) < 0.5 < abs(row.effect)
    assert found.suspicious
    assert f"rank-biserial r {found.rows[0].effect:.2f}, q" in "".join(
        verdict.text for verdict in found.suspicious
    )


def test_the_heatmaps_of_a_late_split_are_seen() -> None:
    """Ten splits of fifteen of sixty people: a cluster is one model's heatmaps, whichever it is."""
    rng = np.random.default_rng(0)
    people = np.concatenate([rng.permutation(60)[:15] for _ in range(10)])
    splits = np.repeat(np.arange(10), 15)
    for late in (0, 5, 9):
        labels = (splits == late).astype(np.int64)
        found = audit(
            labels,
            [Covariate("split", splits.astype(str), MODEL, "split")],
            classes=list(CLASSES[people % 2]),
            participants=[f"p{i:02d}" for i in people],
            splits=[str(k) for k in splits],
        )
        assert {v.finding for v in found.verdicts} == {"model"}
        assert "heatmaps with split" in found.verdicts[0].text


def test_examples_are_of_different_people() -> None:
    labels = np.repeat([0, 1], 30)
    people = [f"p{i // 5}" for i in range(60)]
    site = Covariate("site", np.where(labels == 1, "B", "A"), SUSPECT, "site")
    found = audit(labels, [site], classes=["AD"] * 60, participants=people)
    for verdict in found.verdicts:
        assert len({people[i] for i in verdict.examples}) == 3


def test_a_site_that_nobody_could_tell_from_the_class_is_mentioned() -> None:
    rng = np.random.default_rng(0)
    sick = np.arange(60) % 2
    site = np.where(rng.random(60) < np.where(sick == 1, 0.85, 0.15), "B", "A")
    found = audit(
        sick.astype(np.int64),
        [
            Covariate("site", site, SUSPECT, "site"),
            Covariate("class", CLASSES[sick], EXPECTED, "class"),
        ],
        classes=list(CLASSES[sick]),
        participants=[str(i) for i in range(60)],
    )
    assert not found.suspicious
    for verdict in found.verdicts:
        assert "cannot be separated from the class here: site (Cramér's V 0." in verdict.text
        assert "nothing else" not in verdict.text


def test_chance_clusters_raise_no_alarm() -> None:
    """Clusters that mean nothing, which the diagnosis does not explain either."""
    alarms = 0
    for seed in range(20):
        rng, sick, _ = _cohort(seed)
        names = [str(i) for i in range(sick.size)]
        found = audit(
            rng.integers(4, size=60),
            _known(rng, sick),
            classes=list(CLASSES[sick]),
            participants=names,
            permutations=4999,
        )
        alarms += bool(found.suspicious)
    assert alarms <= 1


@pytest.mark.parametrize("seed", range(4))
def test_a_marker_in_a_third_of_the_sick_is_named(seed: int) -> None:
    rng, sick, maps = _cohort(seed, 90)
    known = _known(rng, sick)
    cheat = (sick == 1) & (np.cumsum(sick == 1) % 3 == 0)
    maps[cheat, 150:170] += 4.0
    known[-1].values[cheat] = 0.8
    place = np.zeros(90, dtype=int)  # equal parts of marked and unmarked sick at every site, or
    for group in (cheat, (sick == 1) & ~cheat, sick == 0):  # chance may make the site a reason, too
        place[group] = np.arange(group.sum()) % 3
    known[0] = Covariate("site", np.array(list("ABC"))[place], SUSPECT, "site")
    labels, found = _run(maps, sick, known)
    (worst,) = found.suspicious
    assert adjusted_rand_score(cheat, labels == worst.cluster) >= 0.8
    assert found.verdicts[0] is worst
    assert "relevance outside the brain 80 % (others 3" in worst.text
    assert "15 AD" in worst.text
    assert all(cheat[i] for i in worst.examples)


def test_a_site_is_named() -> None:
    rng, sick, maps = _cohort(1)
    known = _known(rng, sick)
    site = known[0].values == "B"
    maps[site, 100:130] += 3.0
    labels, found = _run(maps, sick, known)
    assert found.verdicts[0].finding == "suspicious"
    assert all("scans with site" in verdict.text for verdict in found.suspicious)
    named = [v for v in found.suspicious if "site B" in v.text]  # the others hold no scan of B
    assert named
    assert all(f"the {int(site.sum())} scans with site B (Cramér's V" in v.text for v in named)
    row = next(r for r in found.rows if r.counts and r.covariate.name == "site")
    assert row.n == 60
    assert row.q_within is not None
    assert row.q_within <= 0.01
    named = np.isin(labels, [v.cluster for v in found.suspicious if "site B" in v.text])
    assert adjusted_rand_score(site, named) >= 0.8


def test_a_model_and_a_trait_are_no_cheats() -> None:
    rng, sick, maps = _cohort(2)
    known = _known(rng, sick)
    split = known[-2].values == "1"
    maps[split, 100:130] += 4.0
    assert _run(maps, sick, known)[1].verdicts[0].finding == "model"
    rng, sick, maps = _cohort(3)
    known = _known(rng, sick)
    old = known[-4].values > np.median(known[-4].values)
    maps[old, 100:130] += 4.0
    first = _run(maps, sick, known)[1].verdicts[0]
    assert first.finding == "personal"
    assert "age" in first.text


def test_repeated_scans_count_once() -> None:
    """Ten scans a participant: ten times the scans, no more evidence than six participants give."""
    labels = np.repeat([0, 0, 0, 1, 1, 1], 10)
    site = Covariate("site", np.repeat(list("AAABBB"), 10), SUSPECT, "site")
    people = list(np.repeat([f"p{i}" for i in range(6)], 10))
    found = audit(labels, [site], classes=["AD"] * 60, participants=people)
    (first, _) = found.rows
    assert first.n == 6
    assert first.test.p == pytest.approx(0.1)
    assert not found.suspicious
    visits = Covariate("scanner", np.tile(["X", "Y"], 30), SUSPECT, "scanner")
    found = audit(np.tile([0, 1], 30), [visits], classes=["AD"] * 60, participants=people)
    assert found.rows[0].n == 12  # each of six participants once for either scanner
    assert found.suspicious


def test_one_visit_elsewhere_does_not_turn_repeats_into_evidence() -> None:
    """Forty people in ten splits, clusters and site drawn by person: p values stay honest."""
    n, repeats = 40, 10
    people = [f"p{i}" for i in range(n) for _ in range(repeats)]
    splits = [str(k) for _ in range(n) for k in range(repeats)]
    low = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels = np.repeat(rng.permutation(n) % 2, repeats)
        site = np.repeat(np.where(rng.random(n) < 0.5, "A", "B"), repeats)
        site[0] = "B" if site[0] == "A" else "A"
        found = audit(
            labels,
            [Covariate("site", site, SUSPECT, "site")],
            classes=["AD"] * len(people),
            participants=people,
            splits=splits,
            permutations=999,
        )
        assert found.rows[0].n <= n + 1
        low += found.rows[0].test.p <= 0.05
    assert low <= 6  # 2 expected; 18 where every scan counts


@pytest.mark.parametrize(("clusters", "others"), [(3, 5), (9, 60)])
def test_one_marker_among_many_tests_is_found(clusters: int, others: int) -> None:
    """However many covariates are tested beside it."""
    rng = np.random.default_rng(0)
    labels = np.arange(20 * clusters) % clusters
    spot = np.where(labels == 1, 0.05, 0.0005) * rng.uniform(0.9, 1.1, labels.size)
    known = [
        Covariate(
            "relevance_spot",
            spot,
            SUSPECT,
            "one small spot",
            is_share=True,
            misplaced=True,
            least=(0.02, 10.0),
            cluster=1,
        ),
        *(Covariate(f"x{i}", rng.normal(size=labels.size), SUSPECT, "x") for i in range(others)),
    ]
    found = audit(
        labels,
        known,
        classes=["AD"] * labels.size,
        participants=[f"p{i}" for i in range(labels.size)],
    )
    assert [v.cluster for v in found.suspicious] == [1]


def test_a_little_more_at_the_edge_is_no_reproach() -> None:
    """Clusters differ in what made them; a share at the edge counts from LEAST_SHARE on only."""
    labels = np.arange(60) % 2
    people = [f"p{i}" for i in range(60)]
    for share, suspicious in ((0.10, False), (0.60, True)):
        edge = np.where(labels == 1, share, share / 2) + np.linspace(0, 0.01, 60)
        known = [Covariate("relevance_edge", edge, SUSPECT, "relevance at the edge", True)]
        found = audit(labels, known, classes=["AD"] * 60, participants=people)
        assert bool(found.suspicious) is suspicious


def test_no_remark_on_chance_in_a_small_cohort() -> None:
    rng = np.random.default_rng(0)
    known = [Covariate(f"x{i}", rng.normal(size=8), SUSPECT, f"x{i}") for i in range(40)]
    found = audit(
        np.arange(8) % 2, known, classes=list("AABBAABB"), participants=[f"p{i}" for i in range(8)]
    )
    assert not found.notes


def test_what_cannot_be_told_from_the_class_is_said() -> None:
    rng, sick, maps = _cohort(5)
    site = Covariate("site", np.array(list("AB"))[sick], SUSPECT, "site")
    _, found = _run(maps, sick, [site, *_known(rng, sick)[1:]])
    assert len(found.notes) == 1
    assert "site is associated with the class" in found.notes[0]
    assert not [v for v in found.suspicious if "site" in v.text]


def test_little_is_tested_and_missing_values_are_left_out() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2])
    values = np.arange(21.0)
    values[[3, 15]] = np.nan
    texts = np.array([*"aaaaaaaaaa", *"bbbbbbbbbb", ""])
    names = np.array([f"id{i}" for i in range(21)])
    known = [
        Covariate("number", values, SUSPECT, "number"),
        Covariate("text", texts, SUSPECT, "text"),
        Covariate("name", names, SUSPECT, "name"),
        Covariate("same", np.full(21, "x"), SUSPECT, "same"),
        Covariate("empty", np.full(21, np.nan), SUSPECT, "empty"),
    ]
    found = audit(
        labels,
        known,
        classes=["AD"] * 21,
        participants=list(names),
        stability=np.array([0.9, 0.5, 1.0]),
        survives=np.array([True, False, True]),
        locations={0: "It lies in the dark."},
    )
    assert {(r.cluster, r.covariate.name, r.n) for r in found.rows} == {
        (0, "number", 19),
        (1, "number", 19),
        (0, "text", 20),
        (1, "text", 20),
    }
    by_cluster = {v.cluster: v for v in found.verdicts}
    assert by_cluster[2].finding == "none"
    assert "was not tested: too few participants" in by_cluster[2].text
    assert "(1 scan, stability 1.00)" in by_cluster[2].text
    assert "does not survive" in by_cluster[1].text
    assert "It lies in the dark." in by_cluster[0].text
    alone = audit(labels * 0, known, classes=["AD"] * 21, participants=list(names))
    assert alone.rows == ()
    assert [v.text for v in alone.verdicts] == [
        "All 21 scans form one cluster (21 AD): there is nothing to compare."
    ]


def _two_models(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Two models that look at different places: labels, sick or not, splits, share outside."""
    rng = np.random.default_rng(seed)
    sick, split = rng.permutation(np.arange(n) % 2), np.repeat([0, 1], n // 2)
    outside = np.where(split == 1, 0.75, 0.35) + 0.05 * rng.normal(size=n)
    return split.astype(np.int64), sick, [str(k) for k in split], outside


def test_a_model_that_looks_elsewhere_is_no_group_of_scans() -> None:
    for seed in range(3):
        labels, sick, splits, outside = _two_models(seed)
        known = [
            Covariate("split", np.array(splits), MODEL, "split"),
            Covariate(
                "outside", outside, SUSPECT, "relevance outside", is_share=True, misplaced=True
            ),
        ]
        names = [str(i) for i in range(60)]
        found = audit(
            labels,
            known,
            classes=list(CLASSES[sick]),
            participants=names,
            splits=splits,
            permutations=999,
        )
        assert [v.finding for v in found.verdicts] == ["model", "model"]
        place = [row for row in found.rows if row.covariate.misplaced]
        assert [row.q_within for row in place] == [None, None]  # nothing is free within a split
        part = labels.copy()  # a third of the second model's scans, hardly different from the rest
        part[np.flatnonzero(labels == 1)[::3]] = 2
        found = audit(
            part,
            known,
            classes=list(CLASSES[sick]),
            participants=names,
            splits=splits,
            permutations=4999,
        )
        assert not found.suspicious
        outside[part == 2] = 1.3
        found = audit(
            part,
            known,
            classes=list(CLASSES[sick]),
            participants=names,
            splits=splits,
            permutations=4999,
        )
        (worst,) = found.suspicious
        assert worst.cluster == 2
        assert "relevance outside 130 % (others 7" in worst.text


def test_of_a_participant_in_several_splits_one_counts_in_any_order() -> None:
    _, sick, splits, outside = _two_models(1)
    people = [str(i % 30) for i in range(60)]  # everybody in both
    known = [
        Covariate("outside", outside, SUSPECT, "x"),
        Covariate("site", np.array(["A", "B", "C"] * 10 * 2), SUSPECT, "site"),
    ]
    mixed = np.arange(60) % 7 % 2
    found = audit(
        mixed,
        known,
        classes=list(CLASSES[np.tile(sick[:30], 2)]),
        participants=people,
        splits=splits,
        permutations=99,
    )
    assert {row.n for row in found.rows} == {30}
    order = np.random.default_rng(0).permutation(60)
    other = audit(
        mixed[order],
        [Covariate(one.name, one.values[order], SUSPECT, one.words) for one in known],
        classes=list(CLASSES[np.tile(sick[:30], 2)][order]),
        participants=[people[i] for i in order],
        splits=[splits[i] for i in order],
        permutations=99,
    )
    assert [r.test.statistic for r in found.rows] == [r.test.statistic for r in other.rows]
