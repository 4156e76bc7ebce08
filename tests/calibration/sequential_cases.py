"""S7 to S9: sample ratio, and readings that are looked at again and again.

A path of looks after every customer is computed from cumulative sums, for all replications at once.
`test_paths` compares such paths with the package's own functions, look by look.
"""

from collections.abc import Callable, Iterator

import numpy as np

from tests.calibration.batches import moments_of_rows
from tests.calibration.harness import Case, Measure, around, at_least, at_most, chunks, repeat
from tests.calibration.means_cases import ALPHA
from uplift.inference.always_valid import multipliers
from uplift.inference.group_sequential import spending_boundary
from uplift.inference.means import welch
from uplift.inference.planned_looks import PlannedLooks
from uplift.inference.sample_ratio import ALARM_P_VALUE, chi_squared_p_value
from uplift.inference.sample_ratio_sequential import sequential_ratio

Array = np.ndarray
Sim = Callable[[np.random.Generator, int], dict[str, Array]]

N_CUSTOMERS = 10_000
FIRST_LOOK = 20
Z_OF_ALARM = 3.2905  # two-sided p = 0.001

# --- S7: sample ratio ----------------------------------------------------------------------------


def sample_ratio(shares: list[float], n: int) -> Sim:
    """The chi-squared test; counts that differ by names of equal arms only are read once."""
    weight = np.array(shares)

    def simulate(rng: np.random.Generator, reps: int) -> dict[str, Array]:
        counts = rng.multinomial(n, shares, reps)
        for share in np.unique(weight):
            counts[:, weight == share] = np.sort(counts[:, weight == share], axis=1)
        distinct, back = np.unique(counts, axis=0, return_inverse=True)
        p_values = np.array([chi_squared_p_value(row.tolist(), shares) for row in distinct])
        away = np.abs(counts - n * weight) / np.sqrt(n * weight * (1 - weight))
        return {
            "alarm": p_values[back] < ALARM_P_VALUE,
            "each arm": (away > Z_OF_ALARM).any(axis=1),
        }

    return simulate


def sample_ratio_every_day(rng: np.random.Generator, reps: int) -> dict[str, Array]:
    """Sixty days of new units: the sequential test, and the chi-squared test on every day."""
    days, per_day, shares = 60, 500, [0.5, 0.5]
    new = rng.multinomial(per_day, shares, (reps, days))
    seen = np.cumsum(new, axis=1)
    away = seen[..., 0] - seen.sum(axis=2) / 2
    chi_squared = (2 * away**2 / (seen.sum(axis=2) / 2)).max(axis=1)
    alarm = [sequential_ratio(days_, shares=shares).p_values[-1] < ALARM_P_VALUE for days_ in new]
    return {"alarm": np.array(alarm), "every day": chi_squared > 10.827566}  # chi2(1) at 0.001


def _s7() -> Iterator[Case]:
    alarm = Measure("alarm", "alarm at p < 0.001 without a mismatch", around(ALARM_P_VALUE))
    each = Measure("each arm", "each arm tested by itself", around(ALARM_P_VALUE))
    splits = {
        "2 arms, 50/50": ([0.5, 0.5], 10_000),
        "2 arms, 90/10": ([0.9, 0.1], 10_000),
        "5 arms": ([0.2, 0.2, 0.2, 0.2, 0.2], 150),
        "5 arms, 60/10/10/10/10": ([0.6, 0.1, 0.1, 0.1, 0.1], 300),
    }
    for name, (shares, n) in splits.items():
        wrong = (each,) if len(shares) > 2 else ()  # of two arms one says what the other says
        yield Case("S7", name, sample_ratio(shares, n), (alarm,), wrong, reps=100_000, smoke=8_000)
    yield Case(
        "S7",
        "looked at on 60 days",
        sample_ratio_every_day,
        (Measure("alarm", "ever an alarm", at_most(ALARM_P_VALUE)),),
        wrong=(Measure("every day", "chi-squared test on every day", at_most(ALARM_P_VALUE)),),
        reps=10_000,
        smoke=4_000,
    )


# --- S8: always-valid paths ----------------------------------------------------------------------


