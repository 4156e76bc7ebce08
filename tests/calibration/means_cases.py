"""S1, S2: a difference of means or proportions, read once."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from tests.calibration.batches import moments_of_counts, moments_of_rows
from tests.calibration.harness import Case, Measure, around, at_least, at_most, repeat
from uplift.inference.means import Estimate, welch
from uplift.inference.proportions import equal_tailed_score, score

ALPHA = 0.05
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

COVERS = Measure("covers", "95 % interval covers the effect", around(0.95))
COVERS_ENOUGH = Measure("covers", "95 % interval covers the effect", at_least(0.95))
FALSE_ALARM = Measure("rejects", "p < 5 % without an effect", at_most(ALPHA))
FALSE_GAIN = Measure("gain", "proven gain without an effect", at_most(ALPHA / 2))
FALSE_LOSS = Measure("loss", "proven loss without an effect", at_most(ALPHA / 2))


def reading(found: Estimate, truth: float) -> dict[str, float]:
    """What is asked of every estimate whose truth is known."""
    low, high = found.ci
    return {
        "covers": low <= truth <= high,
        "rejects": found.p_value < ALPHA,
        "gain": found.p_value < ALPHA and found.effect > 0,
        "loss": found.p_value < ALPHA and found.effect < 0,
        "undefined": not np.isfinite([low, high]).all(),
    }


# --- S1: difference in means ---------------------------------------------------------------------


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.normal(10, 3, shape)


def exponential(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.exponential(5, shape)


def spend(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Six of a thousand buy, for a lognormal amount."""
    values = np.zeros(shape)
    buyer = rng.random(shape) < 0.006
    values[buyer] = rng.lognormal(3.5, 1.0, int(buyer.sum()))
    return values


def means(draw: Draw, n: int, treated: float) -> Callable[..., dict[str, np.ndarray]]:
    """Welch's difference of two arms of one distribution."""
    n_t = round(n * treated)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        t = moments_of_rows({"y": draw(rng, (reps, n_t))})
        c = moments_of_rows({"y": draw(rng, (reps, n - n_t))})
        for one, other in zip(t, c, strict=True):
            yield reading(welch(one, other, column="y"), 0.0)

    return lambda rng, reps: repeat(rng, reps, once)


def proportions(p: float, n: int, treated: float) -> Callable[..., dict[str, np.ndarray]]:
    """The interval of shares, the normal one, and the score test that knows no skewness."""
    n_t = round(n * treated)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        drawn = np.stack([rng.binomial(n_t, p, reps), rng.binomial(n - n_t, p, reps)], axis=1)
        distinct, back = np.unique(drawn, axis=0, return_inverse=True)  # each pair is read once
        t = moments_of_counts(distinct[:, 0], n_t)
        c = moments_of_counts(distinct[:, 1], n - n_t)
        found = []
        for one, other in zip(t, c, strict=True):
            plain = reading(welch(one, other, column="y"), 0.0)
            found.append(
                reading(equal_tailed_score(one, other, column="y"), 0.0)
                | {f"plain {key}": value for key, value in plain.items()}
                | {"score gain": reading(score(one, other, column="y"), 0.0)["gain"]}
            )
        yield from (found[i] for i in back)

    return lambda rng, reps: repeat(rng, reps, once, size=reps)


def unequal(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """One arm of nine has thrice the spread: Welch's test beside the one with a pooled variance."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        t, c = rng.normal(0, 3, (reps, 50)), rng.normal(0, 1, (reps, 450))
        pooled = stats.ttest_ind(t, c, axis=1).pvalue < ALPHA
        rows = zip(moments_of_rows({"y": t}), moments_of_rows({"y": c}), pooled, strict=True)
        for one, other, wrong in rows:
            yield reading(welch(one, other, column="y"), 0.0) | {"pooled": wrong}

    return repeat(rng, reps, once)


def _s1() -> Iterator[Case]:
    tails = (FALSE_ALARM, FALSE_GAIN, FALSE_LOSS)
    for share, split in ((0.5, "50/50"), (0.1, "10/90")):
        yield Case("S1", f"normal, n=300, {split}", means(normal, 300, share), (COVERS, *tails))
        n = round(1_000 / share)
        yield Case("S1", f"exponential, n={n:,}, {split}", means(exponential, n, share), tails)
        yield Case(
            "S1",
            f"Bernoulli 1 %, n=20,000, {split}",
            proportions(0.01, 20_000, share),
            (COVERS, *tails),
        )
        one_sided = Measure("score gain", "proven gain by the plain score test", FALSE_GAIN.band)
        yield Case(
            "S1",
            f"Bernoulli 0.1 %, n=20,000, {split}",
            proportions(0.001, 20_000, share),
            tails,
            wrong=() if share == 0.5 else (one_sided,),
            smoke=4_000,
        )
    yield Case("S1", "spend of 0.6 % buyers, n=5,000, 50/50", means(spend, 5_000, 0.5), tails)
    # one tail of a small arm of skewed spend is too heavy: it takes units, or a corrected interval
    yield Case(
        "S1",
        "spend of 0.6 % buyers, n=5,000, 10/90",
        means(spend, 5_000, 0.1),
        (FALSE_GAIN,),
        wrong=(Measure("loss", "proven loss by Welch's interval", FALSE_LOSS.band),),
    )
    yield Case(
        "S1",
        "spread thrice as large in one arm of nine",
        unequal,
        (COVERS, FALSE_ALARM),
        wrong=(Measure("pooled", "t test with a pooled variance", at_most(ALPHA)),),
    )


# --- S2: rare events -----------------------------------------------------------------------------


def _s2() -> Iterator[Case]:
    for p, n in ((0.0005, 2_000), (0.005, 2_000)):
        yield Case(
            "S2",
            f"proportion {p:.2%}, n={n:,}, 50/50",
            proportions(p, n, 0.5),
            (
                COVERS_ENOUGH,
                FALSE_ALARM,
                Measure("undefined", "no interval", at_most(0.0)),
            ),
            wrong=(
                (Measure("plain undefined", "normal interval undefined", at_most(0.0)),)
                if p < 0.001
                else ()
            ),
        )
    yield Case(
        "S2",
        "proportion 0.50%, n=2,000, 10/90",
        proportions(0.005, 2_000, 0.1),
        (COVERS_ENOUGH, FALSE_ALARM, Measure("undefined", "no interval", at_most(0.0))),
        wrong=(Measure("plain covers", "normal interval covers", at_least(0.95)),),
    )


CASES = (*_s1(), *_s2())
