"""A design in the marketer's words: customers, days, answers, money, how to answer more."""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from uplift.sizing.answers import Answer, words_of
from uplift.sizing.factors import FactorAnswer
from uplift.sizing.revenue import Revenue
from uplift.table import format_value

if TYPE_CHECKING:
    from uplift.sizing.result import Design

WAYS_TOLD = 3
TOLD_EFFECT = 1.01  # design effect from which clusters are worth a sentence


def design_lines(design: "Design") -> Iterator[str]:
    """One sentence or more per line."""
    hardest = design.hardest
    yield (
        f"{format_value(design.n_units, 'count')} eligible customers, "
        f"{format_value(design.arms[0].n_units, 'count')} of them held out. {_promise(design)}"
    )
    yield design.timing.words(hardest.n_needed)
    for _, same in groupby(design.answers, key=lambda answer: answer.said):
        yield words_of(list(same))
    yield from _spread(hardest)
    yield from (_revenue(row) for row in design.revenue if row.metric == hardest.metric)
    yield from (_factor(answer) for answer in design.factors)
    if hardest.inflation > 1:
        yield _looks(hardest)
    yield (
        f"Contacts cost {format_value(design.contact_cost, 'money')} {design.currency}; "
        f"{_holdout(design)}"
    )
    yield from _ways(design)


def _promise(design: "Design") -> str:
    """The wanted chance, and what guardrails and several tests make of it."""
    text = (
        f"The effect sought is to be found with a chance of {format_value(design.power, 'share')}"
    )
    each = design.hardest.wanted_power
    if each > design.power:
        text += (
            "; as the guardrails must hold as well, each test is planned with "
            f"{format_value(each, 'share')}"
        )
    level = format_value(design.confidence, "share")
    if design.n_tests == 1:
        return f"{text}. There is one test, at a confidence of {level}."
    return f"{text}. {design.n_tests} tests share one error, so each has a confidence of {level}."


def _spread(answer: Answer) -> Iterator[str]:
    """What is known before, and what households cost."""
    saved = answer.baseline.variance_reduction
    if saved > 0:
        times = format_value(1 / (1 - saved), "number") if saved < 1 else "countless"
        yield (
            f"What is known from before explains {format_value(saved, 'share')} of the spread of "
            f"{answer.metric}, which is worth {times} times the customers; it is counted in."
        )
    if answer.n_effective is not None and answer.baseline.design_effect > TOLD_EFFECT:
        members = answer.n_control + answer.n_treatment
        yield (
            f"Whole clusters are drawn, whose members are alike: {format_value(members, 'count')} "
            f"customers tell as much as {format_value(answer.n_effective, 'count')} drawn one by "
            "one; it is counted in."
        )


def _revenue(row: Revenue) -> str:
    text = (
        f"{row.metric}, {row.treatment}: {format_value(row.buyer_share, 'share')} of customers "
        f"have a value at all, so a rise shows {_from(row.mde_buyers)} if there are more buyers, "
        f"{_from(row.mde_baskets)} if baskets are larger"
    )
    if row.honest:
        return f"{text}."
    each = format_value(row.nominal, "share")
    return (
        f"{text}; without any effect it would say better in "
        f"{format_value(row.false_better, 'share')} and worse in "
        f"{format_value(row.false_worse, 'share')} of cases, not {each} each."
    )


def _from(rise: float) -> str:
    return "not at all" if math.isnan(rise) else f"from {format_value(rise, 'share')} on"


def _factor(answer: FactorAnswer) -> str:
    text = f"{answer.name}: the smallest {answer.kind} effect that can be shown is "
    text += format_value(answer.mde, "number")
    if answer.power is None:
        return f"{text}."
    needed = format_value(answer.n_needed, "count")
    return (
        f"{text}; one of {format_value(answer.sought, 'number')} would be proven with a chance of "
        f"{format_value(answer.power, 'share')}, and takes {needed} customers."
    )


def _looks(answer: Answer) -> str:
    days = ", ".join(str(look.day) for look in answer.looks)
    cost = format_value(answer.inflation - 1, "share")
    return f"Read on the days {days}: all looks share the error and cost {cost} more customers."


def _holdout(design: "Design") -> str:
    if design.holdout_cost is None:
        return "what the holdout gives up is not known, as no effect on the value is stated."
    redemptions = all(check.code != "REDEMPTION_UNKNOWN" for check in design.checks)
    return (
        f"the holdout of {format_value(design.arms[0].n_units, 'count')} gives up "
        f"{format_value(design.holdout_cost, 'money')} {design.currency} if the best arm has the "
        f"effect sought{'' if redemptions else ' (before redemptions)'}."
    )


def _ways(design: "Design") -> Iterator[str]:
    """The cheapest ways, each size of the smallest effect once, and what brings nothing."""
    different = {way.mde_relative: way for way in reversed(design.ways)}
    told = [way for way in design.ways if different[way.mde_relative] is way][:WAYS_TOLD]
    if told:
        yield f"The cheapest ways to answer more of {design.hardest.metric}:"
    for number, way in enumerate(told, 1):
        price = "price not known"
        if way.price is not None:
            price = f"{format_value(way.price, 'money')} {design.currency}"
        yield (
            f"{number}. {way.words} The smallest effect falls by "
            f"{format_value(way.gain, 'share')} to {format_value(way.mde_relative, 'share')}; "
            f"it costs {price}{f' and {way.extra_days} days' if way.extra_days else ''}."
        )
    if design.no_ways:
        reasons = "; ".join(f"a {no.kind} ({no.why})" for no in design.no_ways)
        yield f"Nothing is gained by {reasons}."
