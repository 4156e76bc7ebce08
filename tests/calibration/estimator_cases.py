"""S6 and more: the readings for special metrics and designs."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import ndtr

from tests.calibration.batches import moments_of_rows
from tests.calibration.harness import Case, Measure, around, at_least, at_most, repeat
from tests.calibration.means_cases import ALPHA, COVERS, FALSE_ALARM, reading
from uplift.inference.crossed import covariances_of_arms, crossed
from uplift.inference.hurdle import hurdle
from uplift.inference.means import welch
from uplift.inference.multiplicity import benjamini_hochberg
from uplift.inference.poststratification import poststratified
from uplift.inference.quantiles import quantile_difference, quantile_of
from uplift.inference.ratios import adjusted_ratio, ratio
from uplift.inference.regression_adjustment import covariances_for
from uplift.inference.skewed_means import SkewedArm, common_shape

Sim = Callable[[np.random.Generator, int], dict[str, np.ndarray]]

# --- S1: a small control of skewed spend ---------------------------------------------------------


def small_control(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """A control of 2,000 beside 38,000, one of a hundred buys; wrong: Welch's interval."""
    sizes = (38_000, 2_000)

    def arm(rng: np.random.Generator, n: int) -> tuple[SkewedArm, object]:
        values = np.zeros(n)
        buyers = rng.binomial(n, 0.01)
        values[:buyers] = rng.lognormal(3.5, 1.0, buyers)
        moments = moments_of_rows({"y": values[None, :]})[0]
        third = float(np.mean((values - values.mean()) ** 3))
        return SkewedArm.of(moments, "y", third=third), moments

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            (t, plain_t), (c, plain_c) = (arm(rng, n) for n in sizes)
            plain = reading(welch(plain_t, plain_c, column="y"), 0.0)
            found = reading(common_shape(t, c), 0.0)
            yield found | {"plain gain": plain["gain"]}

    return repeat(rng, reps, once)


# --- S6: quantiles -------------------------------------------------------------------------------


