"""Whether a plan errs as often as it says: what so many replays can tell, and what they cannot.

The band is 0.8 to 1.2 times the planned error: 4 to 6 % where 5 % is planned. A share of 1,000
replays has a standard error of 0.7 points, so one test in eight of a right plan leaves the band by
chance alone. A share outside is therefore called one of three things:

    wrong      above the band, and a right plan would show as much in less than 1 of 1,000
               rehearsals
    unsettled  above the band, but chance may do that: `simulate_plan` goes on to four times as
               many replays, whose standard error of 0.35 points settles nearly every case
    shy        below the band, and a right plan would show as little in less than 1 of 1,000:
               nothing false is said, but the test proves less than it could. A warning

By binomial probabilities, a plan is called wrong after 1,000 replays, or 4,000 where it goes on:

    true error of a test   5 %   5.5 %   6 %   6.5 %   7 %   8 %
    called wrong         0.1 %     3 %  26 %    65 %  88 %  99 %
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from uplift.checks import Check, warning
from uplift.table import format_value

BAND = (0.8, 1.2)  # of the planned error: 4 to 6 % where 5 % is planned
CHANCE = 0.001  # of a right plan to be called wrong, for each share that is judged
CONFIDENCE = 0.95  # of the exact interval around a rate
MORE = 4  # times the replays, where so many leave the verdict open


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
class Judged:
    """A share of false alarms beside the planned error.

    both_sides  too few are worth a warning as well
    """

    name: str
    rate: Rate
    planned: float
    both_sides: bool = False

    @property
    def above(self) -> bool:
        """Above the band."""
        return self.rate.value > BAND[1] * self.planned

    @property
    def wrong(self) -> bool:
        """Above the band, and not by chance."""
        by_chance = stats.binom.sf(self.rate.count - 1, self.rate.n_replays, self.planned)
        return self.above and bool(by_chance < CHANCE)

    @property
    def shy(self) -> bool:
        """Below the band, and not by chance."""
        by_chance = stats.binom.cdf(self.rate.count, self.rate.n_replays, self.planned)
        return self.rate.value < BAND[0] * self.planned and bool(by_chance < CHANCE)


def unsettled(judged: Sequence[Judged]) -> bool:
    """Whether more replays would tell something new."""
    return any(one.above and not one.wrong for one in judged)


def placebo_checks(judged: Sequence[Judged]) -> Iterator[Check]:
    """A check per share; those called PLACEBO block."""
    for one in judged:
        yield Check(
            f"placebo {one.name}",
            passed=not one.wrong,
            value=one.rate.value,
            bound=BAND[1] * one.planned,
            remedy=f"{_said(one)}. The plan is wrong: check looks, clusters and the size of the "
            "control.",
            code="PLACEBO",
        )
        if one.above and not one.wrong:
            yield warning(
                "PLACEBO_UNSETTLED",
                value=one.rate.value,
                remedy=f"{_said(one)}. So few replays cannot tell that from chance: take more.",
            )
        if one.both_sides and one.shy:
            yield warning(
                "PLACEBO_LOW",
                value=one.rate.value,
                remedy=f"{_said(one)}. Nothing false is said, but the test proves less than it "
                "could: few events or a small control do that.",
            )


def _said(one: Judged) -> str:
    low, high = (format_value(end, "share") for end in one.rate.ci)
    return (
        f"{one.name}: false alarms in {format_value(one.rate.value, 'share')} of "
        f"{one.rate.n_replays:,} replays (95 % interval {low} to {high}), where "
        f"{format_value(one.planned, 'share')} is planned"
    )