def running_z(y: Array, treated: Array, *, truth: float = 0.0) -> Array:
    """Welch's z after every customer; 0 while it has no error. (n_reps, n_units)."""
    arms = [_mean_and_variance(arm, y) for arm in (treated, ~treated)]
    gap = arms[0][1] - arms[1][1] - truth
    return _z(gap, sum(variance / n for n, _, variance in arms))


def running_z_of_ratio(y: Array, base: Array, treated: Array) -> Array:
    """z of the difference of two ratios, by the delta method, after every customer."""
    values, variances = [], []
    for arm in (treated, ~treated):
        n, mean_y, yy = _mean_and_variance(arm, y)
        _, mean_b, bb = _mean_and_variance(arm, base)
        value = mean_y / mean_b
        spread = yy - 2 * value * _covariance(n, arm, y, base, mean_y, mean_b) + value**2 * bb
        values.append(value)
        variances.append(np.maximum(spread, 0.0) / mean_b**2 / n)
    return _z(values[0] - values[1], variances[0] + variances[1])


def running_z_of_lin(y: Array, x: Array, treated: Array) -> Array:
    """z of the difference adjusted by one covariate, a slope per arm, after every customer."""
    n_all, middle, spread_all = _mean_and_variance(np.ones_like(treated), x)
    values, variances, slopes = [], [], []
    for arm in (treated, ~treated):
        n, mean_y, yy = _mean_and_variance(arm, y)
        _, mean_x, xx = _mean_and_variance(arm, x)
        yx = _covariance(n, arm, y, x, mean_y, mean_x)
        slope, away = yx / xx, mean_x - middle
        residual = np.maximum(yy - slope * yx, 0.0) * (n - 1) / (n - 2)
        values.append(mean_y - slope * away)
        variances.append(residual * (1 / n + away**2 / xx / (n - 1)))
        slopes.append(slope)
    shared = (slopes[0] - slopes[1]) ** 2 * spread_all / n_all
    return _z(values[0] - values[1], variances[0] + variances[1] + shared)


def _mean_and_variance(arm: Array, y: Array) -> tuple[Array, Array, Array]:
    """Units so far of an arm, their mean and variance."""
    n = np.cumsum(arm, axis=1, dtype=np.float64)
    mean = np.cumsum(arm * y, axis=1) / n
    return n, mean, (np.cumsum(arm * y**2, axis=1) - n * mean**2) / (n - 1)


def _covariance(n: Array, arm: Array, y: Array, x: Array, mean_y: Array, mean_x: Array) -> Array:
    return (np.cumsum(arm * y * x, axis=1) - n * mean_y * mean_x) / (n - 1)


def _z(gap: Array, variance: Array) -> Array:
    z = gap / np.sqrt(variance)
    return np.where(np.isfinite(z) & (variance > 1e-12), z, 0.0)


Draw = Callable[[np.random.Generator, tuple[int, int]], dict[str, Array]]


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, Array]:
    return {"y": rng.normal(0, 1, shape)}


def skewed(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, Array]:
    return {"y": rng.exponential(1, shape)}


def rare(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, Array]:
    return {"y": (rng.random(shape, dtype=np.float32) < 0.01).astype(np.float64)}


def orders(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, Array]:
    base = 1.0 + rng.poisson(2, shape)
    return {"y": base * (5 + rng.normal(0, 1, shape)), "base": base}


def with_history(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, Array]:
    x = rng.normal(0, 1, shape)
    return {"y": 0.7 * x + 0.714 * rng.normal(0, 1, shape), "x": x}


