"""What a rehearsal found: how often the plan cries wolf, and how often it sees what is there."""

from collections.abc import Iterator
from dataclasses import dataclass

from scipy import stats

from uplift.checks import Check
from uplift.table import Column, Result, Table, format_value

BAND = (0.8, 1.2)  # of the planned error: 4 to 6 % where 5 % is planned
CONFIDENCE = 0.95  # of the exact interval around a rate


@dataclass(frozen=True)
class Rate:
    """How many of the replays; `ci` is the exact (Clopper-Pearson) interval of their share."""

    count: int
    n_replays: int

    @property
    def value(self) -> float:
        """Share of the replays."""
        return self.count / self.n_replays

    @property
    def ci(self) -> tuple[float, float]:
        """Exact 95 % interval. Source: Clopper & Pearson (1934), Biometrika 26(4)."""
        found = stats.binomtest(self.count, self.n_replays).proportion_ci(CONFIDENCE, "exact")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class TestRate:
    """One treatment on one metric over all replays.

    alone   proven if it were the only test, on either side
    family  proven with the correction for the family
    better  the same, in the good direction
    """

    metric: str
    role: str
    treatment: str
    alone: Rate
    family: Rate
    better: Rate


@dataclass(frozen=True)
class GuardrailRate:
    """How often a guardrail was shown to be within its margin."""

    metric: str
    treatment: str
    holds: Rate


@dataclass(frozen=True)
class Rates:
    """All replays of one kind: without an effect, or with one planted.

    any_proven  a difference was proven for any test of the family
    scaled      the decision was to scale an arm
    stopped, retested, withheld  the other decisions
    """

    tests: tuple[TestRate, ...]
    guardrails: tuple[GuardrailRate, ...]
    any_proven: Rate
    scaled: Rate
    stopped: Rate
    retested: Rate
    withheld: Rate


@dataclass(frozen=True, repr=False)
class Rehearsal(Result):
    """A plan replayed on history.

    alpha        error that the family may make
    nominal      error that a single test may make at the looks that were replayed
    looks_days   those looks
    placebo      replays in which nothing was sent
    power        replays with a planted effect; None when none was asked for
    planted      how it was planted
    """

    experiment: str
    digest: str
    n_units: int
    n_replays: int
    seed: int
    alpha: float
    nominal: float
    looks_days: tuple[int, ...]
    placebo: Rates
    power: Rates | None
    planted: str
    checks: tuple[Check, ...]

    def table(self) -> Table:
        """One row per test: its false alarms, and its power where an effect was planted."""
        columns = [
            Column("metric"),
            Column("treatment"),
            Column("false alarms alone", kind="share"),
            Column("95% from", kind="share"),
            Column("to", kind="share"),
            Column("in the family", kind="share"),
        ]
        if self.power is not None:
            columns.append(Column("power", kind="share"))
        rows = []
        for i, test in enumerate(self.placebo.tests):
            row = [test.metric, test.treatment, test.alone.value, *test.alone.ci, test.family.value]
            if self.power is not None:
                row.append(self.power.tests[i].better.value)
            rows.append(row)
        anything, scaled = self.placebo.any_proven, self.placebo.scaled
        note = (
            f"{self.n_replays:,} placebo replays of {self.n_units:,} customers. Any test of the "
            f"family: {format_value(anything.value, 'share')}; decision to scale: "
            f"{format_value(scaled.value, 'share')}."
        )
        if self.power is not None:
            note += f" Power where {self.planted}."
        return Table(f"Rehearsal of {self.experiment}", columns, rows, note=note)

    def words(self) -> str:
        """The verdict in sentences."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        failed = [check for check in self.checks if not check.passed and check.blocking]
        verdict = "The plan errs as often as it says" if not failed else "The plan must not be used"
        yield (
            f"{verdict}: in {self.n_replays:,} replays on customers to whom nothing was sent, it "
            f"proved a difference in {format_value(self.placebo.any_proven.value, 'share')} "
            f"(planned: at most {format_value(self.alpha, 'share')}) and would have scaled an arm "
            f"in {format_value(self.placebo.scaled.value, 'share')}."
        )
        yield from (check.remedy for check in failed)
        if self.power is not None:
            yield f"Where {self.planted}:"
            for test in self.power.tests:
                yield (
                    f"{test.metric}, {test.treatment} is proven better in "
                    f"{format_value(test.better.value, 'share')} of the replays."
                )
            yield f"An arm is scaled in {format_value(self.power.scaled.value, 'share')}."

    def metrics(self) -> dict[str, float]:
        """Flat figures, for tracking."""
        figures = {
            "placebo_any_proven": self.placebo.any_proven.value,
            "placebo_scaled": self.placebo.scaled.value,
        }
        for i, test in enumerate(self.placebo.tests):
            name = f"{test.metric.replace('@', '_v')}_{test.treatment}"
            figures[f"placebo_{name}"] = test.alone.value
            if self.power is not None:
                figures[f"replay_power_{name}"] = self.power.tests[i].better.value
        return figures


def placebo_checks(placebo: Rates, *, nominal: float, alpha: float) -> Iterator[Check]:
    """Whether the error is what the plan says.

    Too many false alarms, of a single test, of the family or of the decision to scale, block: the
    exact 95 % interval of their share lies wholly above 1.2 times the planned error (6 % where 5 %
    is planned). So a share of 6.2 % in 1,000 replays, which chance may give, does not fail, and one
    of 8 % does. A single test with too few (wholly below 0.8 times) is a warning: nothing false is
    said, but the test proves less than it could. A family errs less than planned when its tests
    resemble each other, which is no fault.
    """
    for test in placebo.tests:
        if test.alone.count == 0 and test.family.count == 0 and test.better.count == 0:
            continue  # nothing varies: history does not have the column
        yield _too_many(f"placebo {test.metric} {test.treatment}", test.alone, nominal)
        low = BAND[0] * nominal
        if test.alone.ci[1] < low:
            yield Check(
                f"placebo_low {test.metric} {test.treatment}",
                passed=False,
                value=test.alone.value,
                bound=low,
                remedy=f"{test.metric}, {test.treatment} errs less often than planned, so it "
                "proves less than it could. Few events or a small control do that.",
                code="PLACEBO_LOW",
                blocking=False,
            )
    yield _too_many("placebo family", placebo.any_proven, alpha)
    yield _too_many("placebo scaled", placebo.scaled, alpha)


def _too_many(name: str, rate: Rate, planned: float) -> Check:
    bound = BAND[1] * planned
    low, high = (format_value(end, "share") for end in rate.ci)
    return Check(
        name,
        passed=rate.ci[0] <= bound,
        value=rate.value,
        bound=bound,
        remedy=f"{name.removeprefix('placebo ')}: false alarms in "
        f"{format_value(rate.value, 'share')} of the replays (95 % interval {low} to {high}), "
        f"where {format_value(planned, 'share')} is planned. The plan is wrong: check looks, "
        "clusters and the size of the control.",
        code="PLACEBO",
    )
