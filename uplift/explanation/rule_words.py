"""A tree as rules, and rules as sentences a marketer says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from uplift.text.texts import ENGLISH_TEXT, Text

Phrases = str | Sequence[str] | Mapping[str, str]  # a name; words for low and high; words per level


@dataclass(frozen=True)
class Condition:
    """What a rule asks of one feature.

    low, high  of a number: above `low` and at most `high`; None where there is no such bound
    level      of a category: it is this level, or (`is_level` False) another one
    unknown    whether customers whose value is missing are meant too; alone, only they are
    """

    feature: str
    low: float | None = None
    high: float | None = None
    level: str | None = None
    is_level: bool = True
    unknown: bool = False

    def and_also(self, other: "Condition") -> "Condition":
        """Both conditions on the same number as one."""
        lows = [x for x in (self.low, other.low) if x is not None]
        highs = [x for x in (self.high, other.high) if x is not None]
        return replace(
            self,
            low=max(lows, default=None),
            high=min(highs, default=None),
            unknown=self.unknown and other.unknown,
        )


@dataclass(frozen=True)
class Rule:
    """Who gets an arm: customers for whom all conditions hold.

    share  of customers
    """

    arm: str
    conditions: tuple[Condition, ...]
    share: float


def together(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Conditions with those on one number as one, and a level said once."""
    found: list[Condition] = []
    for condition in conditions:
        same = [i for i, one in enumerate(found) if one.feature == condition.feature]
        if condition.level is None and same:
            found[same[0]] = found[same[0]].and_also(condition)
        elif condition.level is not None and condition.is_level and same:
            found = [one for one in found if one.feature != condition.feature]  # it says it all
            found.append(condition)
        else:
            found.append(condition)
    return tuple(found)


def sentence(
    rule: Rule,
    *,
    control: str,
    words: Mapping[str, Phrases],
    flags: frozenset[str],
    text: Text = ENGLISH_TEXT,
) -> str:
    """A rule in words.

    words  by feature: its name, or what is said after "customers with" of a number's lower and
           upper part, ("a purchase in the last {value} months", "no purchase in …"), or words per
           level of a category
    flags  features that are 0 or 1, said as yes and no
    """
    if not rule.conditions:
        return text.tell("rule.nobody" if rule.arm == control else "rule.everyone", arm=rule.arm)
    said = [_said(one, words.get(one.feature), flags, text) for one in rule.conditions]
    name = "rule.leave" if rule.arm == control else "rule.contact"
    return text.tell(name, conditions=text.listed(said), arm=rule.arm, share=rule.share)


def _said(condition: Condition, words: Phrases | None, flags: frozenset[str], text: Text) -> str:
    if isinstance(words, Mapping):
        feature = condition.feature
        if condition.level is not None and condition.is_level and condition.level in words:
            return words[condition.level]
    elif words is not None and not isinstance(words, str):
        return _in_phrases(condition, words, text)
    else:
        feature = words or condition.feature
    if condition.level is not None:
        name = "rule.is" if condition.is_level else "rule.is_not"
        return text.tell(name, feature=feature, level=condition.level)
    return _number(condition, feature, is_flag=condition.feature in flags, text=text)


def _in_phrases(condition: Condition, words: Sequence[str], text: Text) -> str:
    """A number by the phrases of its lower and its upper part, both when it has two bounds."""
    parts = [(words[1], condition.low), (words[0], condition.high)]
    said = [w.replace("{value}", _amount(x, text)) for w, x in parts if x is not None]
    joined = text.listed(said) if said else _number(condition, condition.feature, False, text)
    return _with_unknown(joined, condition, text) if said else joined


def _number(condition: Condition, feature: str, is_flag: bool, text: Text) -> str:
    low, high = condition.low, condition.high
    if low is None and high is None:
        return text.tell("rule.unknown" if condition.unknown else "rule.known", feature=feature)
    if is_flag:
        said = text.tell("rule.yes" if low is not None else "rule.no", feature=feature)
    elif low is not None and high is not None:
        said = text.tell(
            "rule.between", feature=feature, low=_amount(low, text), high=_amount(high, text)
        )
    elif high is not None:
        said = text.tell("rule.at_most", feature=feature, value=_amount(high, text))
    else:
        said = text.tell("rule.above", feature=feature, value=_amount(low or 0.0, text))
    return _with_unknown(said, condition, text)


def _amount(value: float, text: Text) -> str:
    """A threshold; a whole number without decimals."""
    return text.value(value, "count" if value.is_integer() else "number")


def _with_unknown(said: str, condition: Condition, text: Text) -> str:
    return text.tell("rule.or_unknown", condition=said) if condition.unknown else said
