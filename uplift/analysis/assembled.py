"""From readings to the report: effects, money, segments, checks and the decision, in one place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from uplift.analysis.decision import decide
from uplift.analysis.delivery import Delivery, delivery_checks
from uplift.analysis.effects import effect_checks, effect_rows
from uplift.analysis.funnel import funnel_of
from uplift.analysis.look_record import look_of
from uplift.analysis.looks import Look
from uplift.analysis.looks_ahead import looks_ahead
from uplift.analysis.money import money_checks, money_of
from uplift.analysis.readings import Readings
from uplift.analysis.report import AnalysisReport
from uplift.analysis.robustness import influence_rows, robustness_checks
from uplift.analysis.segments import segment_checks, segment_readings, segment_warnings
from uplift.analysis.spend_split import spend_splits
from uplift.analysis.wave_effects import wave_rows
from uplift.checks import Check, warning
from uplift.experiment import Experiment


@dataclass(frozen=True)
class ReadAt:
    """When the data were read.

    given        as the caller said; None when nothing was said
    now          the time that counts
    provisional  nobody is through the response window
    """

    given: datetime | None
    now: datetime
    provisional: bool


def assembled(
    experiment: Experiment,
    readings: Readings,
    *,
    time: ReadAt,
    first: Sequence[Check],
    earlier: Sequence[Look] | None,
    delivery: tuple[Delivery, ...] = (),
) -> AnalysisReport:
    """The report of these readings.

    first    checks that come before those of the readings, the sample ratio before all
    earlier  the looks taken before
    """
    rule = readings.rule
    effects = effect_rows(experiment, readings)
    money = money_of(experiment, readings)
    segments = segment_readings(experiment, readings)
    influences = influence_rows(experiment, readings)
    closes = experiment.schedule.closes_at.strftime("%Y-%m-%d %H:%M UTC")
    checks = (
        *first,
        *readings.checks,
        *money_checks(experiment),
        *robustness_checks(experiment, readings, influences),
        *segment_checks(experiment, readings),
        *segment_warnings(segments),
        *(delivery_checks(experiment, delivery) if delivery else ()),
        *effect_checks(effects),
    )
    return AnalysisReport(
        experiment=experiment.id,
        title=experiment.title,
        digest=experiment.digest,
        data_digest=readings.data_digest,
        confidence=readings.confidence,
        as_of=time.given,
        provisional=time.provisional,
        family=tuple(f"{row.metric} by {row.treatment}" for row in effects if row.tested),
        assigned=readings.assigned,
        analysed=readings.analysed,
        effects=effects,
        money=money,
        checks=checks,
        decision=decide(
            effects,
            money,
            checks,
            open_until=closes if time.provisional else None,
            stage=rule.stage,
            look=rule.number,
        ),
        look=look_of(
            experiment,
            rule,
            effects,
            money,
            as_of=time.now,
            n_units=sum(readings.analysed.values()),
        ),
        earlier=tuple(earlier or ()),
        ahead=looks_ahead(experiment, rule, as_of=time.now),
        segments=segments,
        influence=influences,
        spend=spend_splits(experiment, readings),
        waves=wave_rows(experiment, readings),
        funnel=funnel_of(experiment, effects),
        delivery=delivery,
    )


def open_window(closes: str) -> Iterator[Check]:
    """Nobody is through the response window: outcomes so far are read."""
    yield warning(
        "WINDOW_OPEN",
        value=closes,
        remedy="Outcomes are still coming in: the result is provisional and decides nothing.",
    )
