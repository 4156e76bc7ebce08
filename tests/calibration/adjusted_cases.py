"""S3 to S5, S18, S19: readings of more than one column, relative ones, plans, crossings."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from tests.calibration.batches import moments_of_rows
from tests.calibration.harness import Case, Measure, around, at_least, at_most, repeat
from tests.calibration.means_cases import ALPHA, COVERS, FALSE_ALARM, reading
from uplift.inference import power
from uplift.inference.interactions import interaction
from uplift.inference.means import welch
from uplift.inference.ratios import ratio
from uplift.inference.regression_adjustment import covariances_for, lin

Sim = Callable[[np.random.Generator, int], dict[str, np.ndarray]]

# --- S3: regression adjustment -------------------------------------------------------------------


def adjusted(correlation: float, *, missing: float = 0.0, n_t: int = 100, n_c: int = 400) -> Sim:
    """Lin's adjustment by the metric before the test, with a gap and its indicator if asked."""
    names = ["x", "gap"] if missing else ["x"]
    pairs = list(covariances_for(["y"], names))

    def arm(rng: np.random.Generator, reps: int, n: int) -> dict[str, np.ndarray]:
        x = rng.normal(0, 1, (reps, n))
        y = correlation * x + np.sqrt(1 - correlation**2) * rng.normal(0, 1, (reps, n))
        data = {"y": y, "x": x}
        if missing:
            gap = rng.random((reps, n)) < missing
            data = {"y": y + 0.5 * gap, "x": np.where(gap, 0.0, x), "gap": gap.astype(float)}
        # wrong: the covariate is measured after the campaign, which has moved it
        return data | {"after": x + 0.3 * (n == n_t)}

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        data = [arm(rng, reps, n) for n in (n_t, n_c)]
        right = [moments_of_rows({k: d[k] for k in ["y", *names]}, pairs) for d in data]
        late = [moments_of_rows({k: d[k] for k in ["y", "after"]}, [("y", "after")]) for d in data]
        for t, c, late_t, late_c in zip(*right, *late, strict=True):
            found = lin(t, c, column="y", covariates=names)
            plain = welch(t, c, column="y")
            wrong = lin(late_t, late_c, column="y", covariates=["after"])
            yield reading(found, 0.0) | {
                "wider": found.std_error > 1.01 * plain.std_error,
                "late": wrong.p_value < ALPHA,
            }

    return lambda rng, reps: repeat(rng, reps, once)


