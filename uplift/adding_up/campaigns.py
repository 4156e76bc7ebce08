"""The campaigns of a programme as their own tests read them, and how far each reached.

All campaigns count that were sent in the time, the failed ones too: leaving out those that did not
win makes the sum too large before anything is added up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from uplift.adding_up.spans import Span
from uplift.assigned import Assigned
from uplift.assignment.universal import PROGRAMME
from uplift.checks import Check, warning
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, rows_by_id
from uplift.inference.programme_total import CampaignEffect
from uplift.registry.past import UNIVERSAL, ArmEffect, PastReading, averaged, past_readings
from uplift.registry.registry import Registry
from uplift.registry.states import position


@dataclass(frozen=True, eq=False)
class SentCampaign:
    """A campaign that was sent to customers of the programme.

    sends  how often each unit was assigned to each treatment, a series per treatment by unit
    arms   what its test read of each treatment on the programme's metric
    costs  contact and redemption cost by treatment, per assigned unit
    """

    name: str
    launch_at: datetime
    sends: Mapping[str, pd.Series] = field(repr=False)
    arms: tuple[ArmEffect, ...]
    costs: Mapping[str, float] = field(default_factory=dict)

    def reach(self, spans: Sequence[Span]) -> dict[str, float]:
        """Times a unit of the programme was assigned to each treatment, on average."""
        span = self._span(spans)
        return {
            name: span.mean_of(sends.astype(np.float64), PROGRAMME)
            for name, sends in self.sends.items()
        }

    def n_held_out(self, spans: Sequence[Span]) -> int:
        """Units held out at the launch that were assigned to a treatment all the same."""
        sent = pd.concat([pd.Series(sends.index, dtype="str") for sends in self.sends.values()])
        return int((rows_by_id(self._span(spans).units(CONTROL), among=sent) >= 0).sum())

    def effect(self, reach: Mapping[str, float]) -> CampaignEffect | None:
        """Its treatments together, weighed by their reach; None where it reached nobody."""
        weights = [reach[arm.treatment] for arm in self.arms]
        if not sum(weights) > 0:
            return None
        effect, error = averaged(self.arms, weights, relative=False)
        return CampaignEffect(name=self.name, effect=effect, std_error=error, reach=sum(weights))

    def cost(self, reach: Mapping[str, float]) -> float:
        """What it cost per unit of the programme."""
        return sum(reach[name] * cost for name, cost in self.costs.items())

    def _span(self, spans: Sequence[Span]) -> Span:
        """The span in which it was launched."""
        before = [span for span in spans if span.starts_at <= self.launch_at]
        return before[-1] if before else spans[0]


def sent_campaigns(
    registry: Registry, *, column: str, since: datetime, until: datetime
) -> tuple[tuple[SentCampaign, ...], tuple[Check, ...]]:
    """The campaigns launched from `since` to `until`, and a warning for each that cannot be added.

    column  outcome that the programme's metric sums

    Errors: FILE_CHECKSUM, ARTEFACT_MISSING for an analysis that was changed.
    """
    found: list[SentCampaign] = []
    checks: list[Check] = []
    readings = {one.experiment.id: one for one in past_readings(registry)}
    for entry in registry.experiments().rows:
        if entry.kind == UNIVERSAL or position(entry.state) < position("assigned"):
            continue
        experiment = registry.definition(entry.id)
        schedule = experiment.schedule
        if not (schedule.launch_at < until and schedule.closes_at > since):
            continue
        if not (schedule.launch_at >= since and schedule.closes_at <= until):
            checks.append(_on_the_edge(experiment, summed=schedule.launch_at >= since))
        if schedule.launch_at < since:
            continue
        reading = readings.get(entry.id)
        checks += _doubts(experiment, reading, column)
        arms = () if reading is None else reading.arms(_key_of(experiment, column) or "")
        if reading is not None and arms:
            sends = _sends(registry, experiment)
            found.append(SentCampaign(entry.id, schedule.launch_at, sends, arms, _costs(reading)))
    return tuple(found), tuple(checks)


def _key_of(experiment: Experiment, column: str) -> str | None:
    """The first of its metrics that sums the column, primary first."""
    keys = (one.key for one in experiment.all_metrics if (one.column, one.kind) == (column, "mean"))
    return next(keys, None)


def _sends(registry: Registry, experiment: Experiment) -> dict[str, pd.Series]:
    table = Assigned(registry.root / experiment.id, experiment, registry).whole()
    return {
        arm.name: table.loc[table["arm"] == arm.name, UNIT].value_counts()
        for arm in experiment.treatments
    }


def _costs(reading: PastReading) -> dict[str, float]:
    rows = reading.analysis["money"]["rows"]
    return {row["arm"]: float(row["cost_per_unit"] or 0.0) for row in rows}


def _doubts(experiment: Experiment, reading: PastReading | None, column: str) -> Iterator[Check]:
    if reading is None:
        yield warning(
            "CAMPAIGN_NOT_READ",
            value=experiment.id,
            remedy="It was sent but not read, so its effect is in the total and not in the sum. "
            f"Run `uplift analyse {experiment.id}`.",
        )
    elif _key_of(experiment, column) is None or not reading.arms(_key_of(experiment, column) or ""):
        yield warning(
            "CAMPAIGN_WITHOUT_METRIC",
            value=experiment.id,
            remedy=f"It was not read by {column!r}, so its effect is in the total and not in the "
            "sum. Plan the programme's metric in every campaign, at least as a secondary one.",
        )
    elif reading.faults:
        yield warning(
            "CAMPAIGN_DOUBTFUL",
            value=experiment.id,
            remedy=f"Its verdict was withheld ({' and '.join(reading.faults)}); it was sent, so it "
            "stays in the sum, as far as it can be trusted.",
        )


def _on_the_edge(experiment: Experiment, *, summed: bool) -> Check:
    window = experiment.schedule
    return warning(
        "CAMPAIGN_EDGE",
        value=experiment.id,
        remedy=f"Its window, {window.launch_at:%Y-%m-%d} to {window.closes_at:%Y-%m-%d}, is only "
        "partly in the time that is read; "
        + (
            "the sum has the whole of its effect."
            if summed
            else "launched before, it is not in the sum."
        ),
    )
