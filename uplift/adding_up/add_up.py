"""The universal control's total against the sum of shrunken campaign effects."""

from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from scipy import stats

from uplift.adding_up.campaigns import SentCampaign
from uplift.adding_up.report import ProgrammeReport
from uplift.adding_up.spans import Responses, Span, measured
from uplift.checks import Check, warning
from uplift.errors import DataError, DefinitionError
from uplift.experiment import Experiment
from uplift.inference.programme_total import CampaignEffect, ProgrammeTotal, programme_total
from uplift.metrics import Metric


def add_up(
    control: Experiment,
    spans: Sequence[Span],
    outcomes: Any,
    campaigns: Sequence[SentCampaign],
    *,
    metric: str | None = None,
    checks: Sequence[Check] = (),
) -> ProgrammeReport:
    """Measure the programme, add up its campaigns, and show what is between the two.

    control    the universal control's definition
    outcomes   a long table over the time of the spans: `unit`, `occurred_at` and the metric's
               column; a unit without a row brought nothing, also one that has left
    campaigns  all that were sent in that time, the failed ones too
    metric     key of one of the control's metrics; the primary one when not given

    The campaigns' effects are those of their response windows; what they do later is in the total
    and shows in the residual.

    Errors: DefinitionError METRIC_UNKNOWN, METRIC_KIND (a share or a ratio does not add up);
    DataError CAMPAIGNS_MISSING and those of `Responses.of` and `measured`.
    """
    chosen = additive_metric(control, metric)
    responses = Responses.of(outcomes, spans, column=chosen.column, zone=control.schedule.timezone)
    confidence = control.analysis.confidence
    found = measured(spans, responses, confidence=confidence)
    reach = {sent.name: sent.reach(spans) for sent in campaigns}
    added = (sent.effect(reach[sent.name]) for sent in campaigns)
    effects = [one for one in added if one is not None]
    if not effects:
        raise DataError(
            f"{control.id}: no campaign that was read reached a customer of the programme from "
            f"{spans[0].starts_at:%Y-%m-%d} to {spans[-1].ends_at:%Y-%m-%d}, so there is nothing "
            "to add up. Read its campaigns first, or choose another time.",
            code="CAMPAIGNS_MISSING",
        )
    total = programme_total(found.estimate, effects, confidence=confidence)
    zone = ZoneInfo(control.schedule.timezone)
    is_money = chosen.column == control.money.value
    return ProgrammeReport(
        programme=control.id,
        title=control.title,
        digest=control.digest,
        since=spans[0].starts_at.astimezone(zone),
        until=spans[-1].ends_at.astimezone(zone),
        metric=chosen.key,
        unit=chosen.unit,
        currency=control.money.currency,
        confidence=confidence,
        total=total,
        cost=sum(sent.cost(reach[sent.name]) for sent in campaigns),
        margin_rate=control.money.margin_rate if is_money else None,
        winners=_winners(effects, chosen, confidence),
        n_held=found.n_held,
        n_units=found.n_programme,
        n_spans=len(spans),
        checks=(*checks, *_exposed(campaigns, spans), *_interaction(total)),
    )


def additive_metric(control: Experiment, metric: str | None) -> Metric:
    """A metric whose sums over campaigns and months mean something.

    Errors: METRIC_UNKNOWN, METRIC_KIND.
    """
    known = {one.key: one for one in control.all_metrics}
    key = control.primary.key if metric is None else metric
    if key not in known:
        raise DefinitionError(
            f"{control.id} has no metric {key!r}, only {', '.join(known)}.", code="METRIC_UNKNOWN"
        )
    if known[key].kind != "mean":
        raise DefinitionError(
            f"{key} is a {known[key].kind}: effects on it do not add up over campaigns. Choose a "
            "mean, such as spend.",
            code="METRIC_KIND",
        )
    return known[key]


def _winners(
    effects: Sequence[CampaignEffect], metric: Metric, confidence: float
) -> tuple[str, ...]:
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    sign = 1 if metric.direction == "up" else -1
    return tuple(one.name for one in effects if sign * one.effect > z * one.std_error)


def _exposed(campaigns: Sequence[SentCampaign], spans: Sequence[Span]) -> Iterator[Check]:
    for sent in campaigns:
        count = sent.n_held_out(spans)
        if count:
            yield warning(
                "CONTROL_EXPOSED",
                value=count,
                remedy=f"So many customers of the universal control were assigned to a treatment "
                f"of {sent.name}: the total reads too small. Let it exclude the control.",
            )


def _interaction(total: ProgrammeTotal) -> Iterator[Check]:
    low, high = total.residual_ci
    if high < 0 or low > 0:
        yield warning(
            "CAMPAIGNS_INTERACT",
            value=total.residual,
            remedy="The campaigns do not add up to the programme. Test two that share customers "
            "against each other, or send fewer.",
        )
