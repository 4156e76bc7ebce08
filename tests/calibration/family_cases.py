"""S10: many segments and many metrics at once."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from tests.calibration.batches import moments_of_rows
from tests.calibration.harness import Case, Measure, around, at_least, at_most, repeat
from tests.calibration.means_cases import ALPHA
from uplift.inference.means import welch
from uplift.inference.multiplicity import holm
from uplift.inference.segments import segment_effects
from uplift.inference.shrinkage import shrink

SIZES = np.geomspace(30, 2_000, 10).astype(int)
N_METRICS = 20


def segments(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Ten segments of 30 to 2,000 customers with one true effect; the best naive one is shown."""
    truth = 0.2

    def arm(rng: np.random.Generator, reps: int, shift: float) -> list[dict]:
        cells = [
            moments_of_rows({"y": rng.normal(shift, 1 + i / 9, (reps, n // 2))})
            for i, n in enumerate(SIZES)
        ]
        return [{f"s{i}": one for i, one in enumerate(row)} for row in zip(*cells, strict=True)]

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for t, c in zip(arm(rng, reps, truth), arm(rng, reps, 0.0), strict=True):
            read = segment_effects(t, c, estimator=partial(welch, column="y"))
            best = max(read.segments, key=lambda one: one.effect)
            naive = welch(t[best.segment], c[best.segment], column="y").ci
            yield {
                "all": all(one.ci[0] <= truth <= one.ci[1] for one in read.segments),
                "best": naive[0] <= truth <= naive[1],
                "differ": read.differ,
            }

    return repeat(rng, reps, once)


def shrunken(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Forty effects, a tenth of them large: average coverage, and that of plugged-in intervals."""
    n = 40
    inside: dict[str, list[np.ndarray]] = {"average": [], "plugged in": []}
    for _ in range(reps):
        truth = np.where(rng.random(n) < 0.5, 0.0, rng.normal(0, 0.7, n))
        errors = 1 / np.sqrt(rng.uniform(0.2, 3, n))
        y = truth + errors * rng.normal(size=n)
        found = shrink(y, errors)
        low, high = found.ci.T
        inside["average"].append((low <= truth) & (truth <= high))
        weight = 1 / errors**2
        excess = weight @ (y - found.mean) ** 2 - (n - 1)
        between = max(excess / (weight.sum() - weight @ weight / weight.sum()), 0.0)
        kept = between / (between + errors**2)
        away = found.mean + kept * (y - found.mean) - truth
        inside["plugged in"].append(np.abs(away) <= 1.96 * np.sqrt(kept) * errors)
    return {key: np.concatenate(hits) for key, hits in inside.items()}


def metrics(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Twenty correlated metrics without an effect: any false one by Holm, and by p < 5 %."""
    names = [f"m{i}" for i in range(N_METRICS)]

    def arm(rng: np.random.Generator, reps: int) -> list:
        level = rng.normal(0, 1, (reps, 80))
        return moments_of_rows({name: level + rng.normal(0, 1, (reps, 80)) for name in names})

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for t, c in zip(arm(rng, reps), arm(rng, reps), strict=True):
            p_values = [welch(t, c, column=name).p_value for name in names]
            yield {"any": holm(p_values).min() < ALPHA, "naive": min(p_values) < ALPHA}

    return repeat(rng, reps, once)


CASES = (
    Case(
        "S10",
        "ten segments of 30 to 2,000",
        segments,
        (
            Measure("all", "all segments covered together", around(0.95)),
            Measure("differ", "equal segments found to differ", at_most(ALPHA)),
        ),
        wrong=(Measure("best", "naive interval of the best of ten", around(0.95)),),
        smoke=300,
    ),
    Case(
        "S10",
        "forty shrunken effects, half of them none",
        shrunken,
        (Measure("average", "covered on average over the effects", at_least(0.95)),),
        wrong=(Measure("plugged in", "variance between effects plugged in", at_least(0.95)),),
    ),
    Case(
        "S10",
        "twenty correlated metrics, Holm",
        metrics,
        (Measure("any", "any false one among twenty", at_most(ALPHA)),),
        wrong=(Measure("naive", "any p < 5 % among twenty", at_most(ALPHA)),),
        smoke=300,
    ),
)
