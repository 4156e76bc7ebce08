"""What a rehearsal found: how often the plan cries wolf, and how often it sees what is there."""

from collections.abc import Iterator
from dataclasses import dataclass

from uplift.checks import Check
from uplift.rehearsal.verdict import Judged, Rate
from uplift.table import Column, Result, Table, format_value


@dataclass(frozen=True)
class TestRate:
    """One treatment on one metric over all replays.

    known   whether history has the metric; without it nothing is ever proven
    alone   proven if it were the only test, on either side
    upside  the same, in the good direction
    family  proven with the correction for the family
    better  the same, in the good direction
    """

    metric: str
    role: str
    treatment: str
    known: bool
    alone: Rate
    upside: Rate
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

    def judged(self, *, nominal: float, alpha: float) -> tuple[Judged, ...]:
        """Shares of false alarms beside the planned error, of replays without an effect.

        Of each test alone, and for the better, which is half of the error; of the family; and of
        the decision to scale, which only a proof for the better brings about. A family errs less
        than planned when its tests resemble each other, which is no fault.
        """
        found = []
        for test in self.tests:
            if test.known:
                name = f"{test.metric} {test.treatment}"
                found.append(Judged(name, test.alone, nominal, both_sides=True))
                found.append(Judged(f"{name}, for the better", test.upside, nominal / 2))
        family = Judged("family", self.any_proven, alpha)
        return (*found, family, Judged("decision to scale", self.scaled, alpha / 2))


@dataclass(frozen=True, repr=False)
class Rehearsal(Result):
    """A plan replayed on history.

    n_units      customers of each replay
    n_replays    asked for; of the placebo there may be more (see `verdict`)
    alpha        error that the family may make
    nominal      error that a single test may make at the looks that were replayed
    looks_days   those looks
    placebo      replays in which nothing was sent
    power        replays with a planted effect; None when none was asked for
    planted      how it was planted
    wanted       power that the plan promises of the primary metric, where it was planted; else None
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
    wanted: float | None
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
        rows = [self._row(i) for i in range(len(self.placebo.tests))]
        anything, scaled = self.placebo.any_proven, self.placebo.scaled
        note = (
            f"{anything.n_replays:,} placebo replays of {self.n_units:,} customers. Any test of "
            f"the family: {format_value(anything.value, 'share')}; decision to scale: "
            f"{format_value(scaled.value, 'share')}."
        )
        if self.power is not None:
            note += f" Power in {self.n_replays:,} replays where {self.planted}."
        return Table(f"Rehearsal of {self.experiment}", columns, rows, note=note)

    def _row(self, i: int) -> tuple[str | float | None, ...]:
        test = self.placebo.tests[i]
        shares: list[float | None] = [test.alone.value, *test.alone.ci, test.family.value]
        if self.power is not None:
            shares.append(self.power.tests[i].better.value)
        return (test.metric, test.treatment, *(shares if test.known else [None] * len(shares)))

    def words(self) -> str:
        """The verdict in sentences."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        failed = [check for check in self.checks if not check.passed and check.blocking]
        verdict = "The plan errs as often as it says" if not failed else "The plan must not be used"
        anything = self.placebo.any_proven
        yield (
            f"{verdict}: in {anything.n_replays:,} replays of {self.n_units:,} customers without "
            f"any effect, it proved a difference in {format_value(anything.value, 'share')} "
            f"(planned: at most {format_value(self.alpha, 'share')}) and would have scaled an arm "
            f"in {format_value(self.placebo.scaled.value, 'share')} (at most "
            f"{format_value(self.alpha / 2, 'share')})."
        )
        yield from (check.remedy for check in failed)
        if self.power is not None:
            yield f"Where {self.planted}:"
            for test in self.power.tests:
                if test.known:
                    low, high = (format_value(end, "share") for end in test.better.ci)
                    wanted = ""
                    if test.role == "primary" and self.wanted is not None:
                        wanted = f", wanted {format_value(self.wanted, 'share')}"
                    yield (
                        f"{test.metric}, {test.treatment} is proven better in "
                        f"{format_value(test.better.value, 'share')} of {self.n_replays:,} replays "
                        f"(95 % interval {low} to {high}{wanted})."
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
