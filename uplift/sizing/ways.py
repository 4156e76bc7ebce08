"""Ways to answer more: each computed from this plan and this history, with its gain and its price.

The question is the primary metric of the treatment that is hardest to prove. A gain is by how much
the smallest relative effect falls; a price is money, and beside it stand the days it takes and what
it no longer answers. The cheapest per gain comes first; of those that cost nothing, the largest
gain; last those whose price is not known. A covariate, a coarser metric and a longer window are
what one asks for first, so it is said why, where one of them brings nothing.
"""

from collections.abc import Callable, Iterator

from uplift.sizing import ways_from_history as past
from uplift.sizing import ways_from_plan as planned
from uplift.sizing.way import Kind, NoWay, Plan, Way
from uplift.table import format_value

SMALLEST_GAIN = 0.01  # of the smallest relative effect; less is not worth a sentence
ASKED_FIRST: tuple[Kind, ...] = ("covariate", "coarser metric", "longer window")
MAKERS: tuple[Callable[[Plan], Iterator[Way | NoWay]], ...] = (
    past.covariate,
    past.coarser_metric,
    past.longer_window,
    past.another_wave,
    planned.larger_control,
    planned.fewer_arms,
    planned.fewer_metrics,
    planned.fewer_looks,
    planned.more_customers,
)


def ways_to_answer_more(plan: Plan) -> tuple[tuple[Way, ...], tuple[NoWay, ...]]:
    """Every way with a gain, the cheapest per gain first; and what would be asked for in vain."""
    if not plan.mde_relative > 0:
        return (), ()
    made = [one for make in MAKERS for one in make(plan)]
    ways = [one for one in made if isinstance(one, Way)]
    gaining = sorted((way for way in ways if way.gain >= SMALLEST_GAIN), key=_order)
    offered = {way.kind for way in gaining}
    reasons = [one for one in made if isinstance(one, NoWay)]
    reasons += [_too_little(way) for way in sorted(ways, key=lambda way: -way.gain)]
    first = {reason.kind: reason for reason in reversed(reasons)}
    vain = tuple(first[kind] for kind in ASKED_FIRST if kind in first and kind not in offered)
    return tuple(gaining), vain


def _too_little(way: Way) -> NoWay:
    if way.gain <= 0:
        return NoWay(way.kind, f"{way.name} would show no smaller effect")
    return NoWay(
        way.kind,
        f"with {way.name} the smallest effect falls by {format_value(way.gain, 'share')} only",
    )


def _order(way: Way) -> tuple[bool, float, float]:
    price = way.price_per_gain
    return price is None, price or 0.0, -way.gain
