"""S1 to S6, S9, S18: the report that `analyse` gives, with the methods that it chooses itself."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd

from tests.calibration.analysed import Analysed, analysed, experiment_of, prepared, rows_of
from tests.calibration.harness import Case, Measure, around, at_least, at_most, repeat
from tests.calibration.means_cases import ALPHA, FALSE_ALARM, FALSE_GAIN, FALSE_LOSS, reading
from uplift.analysis.cells import STRATUM
from uplift.analysis.looks import look_rule
from uplift.analysis.prepared import Prepared
from uplift.analysis.segments import segment_readings
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.sizing.plan import design

Sim = Callable[[np.random.Generator, int], dict[str, np.ndarray]]

# --- a report without an effect ------------------------------------------------------------------

OTHERS = """secondary:
    - metric: {name: buyer, version: 1, title: Buyers, column: bought, kind: proportion,
               unit: share, window_days: 28, owner: crm}
    - metric: {name: basket, version: 1, title: Baskets, column: spend, denominator: orders,
               kind: ratio, unit: EUR, window_days: 28, owner: crm}
    - metric: {name: median, version: 1, title: Median, column: spend, kind: quantile,
               quantile: 0.5, unit: EUR, window_days: 28, owner: crm}
  guardrails:
    - metric: {name: optout, version: 1, title: Opt-outs, column: opted_out, kind: proportion,
               unit: share, window_days: 28, owner: care, direction: down}
      margin: 0.05"""
HARMED = "post"  # the arm whose opt-outs rise by just the margin


def report(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Three arms, five metrics, a fifth without history; one arm harms by just the margin."""
    plan = experiment_of(
        {"control": "1/3", "mail": "1/3", HARMED: "1/3"}, covariate="before", others=OTHERS
    )
    n = 1_200
    arm = np.repeat([0, 1, 2], n // 3)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            taste = rng.gamma(4, 2, n)
            orders = 1.0 + rng.poisson(taste / 4)
            data = {
                "spend": orders * (10 + taste) + rng.normal(0, 6, n),
                "orders": orders,
                "bought": rng.random(n) < 0.1,
                "opted_out": rng.random(n) < 0.05 + 0.05 * (arm == 2),
            }
            before = np.where(rng.random(n) < 0.2, np.nan, taste + rng.normal(0, 2, n))
            yield _of_report(analysed(prepared(plan, data, {"before": before}), arm))

    return repeat(rng, reps, once)


def _of_report(found: Analysed) -> dict[str, float]:
    tested = [row for row in found.effects if row.tested]
    harmed = found.row("optout", HARMED)
    best = max(found.money.rows, key=lambda row: row.profit.effect)
    covered = {
        name: reading(found.row(name, "mail").estimate, 0.0)["covers"]
        for name in ("spend", "buyer", "basket", "median")
    }
    low, high = found.row("spend", "mail").relative_ci
    return covered | {
        "relative": low <= 0 <= high,
        "profit": reading(found.money.row("mail").profit, 0.0)["covers"],
        "any": any(row.proven for row in tested),
        "naive": any(row.p_value < ALPHA for row in tested),
        "decided": found.decision.action in ("scale", "stop"),
        "largest": best.profit.effect > 0,
        "harmless": harmed.verdict == "within margin",
        "no proof": harmed.estimate.p_value > ALPHA,
    }


def _report() -> Case:
    return Case(
        "analyse",
        "report of three arms and five metrics",
        report,
        (
            Measure("spend", "spend, adjusted, 20 % without history: covers", around(0.95)),
            Measure("relative", "relative effect on spend: covers", around(0.95)),
            Measure("profit", "profit per customer: covers", around(0.95)),
            Measure("buyer", "share of buyers: covers", around(0.95)),
            Measure("basket", "spend per order: covers", around(0.95)),
            Measure("median", "median of spend: covers", around(0.95)),
            Measure("any", "any of eight tests called better or worse", at_most(ALPHA)),
            Measure("decided", "scaled or stopped without an effect", at_most(ALPHA)),
            Measure("harmless", "harm of just the margin called within it", at_most(ALPHA)),
        ),
        wrong=(
            Measure("naive", "any p < 5 % of eight tests", at_most(ALPHA)),
            Measure("largest", "the best arm scaled because it is ahead", at_most(ALPHA)),
            Measure("no proof", "harm called none because it is not proven", at_most(ALPHA)),
        ),
        smoke=250,
    )


# --- skewed spend and small arms -----------------------------------------------------------------


def skewed(n: int, n_control: int, *, buyers: float, sigma: float = 1.0) -> Sim:
    """Spend of a few buyers, arms of unequal size; beside it Welch's interval."""
    plan = experiment_of({"control": f"{n_control}/{n}", "mail": f"{n - n_control}/{n}"})
    arm = (np.arange(n) >= n_control).astype(np.int64)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            spend = np.zeros(n)
            who = rng.random(n) < buyers
            spend[who] = rng.lognormal(3.5, sigma, int(who.sum()))
            row = rows_of(prepared(plan, {"spend": spend}), arm)[0]
            plain = reading(row.unadjusted, 0.0)
            yield reading(row.estimate, 0.0) | {f"plain {k}": v for k, v in plain.items()}

    return lambda rng, reps: repeat(rng, reps, once)


def _skewed() -> Iterator[Case]:
    tails = (FALSE_ALARM, FALSE_GAIN, FALSE_LOSS)
    gain = Measure("plain gain", "proven gain by Welch's interval", FALSE_GAIN.band)
    loss = Measure("plain loss", "proven loss by Welch's interval", FALSE_LOSS.band)
    for n, n_control, buyers, wrong in (
        (5_000, 4_500, 0.006, loss),
        (5_000, 500, 0.006, gain),
        (10_000, 2_000, 0.02, gain),
        (20_000, 6_000, 0.01, None),
        (5_000, 2_000, 0.1, None),
        (12_030, 30, 0.006, gain),
    ):
        yield Case(
            "S1",
            f"spend of {100 * buyers:g} % buyers, control of {n_control:,} in {n:,}, as analysed",
            skewed(n, n_control, buyers=buyers),
            tails,
            wrong=() if wrong is None else (wrong,),
            smoke=300,
        )


def shares(n: int, n_control: int, p: float) -> Sim:
    """Buyers in arms of unequal size, eight of them in the small one; beside it Welch's test."""
    plan = experiment_of(
        {"control": f"{n_control}/{n}", "mail": f"{n - n_control}/{n}"}, kind_of_metric="proportion"
    )
    arm = (np.arange(n) >= n_control).astype(np.int64)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            row = rows_of(prepared(plan, {"spend": rng.random(n) < p}), arm)[0]
            plain = reading(row.unadjusted, 0.0)
            yield reading(row.estimate, 0.0) | {f"plain {k}": v for k, v in plain.items()}

    return lambda rng, reps: repeat(rng, reps, once)


def _shares() -> Iterator[Case]:
    tails = (FALSE_ALARM, FALSE_GAIN, FALSE_LOSS)
    for n_control, key, says in ((160, "plain gain", "gain"), (7_840, "plain loss", "loss")):
        yield Case(
            "S1",
            f"buyers 5 %, control of {n_control:,} in 8,000, as analysed",
            shares(8_000, n_control, 0.05),
            tails,
            wrong=(Measure(key, f"proven {says} by Welch's interval", FALSE_GAIN.band),),
            smoke=600,
        )


# --- households ----------------------------------------------------------------------------------


def households(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Households of one to five share an arm and a taste; wrong: their members as if alone."""
    n = 300
    plan = experiment_of({"control": "1/3", "mail": "2/3"}, cluster="household", covariate="before")
    of_household = (np.arange(n) >= n // 3).astype(np.int64)

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            code = np.repeat(np.arange(n), rng.integers(1, 6, n))
            taste = rng.gamma(2, 3, n)[code]
            before = taste + rng.normal(0, 2, len(code))
            spend, arm = taste + rng.exponential(3, len(code)), of_household[code]
            source = prepared(plan, {"spend": spend}, {"before": before}, cluster=code)
            row = rows_of(source, arm)[0]
            members = [Moments.of({"y": spend[arm == k]}, ["y"]) for k in (1, 0)]
            alone = reading(welch(*members, column="y"), 0.0)
            yield reading(row.estimate, 0.0) | {
                "plain": reading(row.unadjusted, 0.0)["covers"],
                "alone": alone["covers"],
            }

    return repeat(rng, reps, once)


def _households() -> Case:
    return Case(
        "designs",
        "households drawn, as analysed",
        households,
        (
            Measure("covers", "adjusted interval covers", around(0.95)),
            Measure("plain", "plain interval covers", around(0.95)),
            FALSE_ALARM,
        ),
        wrong=(Measure("alone", "members read as if they were alone", around(0.95)),),
        reps=2_000,
        smoke=300,
    )


# --- segments ------------------------------------------------------------------------------------

SIZES = np.geomspace(30, 2_000, 10).astype(int) // 2 * 2


def in_segments(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """Ten declared segments of 30 to 2,000 with one true effect; wrong: the best one alone."""
    plan = experiment_of({"control": "1/2", "mail": "1/2"}, analysis="segments: [region]")
    region = np.repeat(np.arange(len(SIZES)), SIZES)
    arm, unit = np.arange(len(region)) % 2, [f"u{i}" for i in range(len(region))]
    groups = {STRATUM: pd.Series(region).map(lambda i: f"r{i}")}  # counted as segments are
    blank = pd.DataFrame({"unit": unit, "spend": 0.0})
    source, truth = Prepared.of(plan, blank, None, groups=groups), 0.5

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            spend = 20 + truth * arm + rng.normal(0, 2 + region / 5)
            counted = source.read(arm, pd.DataFrame({"spend": spend}))
            readings = replace(counted, segments={"region": counted.strata}, strata={})
            spent, earned = (one.effects for one in segment_readings(plan, readings))
            best = max(spent.segments, key=lambda one: one.effect).segment
            inside = region == int(best[1:])
            alone = rows_of(prepared(plan, {"spend": spend[inside]}), arm[inside])[0].ci
            yield {
                "all": all(one.ci[0] <= truth <= one.ci[1] for one in spent.segments)
                and all(one.ci[0] <= 0.3 * truth <= one.ci[1] for one in earned.segments),
                "best": alone[0] <= truth <= alone[1],
                "differ": spent.differ,
            }

    return repeat(rng, reps, once)


def _segments() -> Case:
    return Case(
        "S10",
        "ten segments of 30 to 2,000, spend and profit, as analysed",
        in_segments,
        (
            Measure("all", "all segments covered together", at_least(0.95)),
            Measure("differ", "equal segments found to differ", at_most(ALPHA)),
        ),
        wrong=(Measure("best", "interval of the best of ten", at_least(0.95)),),
        reps=2_000,
        smoke=100,
    )


# --- looks ---------------------------------------------------------------------------------------

INTAKE, WATCHED, PER_DAY = 20, 7, 30  # days, days, customers
LOOKS = (12, 17, 22, INTAKE + WATCHED)  # days; the last one is the end


def looked_at(monitoring: str) -> Sim:
    """A trigger read on four days, of those whose days have passed; wrong: at 5 % each time."""
    plan = experiment_of(
        {"control": "1/2", "mail": "1/2"},
        kind="trigger",
        ends="2017-07-23T08:00:00",
        days=WATCHED,
        analysis=f"looks_days: {list(LOOKS[:-1])}, monitoring: {monitoring}",
    )
    sizes = [PER_DAY * (day - WATCHED) for day in LOOKS]
    rules = [
        look_rule(
            plan,
            as_of=plan.schedule.launch_at + timedelta(days=day),
            n_mature=n,
            planned_units=sizes[-1],
            earlier=None,
        )
        for day, n in zip(LOOKS, sizes, strict=True)
    ]

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            spend, arm = rng.exponential(5, sizes[-1]), rng.integers(0, 2, sizes[-1])
            rows = [
                rows_of(prepared(plan, {"spend": spend[:n]}), arm[:n], rule=rule)[0]
                for n, rule in zip(sizes, rules, strict=True)
            ]
            plain = [
                rows_of(prepared(plan, {"spend": spend[:n]}), arm[:n])[0].p_value for n in sizes
            ]
            yield {
                "ever": any(row.proven for row in rows),
                "covers": all(row.ci[0] <= 0 <= row.ci[1] for row in rows),
                "peeked": min(plain) < ALPHA,
            }

    return lambda rng, reps: repeat(rng, reps, once)


def _looks() -> Iterator[Case]:
    for monitoring, band, covers in (
        ("group_sequential", around(ALPHA), around(0.95)),
        ("always_valid", at_most(ALPHA), at_least(0.95)),
    ):
        yield Case(
            "S9",
            f"trigger read on four days, {monitoring.replace('_', '-')}, as analysed",
            looked_at(monitoring),
            (
                Measure("ever", "ever called better or worse without an effect", band),
                Measure("covers", "intervals of all looks cover", covers),
            ),
            wrong=(Measure("peeked", "p < 5 % at every look", at_most(ALPHA)),),
            reps=1_000,
            smoke=300 if monitoring == "always_valid" else 0,
        )


# --- a design, carried out -----------------------------------------------------------------------


def designed(rng: np.random.Generator, reps: int) -> dict[str, np.ndarray]:
    """The units `design` asks for, and a third fewer."""
    gain, spread = 1.2, 8.0
    planned = f"expected_mean: 20\n    expected_std_dev: {spread}\n    minimum_effect: {gain / 20}"
    plan = experiment_of({"control": "1/4", "mail": "3/4"}, planned=planned)
    n = design(plan, n_units=2_000).answers[0].n_needed

    def once(rng: np.random.Generator, reps: int) -> Iterator[dict[str, float]]:
        for _ in range(reps):
            found = {}
            for key, units in (("found", n), ("fewer", 2 * n // 3)):
                arm = (np.arange(units) >= units // 4).astype(np.int64)
                spend = 20 + gain * arm + rng.normal(0, spread, units)
                row = rows_of(prepared(plan, {"spend": spend}), arm)[0]
                found[key] = row.verdict == "better"
            yield found

    return repeat(rng, reps, once)


def _designed() -> Case:
    return Case(
        "S18",
        "units that design asks for, as analysed",
        designed,
        (Measure("found", "planned effect called better", around(0.8)),),
        wrong=(Measure("fewer", "with a third fewer units", around(0.8)),),
        reps=2_000,
        smoke=200,
    )


CASES = (_report(), *_skewed(), *_shares(), _households(), _segments(), *_looks(), _designed())
