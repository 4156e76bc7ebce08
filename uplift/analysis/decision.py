"""The decision of an experiment: one action, and its reasons as data with their words in English.

Money decides; a failed check withholds the decision; between treatments that are not proven to
differ, the cheaper one wins.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from uplift.analysis.effects import GUARDRAIL, EffectRow
from uplift.analysis.looks import Stage
from uplift.analysis.money import Money, MoneyRow
from uplift.checks import Check, blocked_by
from uplift.inference.means import Estimate
from uplift.text.places import Place
from uplift.text.texts import Text, is_of_one, text_of

Action = Literal["scale", "stop", "retest", "none"]
BETWEEN_LOOKS = "between_looks"
REMEDY = "remedy"  # the reason that says what to do about a failed check


@dataclass(frozen=True)
class Reason:
    """One sentence of a decision as data.

    code    its words are `decision.<code>` of a language
    values  what those words need
    """

    code: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """What to do.

    action   scale (give the arm to everyone) · stop (every treatment loses) · retest (nothing is
             proven) · none (withheld, for the reason in `words`)
    arm      the treatment to scale; None for the other actions
    words    sentences in English, the decision first
    reasons  the same as data, for other languages and for pages
    """

    action: Action
    arm: str | None
    words: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()


def words_of(reasons: Iterable[Reason], language: str = "en") -> tuple[str, ...]:
    """A sentence per reason. In English a remedy is that of the check, with all its details."""
    text = text_of(language)
    return tuple(
        "".join(text.plain(name, Place(one.values)) for name in _templates(one, text))
        for one in reasons
    )


def _templates(reason: Reason, text: Text) -> tuple[str, ...]:
    named = f"check.{reason.values.get('code')}"
    if reason.code != REMEDY or text.language == "en" or not text.has(f"{named}.remedy"):
        return (f"decision.{reason.code}",)
    of = ("check.of",) if is_of_one(reason.values["name"]) else ()
    return (f"{named}.name", *of, "page.colon", f"{named}.remedy")


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
        failed = [{"name": check.name, "code": check.code} for check in blocked]
        return _decided("none", Reason("withheld", {"failed": failed}), *map(_remedy, blocked))
    if open_until is not None:
        until = Reason("window_open", {"until": open_until})
        return _decided("none", until, Reason("provisional", {}))
    if stage == "between looks":
        return _decided("none", Reason(BETWEEN_LOOKS, {}))
    alpha = 1 - money.confidence
    proven = [row for row in money.rows if row.ci[0] > 0 and row.p_adjusted <= alpha]
    unsafe = {row.treatment for row in effects if row.role == GUARDRAIL and not row.proven}
    candidates = [row for row in proven if row.arm not in unsafe]
    others = tuple(_on_the_others(money, candidates, unsafe))
    if candidates:
        chosen, reasons = _choose(candidates, money)
        return _decided("scale", _scale(chosen, money), *reasons, *others, arm=chosen.arm)
    if stage == "look" and not all(row.ci[1] < 0 for row in money.rows):
        return _decided("none", Reason("look_open", {"look": look}), *others)
    if all(row.ci[1] < 0 for row in money.rows):
        return _decided("stop", Reason("stop", {}), *others)
    why = "retest_guardrail" if proven else "retest_unproven"
    return _decided("retest", Reason(why, {}), *others)


def _decided(action: Action, *reasons: Reason, arm: str | None = None) -> Decision:
    return Decision(action, arm, words_of(reasons), reasons)


def _remedy(check: Check) -> Reason:
    return Reason(
        REMEDY,
        {
            "name": check.name,
            "code": check.code,
            "value": check.value,
            "bound": check.bound,
            "remedy": check.remedy,
        },
    )


def _choose(candidates: Sequence[MoneyRow], money: Money) -> tuple[MoneyRow, list[Reason]]:
    """The best candidate, or the cheapest of those it is not proven to beat."""
    best = max(candidates, key=lambda row: row.profit.effect)
    tied, reasons = [best], list[Reason]()
    for row in candidates:
        if row is best:
            continue
        difference = money.difference(best.arm, row.arm)
        values = {"arm": best.arm, "over": row.arm, **_interval(difference, money)}
        if difference.ci[0] > 0:
            reasons.append(Reason("earns_more", values))
        else:
            tied.append(row)
            reasons.append(Reason("not_more", values))
    chosen = min(tied, key=lambda row: (row.cost_per_unit, -row.profit.effect))
    if len(tied) > 1:
        costs = [{"arm": row.arm, "cost": row.cost_per_unit} for row in tied]
        values = {"arm": chosen.arm, "currency": money.currency, "costs": costs}
        reasons.append(Reason("cheapest", values))
    return chosen, reasons


def _scale(row: MoneyRow, money: Money) -> Reason:
    total = {"arm": row.arm, "total": row.total, "n_units": row.n_units}
    return Reason("scale", {**total, **_interval(row.profit, money)})


def _on_the_others(
    money: Money, candidates: Sequence[MoneyRow], unsafe: set[str]
) -> Iterator[Reason]:
    """Why each treatment that cannot be scaled cannot."""
    for row in money.rows:
        if row in candidates:
            continue
        values = {"arm": row.arm, **_interval(row.profit, money)}
        if row.ci[1] < 0:
            yield Reason("loses", values)
        else:
            yield Reason("not_safe" if row.arm in unsafe else "unproven", values)
        if row.arm in unsafe:
            yield Reason("guardrail_open", {"arm": row.arm})


def _interval(profit: Estimate, money: Money) -> dict[str, Any]:
    return {
        "effect": profit.effect,
        "ci": profit.ci,
        "currency": money.currency,
        "confidence": money.confidence,
    }