def three_arms(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Two treatments moved to one population, so that the control has one mean."""
    pairs = [("y", "x")]

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        x = [rng.normal(0, 1, (reps, n)) for n in (80, 120, 400)]
        slopes = (1.5, 0.5, 1.0)  # effects differ between customers
        y = [b * v + rng.normal(0, 1, v.shape) for b, v in zip(slopes, x, strict=True)]
        arms = [moments_of_rows({"y": p, "x": q}, pairs) for p, q in zip(y, x, strict=True)]
        for a, b, c in zip(*arms, strict=True):
            everyone = a + b + c
            first = lin(a, c, column="y", covariates=["x"], population=everyone)
            second = lin(b, c, column="y", covariates=["x"], population=everyone)
            yield reading(first, 0.0) | {"second covers": reading(second, 0.0)["covers"]}

    return repeat(rng, reps, once)


def _s3() -> Iterator[Case]:
    late = Measure("late", "adjusted by a covariate measured after the campaign", at_most(ALPHA))
    wider = Measure("wider", "error over 1.01 times the unadjusted", at_most(0.0))
    for correlation in (0.7, 0.95):
        yield Case(
            "S3",
            f"correlation {correlation:g}, n=100 + 400",
            adjusted(correlation),
            (COVERS, FALSE_ALARM),
            wrong=(late,),
        )
    yield Case(
        "S3",
        "correlation 0, n=1,000 + 4,000",
        adjusted(0.0, n_t=1_000, n_c=4_000),
        (COVERS, FALSE_ALARM, wider),
        smoke=200,
    )
    yield Case(
        "S3",
        "correlation 0.7, 20 % without history",
        adjusted(0.7, missing=0.2),
        (COVERS, FALSE_ALARM),
        wrong=(late,),
    )
    yield Case(
        "S3",
        "three arms, effects that differ between customers",
        three_arms,
        (COVERS, FALSE_ALARM, Measure("second covers", "second treatment covered", around(0.95))),
    )


# --- S4: ratios ----------------------------------------------------------------------------------


def order_value(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Spend per order of customers with 1 to 30 orders, alike within a customer."""
    n = 200

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        arms, sums = [], []
        for _ in range(2):
            orders = np.minimum(rng.geometric(0.2, (reps, n)), 30).astype(float)
            own = rng.normal(0, 8, (reps, n))
            noise = rng.normal(0, 20, (reps, n))  # of the mean order, before it is averaged
            total = orders * (50 + own) + np.sqrt(orders) * noise
            arms.append(moments_of_rows({"y": total, "z": orders}, [("y", "z")]))
            within = orders * own**2 + 20**2 * (orders - 1)  # squares around 50, nearly
            sums.append((orders.sum(axis=1), within.sum(axis=1)))
        for i, (t, c) in enumerate(zip(*arms, strict=True)):
            found = ratio(t, c, numerator="y", denominator="z")
            naive = 0.0
            for orders, squares in sums:
                naive += squares[i] / orders[i] / orders[i]
            yield reading(found, 0.0) | {"by order": abs(found.effect) < 1.96 * np.sqrt(naive)}

    return repeat(rng, reps, once)


def _s4() -> Iterator[Case]:
    yield Case(
        "S4",
        "spend per order, 1 to 30 orders per customer",
        order_value,
        (COVERS, FALSE_ALARM),
        wrong=(Measure("by order", "orders read as if they were independent", around(0.95)),),
    )


# --- S5: relative effects ------------------------------------------------------------------------


def relative(base: float, gain: float, n: int = 200) -> Sim:
    """The relative interval; wrong: the absolute one divided by the control mean as if known."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        t = moments_of_rows({"y": rng.normal(base + gain, 2, (reps, n))})
        c = moments_of_rows({"y": rng.normal(base, 2, (reps, n // 4))})
        truth = gain / abs(base)
        for one, other in zip(t, c, strict=True):
            found = welch(one, other, column="y")
            low, high = found.relative_ci
            wrong_low, wrong_high = (end / abs(found.control_mean) for end in found.ci)
            yield {
                "covers": low <= truth <= high,
                "covers or says so": np.isnan(low) or low <= truth <= high,
                "mean taken as known": wrong_low <= truth <= wrong_high,
            }

    return lambda rng, reps: repeat(rng, reps, once)


def _s5() -> Iterator[Case]:
    known = (Measure("mean taken as known", "control mean taken as known", around(0.95)),)
    covers = Measure("covers", "95 % relative interval covers", around(0.95))
    yield Case("S5", "relative effect of +100 %", relative(2.0, 2.0), (covers,), wrong=known)
    yield Case("S5", "negative baseline", relative(-2.0, 1.0), (covers,))
    yield Case(
        "S5",
        "baseline near 0",
        relative(0.4, 0.4),
        (Measure("covers or says so", "covers, or says not estimable", at_least(0.95)),),
        wrong=(Measure("mean taken as known", "control mean taken as known", at_least(0.95)),),
    )


# --- S18: plans ----------------------------------------------------------------------------------


def planned(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Units for 80 % power, replayed; wrong: planned with the control's variance only."""
    found: dict[str, np.ndarray] = {}
    shares = {"control_share": 0.25, "treatment_share": 0.75}
    for key, variance in (("found", 4.0), ("forgot", None)):
        n = power.required_units(0.2, **shares, control_variance=1.0, treatment_variance=variance)
        n_c, n_t = round(0.25 * n), round(0.75 * n)
        mean_c, mean_t = rng.normal(0, 1 / np.sqrt(n_c), reps), rng.normal(0.2, 2 / n_t**0.5, reps)
        v_c = rng.chisquare(n_c - 1, reps) / (n_c - 1) / n_c
        v_t = 4 * rng.chisquare(n_t - 1, reps) / (n_t - 1) / n_t
        found[key] = np.abs(mean_t - mean_c) > stats.norm.ppf(0.975) * np.sqrt(v_c + v_t)
    return found


def planned_proportion(effect: float) -> Sim:
    """As `planned`, for a conversion of 2 %."""
    shares = {"control_share": 0.9, "treatment_share": 0.1}
    units = {
        "found": power.required_units_proportion(0.02, effect, **shares),
        "forgot": power.required_units(effect, **shares, control_variance=0.02 * 0.98),
    }

    def simulate(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
        result: dict[str, np.ndarray] = {}
        for key, n in units.items():
            n_c, n_t = round(0.9 * n), round(0.1 * n)
            p_c = rng.binomial(n_c, 0.02, reps) / n_c
            p_t = rng.binomial(n_t, 0.02 + effect, reps) / n_t
            error = np.sqrt(p_c * (1 - p_c) / n_c + p_t * (1 - p_t) / n_t)
            result[key] = np.abs(p_t - p_c) > stats.norm.ppf(0.975) * error
        return result

    return simulate


def _s18() -> Iterator[Case]:
    found = Measure("found", "planned effect found", around(0.8))
    forgot = Measure("forgot", "planned with the control's variance", around(0.8))
    yield Case("S18", "power planned at 80 %, means", planned, (found,), (forgot,), reps=2_000)
    yield Case(
        "S18",
        "power planned at 80 %, 2 % to 2.4 %",
        planned_proportion(0.004),
        (found,),
        (forgot,),
        reps=2_000,
    )
    # few events in a small arm: the normal approximation plans some more units than needed
    enough = Measure("found", "planned effect found", at_least(0.8))
    yield Case(
        "S18", "power planned at 80 %, 2 % to 3 %", planned_proportion(0.01), (enough,), reps=2_000
    )


# --- S19: two campaigns --------------------------------------------------------------------------


def crossed(effect: float, rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Two campaigns that add up; wrong: proven with one, not proven without the other."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        cells = [
            moments_of_rows({"y": rng.gamma(2, 2.5, (reps, n)) + shift})
            for n, shift in ((400, 0.0), (200, effect), (200, 0.3), (100, effect + 0.3))
        ]
        for neither, first, second, both in zip(*cells, strict=True):
            found = interaction(neither=neither, first=first, second=second, both=both, column="y")
            apart = (found.alone.p_value < ALPHA) is not (found.together.p_value < ALPHA)
            yield reading(found.interaction, 0.0) | {"one of two": apart}

    return repeat(rng, reps, once)


def carried_over(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """An earlier campaign, drawn independently, moved the level and not today's effect."""
    return crossed(0.0, rng, reps)


def _s19() -> Iterator[Case]:
    yield Case(
        "S19",
        "interaction of two campaigns that add up",
        lambda rng, reps: crossed(0.7, rng, reps),
        (COVERS, Measure("rejects", "interaction found where there is none", around(ALPHA))),
        wrong=(Measure("one of two", "proven in one cell and not in the other", around(ALPHA)),),
    )
    yield Case(
        "S19",
        "carry-over of an earlier campaign",
        carried_over,
        (Measure("rejects", "carry-over found where there is none", around(ALPHA)),),
    )


CASES = (*_s3(), *_s4(), *_s5(), *_s18(), *_s19())
