"""S17 and what follows it: effects over weeks, market shocks, surrogates."""

from collections.abc import Callable, Iterator

import numpy as np

from tests.calibration.batches import moments_of_rows
from tests.calibration.harness import Case, Measure, around, at_least, at_most, repeat
from tests.calibration.means_cases import ALPHA
from uplift.inference.long_term import cumulative_effects, effect_over, pull_forward, rereads
from uplift.inference.market import market_or_campaign
from uplift.inference.periods import PeriodMeans, covariances_of
from uplift.inference.surrogate import direct_effect, effect_by_index, fit_index

WEEKS = [f"w{i}" for i in range(1, 13)]
PAIRS = covariances_of(WEEKS)
Sim = Callable[[np.random.Generator, int], dict[str, np.ndarray]]


def weeks(
    rng: np.random.Generator, shape: tuple[int, int], *, gain: list[float]
) -> dict[str, np.ndarray]:
    """Weekly spend: three of ten buy, the same ones spend more; a tenth leaves after week 6."""
    level = rng.gamma(1, 10, shape)
    stays = rng.random(shape) > 0.1
    data = {}
    for i, week in enumerate(WEEKS):
        spend = (rng.random(shape) < 0.3) * level * rng.gamma(2, 0.5, shape) + gain[i]
        data[week] = np.where((i < 6) | stays, spend, 0.0)
    return data


def panels(rng: np.random.Generator, reps: int, n: int, gain: list[float]) -> Iterator[list]:
    """Both arms of every replication as means of twelve weeks."""
    t = moments_of_rows(weeks(rng, (reps, n), gain=gain), PAIRS)
    c = moments_of_rows(weeks(rng, (reps, n), gain=[0.0] * 12), PAIRS)
    for pair in zip(t, c, strict=True):
        yield [PeriodMeans.of_panel(one, WEEKS) for one in pair]


# --- S17: what a kept holdout says so far --------------------------------------------------------


