"""S13: two models compared on the same held-out customers, paired."""

from collections.abc import Iterator

import numpy as np

from tests.calibration.harness import Case, Measure, around, repeat
from tests.calibration.means_cases import ALPHA
from uplift.evaluation.evidence import Evidence
from uplift.evaluation.policy import policy_gain, policy_value
from uplift.inference.doubly_robust import aipw_outcomes


def held_out(rng: np.random.Generator, n: int) -> tuple[Evidence, np.ndarray]:
    """A randomised test of n customers whose effects differ, and those effects. (n,)."""
    effect, level = rng.normal(0, 1, n), rng.normal(10, 2, n)
    arm = rng.integers(0, 2, n)
    worth = aipw_outcomes(
        outcome=level + effect * arm + rng.normal(0, 1, n),
        arm=arm,
        propensity=np.full((n, 2), 0.5),
        predicted=np.column_stack([level, level]),
    )
    evidence = Evidence(
        outcome="spend",
        arms=("control", "mail"),
        units=np.arange(n).astype(object),
        fold=np.zeros(n, dtype=np.int64),
        arm=arm,
        scores=worth[:, 1:] - worth[:, :1],
        worth=worth,
        cost=np.zeros((n, 2)),
        redemption=None,
        weight=None,
        cluster=None,
        economics=None,
    )
    return evidence, effect


def two_models(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Equally good models choose whom to mail; wrong: their values as if on other customers."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            evidence, effect = held_out(rng, 1_000)
            predicted = [effect + rng.normal(0, 1, len(effect)) for _ in range(2)]
            choices = [(values > 0).astype(np.int64) for values in predicted]
            gain = policy_gain(*choices, evidence)
            first, second = (policy_value(choice, evidence) for choice in choices)
            apart = abs(first.value - second.value) / np.hypot(first.std_error, second.std_error)
            yield {
                "rejects": gain.p_value < ALPHA,
                "covers": gain.ci[0] <= 0 <= gain.ci[1],
                "apart": apart > 1.96,
            }

    return repeat(rng, reps, once)


CASES = (
    Case(
        "S13",
        "two equally good models on the same 1,000 customers",
        two_models,
        (
            Measure("rejects", "one called better", around(ALPHA)),
            Measure("covers", "difference of their policies covered", around(0.95)),
        ),
        wrong=(Measure("apart", "their values taken as independent", around(ALPHA)),),
        reps=4_000,
        smoke=1_000,
    ),
)
