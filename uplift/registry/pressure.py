"""Contact pressure: what experiments that share customers send them together, beside their caps.

A cap is applied when its own experiment is drawn, to the contacts made before. What others send
later it cannot see. So the planned sends are counted here: by how many contacts, in how many days,
a customer who is in all of them would be reached, and whether that is more than a cap allows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from uplift.assignment_plan import ContactCap
from uplift.audience import may_meet
from uplift.checks import Check
from uplift.experiment import Experiment


@dataclass(frozen=True)
class Pressure:
    """A cap that planned sends exceed together.

    experiment    whose cap it is
    others        whose sends come on top of its own, by id; none where its own waves are too many
    n_contacts    most contacts a customer in all of them gets in `window_days`, up to `until_at`
    max_contacts, window_days, channel  the cap
    """

    experiment: str
    others: tuple[str, ...]
    n_contacts: int
    max_contacts: int
    window_days: int
    channel: str | None
    until_at: datetime

    @property
    def check(self) -> Check:
        """A warning: whoever is drawn later must keep the cap, or somebody is sent too much."""
        together = ", ".join((self.experiment, *self.others))
        by = f" by {self.channel}" if self.channel else ""
        what_to_do = (
            "Put them into parts of one layer, move a send, or give each of them that cap and its "
            "contacts: customers at the cap are then not drawn, so plan with fewer."
            if self.others
            else "Its later waves will leave out who had the earlier ones. Raise the cap, or send "
            "less often."
        )
        return Check(
            "contact pressure",
            passed=False,
            value=self.n_contacts,
            bound=self.max_contacts,
            remedy=f"Customers in {together} get up to {self.n_contacts} contacts{by} in the "
            f"{self.window_days} days until {self.until_at.date()}; {self.experiment} allows "
            f"{self.max_contacts}. {what_to_do}",
            code="CONTACT_PRESSURE",
            blocking=False,
        )


def pressures_among(experiments: Iterable[Experiment]) -> tuple[Pressure, ...]:
    """Every cap that its experiment's sends exceed with those of the others; at its worst moment.

    Experiments count together unless no customer can be in both: parts of one layer, or audiences
    that cannot meet. A universal control sends nothing. A trigger sends once to each customer, at
    any time while it runs.
    """
    senders = [one for one in experiments if one.kind != "universal_control"]
    found = (
        _worst(one, cap, [other for other in senders if _may_share(one, other)])
        for one in senders
        for cap in one.assignment.contact_caps
    )
    return tuple(pressure for pressure in found if pressure is not None)


def _worst(one: Experiment, cap: ContactCap, others: Sequence[Experiment]) -> Pressure | None:
    """The moment at which most contacts lie in the cap's days before it, own ones among them."""
    days = timedelta(days=cap.window_days)
    sends = {e.id: list(_sends(e, cap)) for e in (one, *others)}
    worst: tuple[int, datetime, tuple[str, ...]] | None = None
    for until in sorted({start for times in sends.values() for start, _ in times}):
        counts = {
            name: sum(start <= until and end >= until - days for start, end in times)
            for name, times in sends.items()
        }
        own = counts.pop(one.id)
        added = _together(others, counts)
        total = own + sum(added.values())
        if own and total > cap.max_contacts and (worst is None or total > worst[0]):
            worst = (total, until, tuple(sorted(added)))
    if worst is None:
        return None
    total, until, names = worst
    limits = (cap.max_contacts, cap.window_days, cap.channel)
    return Pressure(one.id, names, total, *limits, until)


def _sends(experiment: Experiment, cap: ContactCap) -> Iterator[tuple[datetime, datetime]]:
    """When a customer can be contacted once: first and last moment of each send that counts."""
    channels = {arm.channel for arm in experiment.treatments}
    if cap.channel is not None and cap.channel not in channels:
        return
    schedule = experiment.schedule
    if schedule.ends_at is not None:
        yield schedule.launch_at, schedule.moment(schedule.ends_at)
        return
    for window in schedule.windows:
        yield window.opens_at, window.opens_at


def _together(others: Sequence[Experiment], counts: Mapping[str, int]) -> dict[str, int]:
    """Contacts of the others that one customer can get: of one layer's, those of one experiment."""
    best: dict[str, tuple[str, int]] = {}
    for other in others:
        layer = other.assignment.layer
        place = f"layer {layer.name}" if layer else other.id
        if counts[other.id] > best.get(place, ("", 0))[1]:
            best[place] = (other.id, counts[other.id])
    return dict(best.values())


def _may_share(one: Experiment, other: Experiment) -> bool:
    """Whether a customer may be in both."""
    a, b = one.assignment.layer, other.assignment.layer
    apart = a is not None and b is not None and a.name == b.name
    return one.id != other.id and not apart and may_meet(one.audience, other.audience)
