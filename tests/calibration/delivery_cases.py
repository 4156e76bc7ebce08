"""Delivery truth: assigned, reached, leaked, lost; and what openers alone would have said."""

from collections.abc import Callable, Iterator

import numpy as np

from tests.calibration.batches import moments_of_rows
from tests.calibration.harness import Case, Measure, around, at_least, repeat
from uplift.inference.attrition import attrition_bounds
from uplift.inference.compliance import complier_effect, covariances_for_delivery
from uplift.inference.leaks import leak_bounds
from uplift.inference.means import welch

PAIRS = covariances_for_delivery(["y"], "d", ["yd"])
Sim = Callable[[np.random.Generator, int], dict[str, np.ndarray]]


def arm(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    assigned: bool,
    always: float = 0.0,
    effect: float = 1.0,
    leak_effect: float = 1.0,
) -> dict[str, np.ndarray]:
    """A fifth is never reached and buys less; `always` are reached in both arms and buy more."""
    u = rng.random(shape)
    leaks, never = u < always, u >= 0.8
    reached = leaks | (~never if assigned else np.zeros(shape, dtype=bool))
    y = rng.gamma(2, 3, shape) + 3 * leaks - 2 * never
    y = y + np.where(leaks, leak_effect, effect) * reached
    return {"y": y, "d": reached.astype(float), "yd": y * reached}


def reached(always: float) -> Sim:
    """The effect of being assigned and of being reached; wrong: those reached against all."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        arms = [
            moments_of_rows(arm(rng, (reps, 600), assigned=flag, always=always), PAIRS)
            for flag in (True, False)
        ]
        for t, c in zip(*arms, strict=True):
            found = complier_effect(t, c, outcome="y", delivered="d")
            compliers = 0.8 - always
            openers = t.mean_of("yd") / t.mean_of("d") - c.mean_of("y")
            yield {
                "assigned": found.assigned.ci[0] <= compliers <= found.assigned.ci[1],
                "reached": found.ci[0] <= 1.0 <= found.ci[1],
                "delta": found.delta_ci[0] <= 1.0 <= found.delta_ci[1],
                "openers": abs(openers - 1.0) <= 1.96 * found.assigned.std_error,
            }

    return lambda rng, reps: repeat(rng, reps, once)


def leaked(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Three of a hundred in the control were reached, and respond thrice as much as others."""
    clean = 0.77 * 1.0 + 0.03 * 6.0

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        arms = [
            moments_of_rows(
                arm(rng, (reps, 4_000), assigned=flag, always=0.03, leak_effect=6.0), PAIRS
            )
            for flag in (True, False)
        ]
        for t, c in zip(*arms, strict=True):
            found = leak_bounds(
                t,
                c,
                outcome="y",
                delivered="d",
                delivered_outcome="yd",
                lowest=-2.0,
                highest=40.0,
            )
            low, high = found.assigned.ci
            yield {
                "bounds": found.ci[0] <= clean <= found.ci[1],
                "measured": low <= clean <= high,
            }

    return repeat(rng, reps, once, size=100)


def leaked_alike(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """A tenth of the control was reached, and responds as everybody does."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        arms = [
            moments_of_rows(arm(rng, (reps, 1_500), assigned=flag, always=0.1), PAIRS)
            for flag in (True, False)
        ]
        for t, c in zip(*arms, strict=True):
            found = leak_bounds(t, c, outcome="y", delivered="d", delivered_outcome="yd")
            low, high = found.if_alike_ci
            yield {"alike": low <= 0.8 <= high}

    return repeat(rng, reps, once, size=200)


def lost(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """The unhappy answer a survey less often, in the treatment above all."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            arms, gone = [], []
            for shift, unhappy in ((0.05, 0.6), (0.0, 0.9)):
                y = (rng.random(1_500) < 0.6 + shift).astype(float)
                answered = rng.random(1_500) < np.where(y == 1, 0.95, unhappy)
                arms.append(moments_of_rows({"y": y[answered][None, :]})[0])
                gone.append(int((~answered).sum()))
            found = attrition_bounds(
                *arms,
                column="y",
                lost_treatment=gone[0],
                lost_control=gone[1],
                lowest=0.0,
                highest=1.0,
            )
            low, high = welch(*arms, column="y").ci
            yield {
                "bounds": found.ci[0] <= 0.05 <= found.ci[1],
                "left": low <= 0.05 <= high,
            }

    return repeat(rng, reps, once)


CASES = (
    *(
        Case(
            "delivery",
            f"80 % reached, {always:.0%} of the control too",
            reached(always),
            (
                Measure("assigned", "effect of being assigned covered", around(0.95)),
                Measure("reached", "effect of being reached covered", around(0.95)),
                Measure("delta", "the same by the delta method", around(0.95)),
            ),
            wrong=(Measure("openers", "those reached against the whole control", around(0.95)),),
        )
        for always in (0.0, 0.1)
    ),
    Case(
        "delivery",
        "leak of 3 % into the control",
        leaked,
        (Measure("bounds", "clean effect inside the bounds' interval", at_least(0.95)),),
        wrong=(Measure("measured", "clean effect by the measured interval", at_least(0.95)),),
        reps=2_000,
        smoke=300,
    ),
    Case(
        "delivery",
        "leak of 10 %, all respond alike",
        leaked_alike,
        (Measure("alike", "clean effect covered", around(0.95)),),
        reps=2_000,
        smoke=300,
    ),
    Case(
        "delivery",
        "answers lost where customers are unhappy",
        lost,
        (Measure("bounds", "effect on all inside the bounds' interval", at_least(0.95)),),
        wrong=(Measure("left", "effect on those left", at_least(0.95)),),
        reps=2_000,
    ),
)