def kept_holdout(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Twelve weeks, exits, a constant gain; wrong: weeks added up as if they were independent."""
    gain = [0.5] * 12
    so_far = np.cumsum([0.5] * 6 + [0.45] * 6)
    ends = [0, 2, 5, 11]

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for t, c in panels(rng, reps, 400, gain):
            total = effect_over(t, c, np.ones(12))
            read = rereads(t, c, until=[WEEKS[i] for i in ends])
            bands = [one.band for one in read.readings]
            free = np.sqrt(np.trace(t.covariance) + np.trace(c.covariance))
            weekly = rereads(t, c, until=WEEKS)
            yield {
                "total": total.ci[0] <= so_far[-1] <= total.ci[1],
                "together": all(
                    low <= so_far[i] <= high for i, (low, high) in zip(ends, bands, strict=True)
                ),
                "free": abs(total.effect - so_far[-1]) <= 1.96 * free,
                "alone": all(
                    one.estimate.ci[0] <= so_far[i] <= one.estimate.ci[1]
                    for i, one in enumerate(weekly.readings)
                ),
            }

    return repeat(rng, reps, once, size=100)


def whole_curve(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """The band of the effect so far, over all twelve weeks."""
    so_far = np.cumsum([0.5] * 6 + [0.45] * 6)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for t, c in panels(rng, reps, 400, [0.5] * 12):
            curve = cumulative_effects(t, c)
            bands = [one.band for one in curve.readings]
            inside = [low <= at <= high for at, (low, high) in zip(so_far, bands, strict=True)]
            yield {"curve": all(inside)}

    return repeat(rng, reps, once, size=100)


def brought_forward(gain: list[float]) -> Sim:
    """How often a campaign without both a gain and a later loss is said to have brought forward."""

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for t, c in panels(rng, reps, 400, gain):
            found = pull_forward(t, c, early=WEEKS[:4], late=WEEKS[4:])
            eager = found.early.p_value < ALPHA and found.late.effect < 0 < found.early.effect
            yield {"flagged": found.flagged, "eager": eager}

    return lambda rng, reps: repeat(rng, reps, once, size=100)


def _holdouts() -> Iterator[Case]:
    yield Case(
        "S17",
        "twelve weeks of spend, a tenth leaves",
        kept_holdout,
        (
            Measure("total", "effect over twelve weeks covered", around(0.95)),
            Measure("together", "four re-reads covered together", at_least(0.95)),
        ),
        wrong=(
            Measure("free", "weeks taken as independent", around(0.95)),
            Measure("alone", "whole curve by intervals of one week", at_least(0.95)),
        ),
        reps=2_000,
        smoke=200,
    )
    yield Case(
        "S17",
        "the curve of twelve weeks",
        whole_curve,
        (Measure("curve", "whole curve covered", around(0.95)),),
        reps=2_000,
        smoke=25,
    )
    flagged = Measure("flagged", "said to have brought forward", at_most(ALPHA))
    for name, gain in (
        ("nothing happened", [0.0] * 12),
        ("gain, nothing lost", [1.5] * 4 + [0.0] * 8),
        ("loss only, later", [0.0] * 4 + [-1.0] * 8),
    ):
        eager = Measure("eager", "gain proven and the later estimate below 0", at_most(ALPHA))
        yield Case(
            "long term",
            f"brought forward: {name}",
            brought_forward(gain),
            (flagged,),
            wrong=(eager,) if gain[0] else (),
            reps=2_000,
            smoke=200,
        )


# --- market shocks -------------------------------------------------------------------------------


def shock(market: float, weaker: float) -> Sim:
    """Four months of the same customers; from the third on the market or the campaign moves."""
    months = WEEKS[:4]
    pairs = covariances_of(months)

    def arm(rng: np.random.Generator, shape: tuple[int, int], effect: float) -> list:
        level = rng.gamma(4, 2, shape)
        data = {}
        for i, month in enumerate(months):
            factor = (1 + market * (i >= 2)) * (1 + effect * (1 - weaker * (i >= 2)))
            data[month] = factor * level * rng.gamma(5, 0.2, shape)
        return [PeriodMeans.of_panel(one, months) for one in moments_of_rows(data, pairs)]

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for t, c in zip(arm(rng, (reps, 300), 0.3), arm(rng, (reps, 300), 0.0), strict=True):
            found = market_or_campaign(t, c, n_after=2)
            absolute = market_or_campaign(t, c, n_after=2, scale="absolute")
            yield {
                "moved": found.moved != "neither",
                "campaign": found.moved in ("campaign", "both"),
                "market": found.moved in ("market", "both"),
                "covers": found.market.ci[0] <= np.log1p(market) <= found.market.ci[1],
                "absolute": absolute.campaign.p_value < ALPHA,
            }

    return lambda rng, reps: repeat(rng, reps, once, size=200)


def _shocks() -> Iterator[Case]:
    yield Case(
        "market",
        "nothing moved",
        shock(0.0, 0.0),
        (Measure("moved", "anything said to have moved", at_most(ALPHA)),),
        reps=2_000,
    )
    yield Case(
        "market",
        "the market fell by a half",
        shock(-0.5, 0.0),
        (Measure("campaign", "blamed on the campaign", at_most(ALPHA)),),
        wrong=(Measure("absolute", "absolute effects compared", at_most(ALPHA)),),
        reps=2_000,
    )
    yield Case(
        "market",
        "the campaign stopped working",
        shock(0.0, 1.0),
        (Measure("market", "blamed on the market", at_most(ALPHA)),),
        reps=2_000,
    )


# --- surrogate index -----------------------------------------------------------------------------

NAMES = ["visits", "spend"]
WORTH = np.array([2.0, 3.0])
GAIN = np.array([0.3, 0.2])


def surrogates(direct: float) -> Sim:
    """A short history, a test on the surrogates; `direct` is what passes them by."""
    truth = float(WORTH @ GAIN) + direct
    pairs = covariances_of([*NAMES, "year"])

    def customers(rng: np.random.Generator, n: int, gain: object, extra: float) -> tuple:
        s = rng.multivariate_normal([4.0, 2.0], [[1.0, 0.4], [0.4, 1.0]], n) + gain
        noise = rng.normal(0, 1, n) * (1 + 0.5 * np.abs(s[:, 0] - 4))
        return s, 5.0 + s @ WORTH + extra + noise

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            index = fit_index(*customers(rng, 40, 0.0, 0.0), names=NAMES)
            arms = []
            for gain, extra in ((GAIN, direct), (0.0, 0.0)):
                s, year = customers(rng, 2_000, gain, extra)
                data = {"visits": s[None, :, 0], "spend": s[None, :, 1], "year": year[None, :]}
                arms.append(moments_of_rows(data, pairs)[0])
            found = effect_by_index(index, *arms)
            low, high = found.estimate.ci
            yield {
                "covers": low <= truth <= high,
                "known": abs(found.estimate.effect - truth) <= 1.96 * found.sampling_error,
                "direct": direct_effect(index, *arms, outcome="year").p_value < ALPHA,
            }

    return lambda rng, reps: repeat(rng, reps, once)


def _surrogates() -> Iterator[Case]:
    covers = Measure("covers", "long-term effect covered", around(0.95))
    yield Case(
        "surrogate",
        "surrogacy holds, history of 40 customers",
        surrogates(0.0),
        (covers, Measure("direct", "an effect past the surrogates found", around(ALPHA))),
        wrong=(Measure("known", "index taken as known", around(0.95)),),
        reps=2_000,
        smoke=300,
    )
    yield Case(
        "surrogate",
        "the campaign works past the surrogates",
        surrogates(0.6),
        (),
        wrong=(Measure("covers", "long-term effect covered", around(0.95)),),
        reps=1_000,
        smoke=200,
    )


CASES = (*_holdouts(), *_shocks(), *_surrogates())
