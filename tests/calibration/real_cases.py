"""S21: the control of a real e-mail test, split at random again and again.

Nobody in it got anything, so whatever is found is a false alarm. Metrics, their tails and their
links with history are those of real customers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from tests.calibration.analysed import analysed, experiment_of, prepared
from tests.calibration.harness import Case, Measure, Simulate, Uniform, at_most, chunks
from tests.calibration.means_cases import ALPHA
from uplift.datasets import hillstrom
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments, pairs_of, two_sum, without_rounding
from uplift.inference.multiplicity import holm
from uplift.inference.proportions import (
    equal_tailed_score,
    score_statistic,
    skewness_of,
    without_skewness,
)
from uplift.inference.regression_adjustment import covariances_for, lin

METRICS = ("visit", "conversion", "spend")
COVARIATES = ("history", "recency", "newbie")
COLUMNS = (*METRICS, *COVARIATES)
PAIRS = tuple(covariances_for(METRICS, COVARIATES))
SMOKE = 150


def control_of(path: Path) -> dict[str, np.ndarray]:
    """Outcomes and covariates of the customers who got nothing."""
    real = hillstrom(path)
    rows = (real.assigned["arm"] == "control").to_numpy()
    table = real.customers.merge(real.outcomes, on="unit")[rows]
    return {name: table[name].to_numpy(np.float64) for name in COLUMNS}


def splits(
    data: dict[str, np.ndarray], rng: np.random.Generator, reps: int, n_treated: int
) -> list[tuple[Moments, Moments]]:
    """Moments of both parts of random splits, from one multiplication for many of them."""
    n, pairs = len(data["visit"]), pairs_of(COLUMNS, PAIRS)
    centre = np.array([data[name].mean() for name in COLUMNS])
    x = np.stack([data[name] for name in COLUMNS], axis=1) - centre
    products = np.concatenate([x, np.stack([x[:, i] * x[:, j] for i, j in pairs], axis=1)], axis=1)
    everybody = products.sum(axis=0)
    found = []
    for size in chunks(reps, 200):
        chosen = np.zeros((size, n))
        for row in chosen:
            row[rng.permutation(n)[:n_treated]] = 1.0
        sums = chosen @ products
        for own in sums:
            treated = _moments(own, n_treated, centre, pairs)
            found.append((treated, _moments(everybody - own, n - n_treated, centre, pairs)))
    return found


def _moments(sums: np.ndarray, n: int, centre: np.ndarray, pairs: Sequence) -> Moments:
    away = sums[: len(centre)] / n
    comoment = sums[len(centre) :] - n * np.array([away[i] * away[j] for i, j in pairs])
    mean, rest = two_sum(centre, away)
    kept = without_rounding(comoment, count=np.array(n), mean=mean, pairs=tuple(pairs))
    return Moments(COLUMNS, tuple(pairs), float(n), mean, kept, rest)


def read(t: Moments, c: Moments) -> dict[str, Estimate]:
    """Every metric by every method that fits it."""
    found = {f"{name} Welch": welch(t, c, column=name) for name in METRICS}
    found |= {f"{name} score": equal_tailed_score(t, c, column=name) for name in METRICS[:2]}
    for name in METRICS:
        found[f"{name} Lin"] = lin(t, c, column=name, covariates=COVARIATES)
    return found


def spread_out(found: Estimate, rng: np.random.Generator) -> float:
    """The p-value of a count whose steps are spread over their width, so that it can be uniform.

    The control holds 122 buyers, so that a split gives one of some twenty p-values, and p < 5 % has
    a probability of 5.7 % by those steps alone. One event more moves the effect by
    1 / n_t + 1 / n_c.
    """
    z = np.copysign(stats.norm.isf(found.p_value / 2), found.effect)
    error = abs(found.effect / z) if z != 0 else found.std_error
    step = (1 / found.n_treatment + 1 / found.n_control) / error
    return float(2 * stats.norm.sf(abs(z + step * (rng.random() - 0.5))))


def spread_share(found: Estimate, rng: np.random.Generator) -> float:
    """As `spread_out`, for the equal-tailed score, which does not move by equal steps.

    Its statistic is taken at up to half an event more or fewer, on the other side of the control.
    """
    sizes, moved = (found.n_treatment, found.n_control), rng.random() - 0.5
    events = (found.treatment_mean * sizes[0] + moved, found.control_mean * sizes[1] - moved)
    both = sum(events) / sum(sizes)
    variance = both * (1 - both) * (1 / sizes[0] + 1 / sizes[1])
    skewness = skewness_of(both, both, *sizes, variance)
    z = without_skewness(score_statistic(0.0, events, sizes), skewness)
    return float(2 * stats.norm.sf(abs(z)))


def placebo(data: dict[str, np.ndarray], share: float) -> Simulate:
    """Random splits of the control, read as if they were a test."""

    def simulate(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
        rows = []
        n_treated = round(share * len(data["visit"]))
        for t, c in splits(data, rng, reps, n_treated):
            found = read(t, c)
            row: dict[str, float] = {}
            for name, one in found.items():
                p_value = one.p_value if name.startswith("spend") else spread_out(one, rng)
                row |= {f"{name} rejects": p_value < ALPHA, f"{name} p": p_value}
            p_values = [found[f"{name} Welch"].p_value for name in METRICS]
            row["any"] = holm(p_values).min() < ALPHA
            row["best"] = min(p_values) < ALPHA
            rows.append(row)
        return {key: np.array([row[key] for row in rows], np.float64) for key in rows[0]}

    return simulate


OTHERS = """secondary:
    - metric: {name: visit, version: 1, title: Visits, column: visit, kind: proportion,
               unit: share, window_days: 28, owner: crm}
    - metric: {name: conversion, version: 1, title: Buyers, column: conversion, kind: proportion,
               unit: share, window_days: 28, owner: crm}
  no_guardrails_because: A placebo."""


def as_analysed(data: dict[str, np.ndarray], control_share: float) -> Simulate:
    """The same placebo as `analyse` reports it, by the methods that it chooses."""
    percent = round(100 * control_share)
    plan = experiment_of(
        {"control": f"{percent}/100", "mail": f"{100 - percent}/100"},
        covariate="history",
        others=OTHERS,
    )
    source = prepared(plan, {name: data[name] for name in METRICS}, {"history": data["history"]})
    n = len(data["visit"])

    def simulate(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
        rows = []
        for _ in range(reps):
            arm = np.ones(n, dtype=np.int64)
            arm[rng.permutation(n)[: round(control_share * n)]] = 0
            found = analysed(source, arm)
            row: dict[str, float] = {}
            for one in found.effects:
                name = one.metric.removesuffix("@1")
                p_value = one.p_value if name == "spend" else spread_share(one.estimate, rng)
                row |= {f"{name} rejects": p_value < ALPHA, f"{name} p": p_value}
            profit = found.money.row("mail").profit
            row["profit rejects"] = profit.p_value < ALPHA
            row["any"] = any(one.proven for one in found.effects)
            row["decided"] = found.decision.action in ("scale", "stop")
            row["best"] = min(one.p_value for one in found.effects) < ALPHA
            plain = found.row("spend", "mail").unadjusted
            row["gain"] = profit.p_value < ALPHA and profit.effect > 0
            row["plain gain"] = plain.p_value < ALPHA and plain.effect > 0
            rows.append(row)
        return {key: np.array([row[key] for row in rows], np.float64) for key in rows[0]}

    return simulate


def _as_analysed(data: dict[str, np.ndarray]) -> Iterator[Case]:
    """Half and half, where every p-value is uniform; and a small control of skewed spend."""
    rejects = [
        Measure(f"{name} rejects", f"{name}: p < 5 %", at_most(ALPHA))
        for name in (*METRICS, "profit")
    ]
    uniform = [Measure(f"{name} p", f"{name}: p-values uniform", Uniform()) for name in METRICS]
    report = [
        Measure("any", "any of three metrics called better or worse", at_most(ALPHA)),
        Measure("decided", "scaled or stopped", at_most(ALPHA)),
        Measure("gain", "proven profit", at_most(ALPHA / 2)),
    ]
    best = Measure("best", "best of three metrics", at_most(ALPHA))
    plain = Measure("plain gain", "proven gain in spend by Welch's interval", at_most(ALPHA / 2))
    for share, wrong, more in ((0.5, best, uniform), (0.1, plain, uniform[:2])):
        yield Case(
            "S21",
            f"real control, {share:.0%} of it as control, as analysed",
            as_analysed(data, share),
            (*rejects, *more, *report),
            wrong=(wrong,),
            smoke=SMOKE,
        )


def cases(path: Path) -> tuple[Case, ...]:
    """The real cases; `path` is the published file."""
    data = control_of(path)
    names = [f"{m} Welch" for m in METRICS] + [f"{m} score" for m in METRICS[:2]]
    names += [f"{m} Lin" for m in METRICS]
    false = [Measure(f"{name} rejects", f"{name}: p < 5 %", at_most(ALPHA)) for name in names]
    uniform = [Measure(f"{name} p", f"{name}: p-values uniform", Uniform()) for name in names]
    family = Measure("any", "any of three metrics by Holm", at_most(ALPHA))
    best = Measure("best", "best of three metrics", at_most(ALPHA))
    return (
        Case(
            "S21",
            "real control, split 50/50",
            placebo(data, 0.5),
            (*false, *uniform, family),
            wrong=(best,),
            smoke=SMOKE,
        ),
        *_as_analysed(data),
    )