def every_customer(draw: Draw, z_of: Callable[..., Array], *, treated: float = 0.5) -> Sim:
    """Looked at after every customer: always-valid, and the usual 1.96."""
    wide = multipliers(np.arange(FIRST_LOOK, N_CUSTOMERS + 1), tuning_n=N_CUSTOMERS)

    def simulate(rng: np.random.Generator, reps: int) -> dict[str, Array]:
        found: dict[str, list[Array]] = {"ever": [], "peeked": []}
        for n in chunks(reps, 50):
            data = draw(rng, (n, N_CUSTOMERS))
            arm = rng.random((n, N_CUSTOMERS), dtype=np.float32) < treated
            with np.errstate(invalid="ignore", divide="ignore"):  # arms of 0 or 1 customers
                z = np.abs(z_of(**data, treated=arm))[:, FIRST_LOOK - 1 :]
            found["ever"].append((z > wide).any(axis=1))
            found["peeked"].append((z > 1.96).any(axis=1))
        ever = np.concatenate(found["ever"])
        return {"ever": ever, "covers": ~ever, "peeked": np.concatenate(found["peeked"])}

    return simulate


def _s8() -> Iterator[Case]:
    kinds = {
        "normal": (normal, running_z, 0.5),
        "exponential, one in ten treated": (skewed, running_z, 0.1),
        "Bernoulli 1 %": (rare, running_z, 0.5),
        "ratio": (orders, running_z_of_ratio, 0.5),
        "regression adjusted": (with_history, running_z_of_lin, 0.5),
    }
    for name, (draw, z_of, treated) in kinds.items():
        yield Case(
            "S8",
            f"{name}, looked at after every one of {N_CUSTOMERS:,} customers",
            every_customer(draw, z_of, treated=treated),
            (
                Measure("ever", "ever proven without an effect", at_most(ALPHA)),
                Measure("covers", "the whole path covers", at_least(0.95)),
            ),
            wrong=(Measure("peeked", "1.96 at every customer", at_most(ALPHA)),),
            smoke=200,
        )


# --- S9: planned looks ---------------------------------------------------------------------------


def planned_looks(n_looks: int, spending: str) -> Sim:
    """Looks at equal steps of information, by the boundary and by 1.96 each time."""
    boundary = spending_boundary(np.arange(1, n_looks + 1) / n_looks, spending=spending)

    def simulate(rng: np.random.Generator, reps: int) -> dict[str, Array]:
        steps = np.cumsum(rng.normal(0, 1, (reps, n_looks)), axis=1)
        z = np.abs(steps) / np.sqrt(np.arange(1, n_looks + 1))
        return {
            "boundary": (z > boundary.z).any(axis=1),
            "peeked": (z > 1.959964).any(axis=1),
        }

    return simulate


def looks_at_spend(rng: np.random.Generator, reps: int) -> dict[str, Array]:
    """Four looks at skewed spend that grows batch by batch, by Welch's p-value and the levels."""
    n, at = 500, np.array([0.25, 0.5, 0.75, 1.0])
    levels = PlannedLooks(tuple(at), "group_sequential").levels(ALPHA)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        batches = [
            [moments_of_rows({"y": rng.exponential(1, (reps, n))}) for _ in at] for _ in range(2)
        ]
        for i in range(reps):
            t, c = batches[0][0][i], batches[1][0][i]
            p_values = [welch(t, c, column="y").p_value]
            for k in range(1, len(at)):
                t, c = t + batches[0][k][i], c + batches[1][k][i]
                p_values.append(welch(t, c, column="y").p_value)
            yield {
                "boundary": bool((np.array(p_values) < levels).any()),
                "peeked": min(p_values) < ALPHA,
            }

    return repeat(rng, reps, once)


def _s9() -> Iterator[Case]:
    alarm = Measure("boundary", "ever proven without an effect", around(ALPHA))
    peeked = Measure("peeked", "1.96 at every look", around(ALPHA))
    for n_looks in (5, 10, 20, 50, 100):
        yield Case(
            "S9",
            f"{n_looks} looks, O'Brien-Fleming type",
            planned_looks(n_looks, "obrien_fleming"),
            (alarm,),
            wrong=(peeked,),
            reps=20_000,
            smoke=4_000,
        )
    yield Case(
        "S9",
        "10 looks, Pocock type",
        planned_looks(10, "pocock"),
        (alarm,),
        wrong=(peeked,),
        reps=20_000,
        smoke=4_000,
    )
    yield Case("S9", "4 looks at exponential spend", looks_at_spend, (alarm,), wrong=(peeked,))


CASES = (*_s7(), *_s8(), *_s9())