def medians(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Medians of order values, several per customer; wrong: orders as if independent."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            right, wrong = [], []
            for n in (600, 400):
                orders = rng.integers(1, 6, n)
                customer = np.repeat(np.arange(n), orders)
                values = np.exp(
                    3 + rng.normal(0, 0.8, n)[customer] + rng.normal(0, 0.4, len(customer))
                )
                right.append(quantile_of(values, level=0.5, clusters=customer))
                wrong.append(quantile_of(values, level=0.5))
            naive = reading(quantile_difference(*wrong), 0.0)
            yield reading(quantile_difference(*right), 0.0) | {"by order": naive["covers"]}

    return repeat(rng, reps, once)


def quantiles(level: float) -> Sim:
    """A high quantile of independent lognormal values."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            t, c = (quantile_of(rng.lognormal(3, 1, n), level=level) for n in (2_000, 1_500))
            yield reading(quantile_difference(t, c), 0.0)

    return lambda rng, reps: repeat(rng, reps, once)


# --- S4: ratios adjusted by the time before ------------------------------------------------------


def adjusted_order_value(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """CUPED on a ratio, by its numerator and denominator of the time before."""
    before = ["y0", "z0"]
    pairs = [("y", "z"), *covariances_for(["y", "z"], before)]

    def arm(rng: np.random.Generator, reps: int, n: int) -> list:
        taste = rng.normal(0, 6, (reps, n))
        z0, z = (1.0 + rng.poisson(3, (reps, n)) for _ in range(2))
        y0, y = (k * (40 + taste) + np.sqrt(k) * rng.normal(0, 8, k.shape) for k in (z0, z))
        return moments_of_rows({"y": y, "z": z, "y0": y0, "z0": z0}, pairs)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for t, c in zip(arm(rng, reps, 150), arm(rng, reps, 350), strict=True):
            names = {"numerator": "y", "denominator": "z"}
            found = adjusted_ratio(t, c, **names, covariates=before)
            plain = ratio(t, c, **names)
            yield reading(found, 0.0) | {"wider": found.std_error > plain.std_error}

    return repeat(rng, reps, once)


# --- designs -------------------------------------------------------------------------------------


def drawn_anew(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Four waves, arms drawn anew in each, so that a customer is in both."""
    arms = (("ty", "tn"), ("cy", "cn"))
    pairs, n = covariances_of_arms(arms), 300

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        level = rng.gamma(1, 8, (reps, n, 1))
        spend = level * rng.gamma(4, 0.25, (reps, n, 4))
        treated = rng.random((reps, n, 4)) < 0.5
        data = {
            "ty": (spend * treated).sum(axis=2),
            "tn": treated.sum(axis=2).astype(float),
            "cy": (spend * ~treated).sum(axis=2),
            "cn": (~treated).sum(axis=2).astype(float),
        }
        for customers in moments_of_rows(data, pairs):
            found = crossed(customers, treatment=arms[0], control=arms[1])
            error = 0.0  # wrong: as if the customers of the arms were others
            for total, draws in arms:
                share = customers.mean_of(draws)
                mean = customers.mean_of(total) / share
                spread = customers.variance(total) + mean**2 * customers.variance(draws)
                spread -= 2 * mean * customers.covariance(total, draws)
                error += spread / share**2 / customers.count
            apart = abs(found.effect) <= 1.96 * np.sqrt(error)
            yield reading(found, 0.0) | {"others": apart}

    return repeat(rng, reps, once)


def strata(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Three strata of very different levels, sampled; wrong: each stratum counts the same."""
    shares, levels, effects = (0.6, 0.3, 0.1), (2.0, 10.0, 40.0), (0.0, 1.0, 4.0)
    truth = float(np.dot(shares, effects))

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            k, arm = rng.choice(3, 1_200, p=shares), rng.random(1_200) < 0.3
            y = np.take(levels, k) + np.take(effects, k) * arm + rng.normal(0, 3, 1_200)
            cells = [
                [
                    moments_of_rows({"y": y[(k == s) & (arm == a)][None, :]})[0]
                    for a in (True, False)
                ]
                for s in range(3)
            ]
            found = poststratified([tuple(pair) for pair in cells], column="y")
            each = [welch(t, c, column="y") for t, c in cells]
            equal = np.mean([one.effect for one in each])
            error = np.sqrt(sum(one.std_error**2 for one in each)) / 3
            yield reading(found, truth) | {"equal": abs(equal - truth) <= 1.96 * error}

    return repeat(rng, reps, once)


def parts(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Spend split into buyers and baskets."""
    p, m = (0.12, 0.10), (32.0, 30.0)
    truth = {"buyers": (p[0] - p[1]) * (m[0] + m[1]) / 2, "baskets": (m[0] - m[1]) * sum(p) / 2}

    def arm(rng: np.random.Generator, reps: int, n: int, share: float, mean: float) -> list:
        buys = rng.random((reps, n)) < share
        return moments_of_rows(
            {"y": buys * rng.gamma(4, mean / 4, (reps, n)), "b": buys.astype(float)}, [("y", "b")]
        )

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        arms = [arm(rng, reps, n, p[i], m[i]) for i, n in enumerate((1_500, 1_000))]
        for t, c in zip(*arms, strict=True):
            found = hurdle(t, c, spend="y", buyer="b")
            yield {
                name: part.ci[0] <= truth[name] <= part.ci[1]
                for name, part in (("buyers", found.buyers), ("baskets", found.baskets))
            }

    return repeat(rng, reps, once)


def discoveries(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Twenty metrics of which five move: the share of false ones among those found."""
    moved = np.arange(20) < 5
    z = rng.normal(0, 1, (reps, 20)) + 3.0 * moved
    p_values = 2 * ndtr(-np.abs(z))
    found = np.array([benjamini_hochberg(row) <= ALPHA for row in p_values])
    naive = p_values <= ALPHA
    return {
        key: (hits & ~moved).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)
        for key, hits in (("false", found), ("naive", naive))
    }


def _cases() -> Iterator[Case]:
    yield Case(
        "S1",
        "spend of 1 % buyers, control of 2,000 beside 38,000",
        small_control,
        (
            Measure("covers", "95 % interval covers the effect", at_least(0.95)),
            FALSE_ALARM,
            Measure("gain", "proven gain without an effect", at_most(ALPHA / 2)),
            Measure("loss", "proven loss without an effect", at_most(ALPHA / 2)),
        ),
        wrong=(Measure("plain gain", "proven gain by Welch's interval", at_most(ALPHA / 2)),),
        smoke=400,
    )
    yield Case(
        "S6",
        "medians of orders, several per customer",
        medians,
        (COVERS,),
        wrong=(Measure("by order", "orders read as if they were independent", around(0.95)),),
        reps=1_000,
        smoke=200,
    )
    for level in (0.5, 0.9):
        yield Case(
            "S6", f"quantile {level:g} of lognormal values", quantiles(level), (COVERS,), reps=1_000
        )
    yield Case(
        "S4",
        "spend per order, adjusted by that before",
        adjusted_order_value,
        (COVERS, FALSE_ALARM, Measure("wider", "wider than unadjusted", at_most(0.0))),
    )
    yield Case(
        "designs",
        "four waves, drawn anew in each",
        drawn_anew,
        (COVERS,),
        wrong=(Measure("others", "arms taken as different customers", around(0.95)),),
        reps=2_000,
        smoke=300,
    )
    yield Case(
        "designs",
        "three strata, post-stratified",
        strata,
        (COVERS,),
        wrong=(Measure("equal", "strata counted alike", around(0.95)),),
        reps=2_000,
        smoke=300,
    )
    yield Case(
        "designs",
        "spend split into buyers and baskets",
        parts,
        (
            Measure("buyers", "part of the buyers covered", around(0.95)),
            Measure("baskets", "part of the baskets covered", around(0.95)),
        ),
        reps=2_000,
        smoke=200,
    )
    yield Case(
        "S10",
        "twenty metrics, five move, Benjamini-Hochberg",
        discoveries,
        (Measure("false", "false share of what is found", at_most(ALPHA)),),
        wrong=(Measure("naive", "false share of p < 5 %", at_most(ALPHA)),),
    )


CASES = tuple(_cases())
