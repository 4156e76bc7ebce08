"""Past experiments together: their mean, the next one, the winners, and the programme."""

from collections.abc import Callable

import numpy as np

from tests.calibration.harness import Case, Measure, around, at_least
from uplift.inference.means import ArmMean, contrast
from uplift.inference.meta_analysis import meta_analysis
from uplift.inference.programme_total import CampaignEffect, programme_total

Sim = Callable[[np.random.Generator, int], dict[str, np.ndarray]]


def collect(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {key: np.array([row[key] for row in rows], dtype=np.float64) for key in rows[0]}


def together(n: int, between: float) -> Sim:
    """n experiments of unequal size; wrong: their mean as if they had one true effect."""

    def simulate(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
        rows = []
        for _ in range(reps):
            truth, new = rng.normal(1, between, n), rng.normal(1, between)
            errors = rng.uniform(0.2, 1.2, n)
            y = truth + errors * rng.normal(size=n)
            found = meta_analysis(y, errors)
            fixed = 1.96 / np.sqrt(np.sum(errors**-2.0))
            low, high = found.prediction_interval
            rows.append(
                {
                    "mean": found.ci[0] <= 1 <= found.ci[1],
                    "next": low <= new <= high,
                    "between": found.between_ci[0] <= between**2 <= found.between_ci[1],
                    "fixed": abs(found.heterogeneity.mean - 1) <= fixed,
                    "plugged in": abs(new - found.mean)
                    <= 1.96 * np.hypot(found.std_error, np.sqrt(found.between_variance)),
                }
            )
        return collect(rows)

    return simulate


def winners(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """The sum of the proven of forty experiments: shrunken, and as measured."""
    rows = []
    for _ in range(reps):
        truth = rng.normal(0.2, 0.4, 40)
        errors = rng.uniform(0.2, 1.2, 40)
        y = truth + errors * rng.normal(size=40)
        won = y > 1.96 * errors
        if not won.any():
            continue
        found = meta_analysis(y, errors).shrunken
        error = np.sqrt(found.covariance[np.ix_(won, won)].sum())
        rows.append(
            {
                "shrunken": abs(found.effects[won].sum() - truth[won].sum()) <= 1.96 * error,
                "raw": abs(y[won].sum() - truth[won].sum())
                <= 1.96 * np.sqrt(np.sum(errors[won] ** 2)),
            }
        )
    return collect(rows)


def programme(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Twelve campaigns that add up, and the universal control; wrong: the sum of the winners."""
    rows = []
    for _ in range(reps):
        true, reach = rng.normal(0.3, 0.3, 12), rng.uniform(0.2, 0.9, 12)
        errors = rng.uniform(0.1, 0.5, 12)
        seen = true + errors * rng.normal(size=12)
        total = float(reach @ true)
        measured = contrast(
            ArmMean(10 + total + rng.normal(0, 0.2), 0.0, 0.04, 5_000, 5_001),
            ArmMean(10 + rng.normal(0, 0.4), 0.0, 0.16, 500, 501),
        )
        campaigns = [
            CampaignEffect(name=str(i), effect=e, std_error=s, reach=r)
            for i, (e, s, r) in enumerate(zip(seen, errors, reach, strict=True))
        ]
        found = programme_total(measured, campaigns)
        won = seen > 1.96 * errors
        selected = float(reach[won] @ seen[won])
        spread = float(np.sqrt(reach[won] ** 2 @ errors[won] ** 2)) if won.any() else 0.0
        rows.append(
            {
                "measured": found.measured.ci[0] <= total <= found.measured.ci[1],
                "sum": found.shrunken_sum_ci[0] <= total <= found.shrunken_sum_ci[1],
                "residual": found.residual_ci[0] <= 0 <= found.residual_ci[1],
                "winners": abs(selected - float(reach[won] @ true[won])) <= 1.96 * spread,
            }
        )
    return collect(rows)


def _together() -> list[Case]:
    mean = Measure("mean", "mean of all covered", at_least(0.95))
    following = Measure("next", "next experiment covered", at_least(0.95))
    between = Measure("between", "variance between experiments covered", around(0.95))
    fixed = Measure("fixed", "mean as if all had one effect", at_least(0.95))
    plugged = Measure("plugged in", "next one with the variance plugged in", at_least(0.95))
    return [
        Case(
            "past", "8 experiments, far apart", together(8, 1.0), (between,), (fixed,), 1_000, 100
        ),
        Case(
            "past",
            "40 experiments, nearly alike",
            together(40, 0.2),
            (mean, following, between),
            (plugged,),
            1_000,
            100,
        ),
        Case(
            "past",
            "40 experiments, far apart",
            together(40, 1.0),
            (mean, following, between),
            (fixed,),
            1_000,
            100,
        ),
    ]


CASES = (
    *_together(),
    Case(
        "past",
        "sum of the proven of forty",
        winners,
        (Measure("shrunken", "shrunken sum of the winners covers", around(0.95)),),
        wrong=(Measure("raw", "measured sum of the winners", around(0.95)),),
        reps=1_000,
        smoke=100,
    ),
    Case(
        "past",
        "programme of twelve campaigns that add up",
        programme,
        (
            Measure("measured", "total by universal control covered", around(0.95)),
            Measure("sum", "sum of shrunken effects covers", around(0.95)),
            Measure("residual", "no interaction residual", around(0.95)),
        ),
        wrong=(Measure("winners", "measured sum of the winners", around(0.95)),),
        reps=2_000,
        smoke=200,
    ),
)
