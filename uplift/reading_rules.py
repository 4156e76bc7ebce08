"""How rows are read that can be read in two ways: each is refused, unless a rule was asked for.

What a rule does to the data is counted in a warning, which stays with every result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from uplift.checks import Check
from uplift.errors import DefinitionError
from uplift.frames import Table, trimmed

Missing = Literal["refuse", "zero", "drop"]
Repeats = Literal["refuse", "sum", "mean", "first"]
Drop = Literal["refuse", "drop"]


class RuleWords(TypedDict, total=False):
    """The rules as keyword arguments (see `ReadingRules`)."""

    missing: Missing
    repeats: Repeats
    two_arms: Drop
    early: Drop
    trim: bool


@dataclass(frozen=True, kw_only=True)
class ReadingRules:
    """What rows mean that leave it open.

    missing   an assigned unit without an outcome: an error, 0, or left out
    repeats   several rows of outcomes of one unit: an error, or their sum, mean or first; with sum
              and mean, a proportion is whether any of the rows is 1
    two_arms  a unit in two arms: an error, or left out with all its rows
    early     an outcome from before the assignment: an error, or a row left out
    trim      remove blanks around ids

    Errors: ARGUMENT_INVALID.
    """

    missing: Missing = "refuse"
    repeats: Repeats = "refuse"
    two_arms: Drop = "refuse"
    early: Drop = "refuse"
    trim: bool = False

    def __post_init__(self) -> None:
        for name, kind in WORDS.items():
            if getattr(self, name) not in kind:
                raise DefinitionError(
                    f"{name} must be {', '.join(map(str, kind[:-1]))} or {kind[-1]}, got "
                    f"{getattr(self, name)!r:.40}.",
                    code="ARGUMENT_INVALID",
                )

    @property
    def words(self) -> RuleWords:
        """The rules as keyword arguments."""
        return RuleWords(
            missing=self.missing,
            repeats=self.repeats,
            two_arms=self.two_arms,
            early=self.early,
            trim=self.trim,
        )

    def told(self, words: Mapping[str, Any]) -> "ReadingRules":
        """These rules with others in place of some."""
        return ReadingRules(**{**vars(self), **words})


WORDS: dict[str, tuple[Any, ...]] = {
    "missing": get_args(Missing),
    "repeats": get_args(Repeats),
    "two_arms": get_args(Drop),
    "early": get_args(Drop),
    "trim": (True, False),
}
REFUSE_ALL = ReadingRules()


def as_told(source: Table, *, what: str, rules: ReadingRules) -> tuple[Table, tuple[Check, ...]]:
    """A table whose ids are trimmed where the rules say so, and the warning that counts them."""
    return trimmed(source, what=what) if rules.trim and source is not None else (source, ())


def all_as_told(rules: ReadingRules, **tables: Table) -> tuple[dict[str, Table], tuple[Check, ...]]:
    """Several tables by name (see `as_told`)."""
    told = {name: as_told(table, what=name, rules=rules) for name, table in tables.items()}
    notices = tuple(notice for _, found in told.values() for notice in found)
    return {name: table for name, (table, _) in told.items()}, notices
