"""The decision of an experiment: one action and the sentences that give its reasons.

Money decides; a failed check withholds the decision; between treatments that are not proven to
differ, the cheaper one wins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from uplift.analysis.effects import GUARDRAIL, EffectRow
from uplift.analysis.looks import Stage
from uplift.analysis.money import Money, MoneyRow
from uplift.checks import Check, blocked_by
from uplift.table import format_value

Action = Literal["scale", "stop", "retest", "none"]


@dataclass(frozen=True)
class Decision:
    """What to do.

    action  scale (give the arm to everyone) · stop (every treatment loses) · retest (nothing is
            proven) · none (withheld, for the reason in `words`)
    arm     the treatment to scale; None for the other actions
    words   sentences, the decision first
    """

    action: Action
    arm: str | None
    words: tuple[str, ...]


def decide(
    effects: Sequence[EffectRow],
    money: Money,
    checks: Sequence[Check],
    *,
    open_until: str | None,
    stage: Stage = "final",
    look: int = 1,
) -> Decision:
    """Apply the rule to the rows.

    open_until  end of the response window when nobody is through it yet, in words; else None
    stage       at a look before the last, what is proven may be scaled, and nothing else is called
                lost; between looks nothing is decided
    """
    blocked = blocked_by(checks)
    if blocked:
        remedies = tuple(f"{_plain(check.name)}: {check.remedy}" for check in blocked)
        names = " and ".join(_plain(check.name) for check in blocked)
        return Decision("none", None, (f"No verdict: {names} failed.", *remedies))
    if open_until is not None:
        words = f"No verdict yet: the response window is open until {open_until}."
        return Decision("none", None, (words, "The numbers are provisional."))
    if stage == "between looks":
        words = "No verdict: this is not a look of the plan; the intervals hold at any time."
        return Decision("none", None, (words,))
    alpha = 1 - money.confidence
    proven = [row for row in money.rows if row.ci[0] > 0 and row.p_adjusted <= alpha]
    unsafe = {row.treatment for row in effects if row.role == GUARDRAIL and not row.proven}
    candidates = [row for row in proven if row.arm not in unsafe]
    others = tuple(_on_the_others(money, candidates, unsafe))
    if candidates:
        chosen, reasons = _choose(candidates, money)
        return Decision("scale", chosen.arm, (_scale(chosen, money), *reasons, *others))
    if stage == "look" and not all(row.ci[1] < 0 for row in money.rows):
        words = f"No verdict yet: nothing is proven at look {look}, and more looks follow."
        return Decision("none", None, (words, *others))
    if all(row.ci[1] < 0 for row in money.rows):
        return Decision("stop", None, ("Stop: every treatment is proven to lose money.", *others))
    why = "a guardrail is not proven to hold" if proven else "no treatment is proven to earn money"
    return Decision("retest", None, (f"Retest: {why}.", *others))


def _choose(candidates: Sequence[MoneyRow], money: Money) -> tuple[MoneyRow, list[str]]:
    """The best candidate, or the cheapest of those it is not proven to beat."""
    best = max(candidates, key=lambda row: row.profit.effect)
    tied, reasons = [best], list[str]()
    for row in candidates:
        if row is best:
            continue
        difference = money.difference(best.arm, row.arm)
        shown = _interval(difference.effect, difference.ci, money)
        if difference.ci[0] > 0:
            reasons.append(
                f"{_plain(best.arm)} is proven to earn more than {_plain(row.arm)}: {shown}."
            )
        else:
            tied.append(row)
            reasons.append(
                f"{_plain(best.arm)} is not proven to earn more than {_plain(row.arm)}: {shown}."
            )
    chosen = min(tied, key=lambda row: (row.cost_per_unit, -row.profit.effect))
    if len(tied) > 1:
        costs = ", ".join(
            f"{_plain(row.arm)} {format_value(row.cost_per_unit, 'cents')}" for row in tied
        )
        reasons.append(
            f"Among those the cheapest is taken: {_plain(chosen.arm)} "
            f"(cost in {money.currency} per customer: {costs})."
        )
    return chosen, reasons


def _scale(row: MoneyRow, money: Money) -> str:
    total = format_value(row.total, "money")
    return (
        f"Scale {_plain(row.arm)}: it earns {_interval(row.profit.effect, row.ci, money)}; "
        f"{total} {money.currency} from the {row.n_units:,} customers who were assigned it."
    )


def _on_the_others(money: Money, candidates: Sequence[MoneyRow], unsafe: set[str]) -> Iterator[str]:
    """Why each treatment that cannot be scaled cannot."""
    for row in money.rows:
        if row in candidates:
            continue
        shown = _interval(row.profit.effect, row.ci, money)
        if row.ci[1] < 0:
            yield f"{_plain(row.arm)} is proven to lose money: {shown}."
        elif row.arm in unsafe:
            yield f"{_plain(row.arm)} is not scaled, whatever it earns: {shown}."
        else:
            yield f"The profit of {_plain(row.arm)} is not proven: {shown}."
        if row.arm in unsafe:
            yield f"A guardrail is not proven to hold for {_plain(row.arm)}."


def _interval(value: float, ci: tuple[float, float], money: Money) -> str:
    number, bounds = format_value(value, "signed"), format_value(ci, "interval")
    level = format_value(money.confidence, "confidence")
    return f"{number} {money.currency} per customer ({level} interval {bounds})"


def _plain(name: str) -> str:
    return name.replace("_", " ")
