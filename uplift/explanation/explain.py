"""Explain: what a model uses, what its policy needs, how effects differ, and a rule in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from uplift.checks import Check, warning
from uplift.errors import DataError, StateError
from uplift.explanation.drivers import Drivers, effect_drivers
from uplift.explanation.importance import Importance, policy_importance
from uplift.explanation.policy_tree import PolicyTree, policy_tree
from uplift.explanation.projection import Projection, best_linear_projection
from uplift.explanation.rule_words import Phrases
from uplift.suite import Suite
from uplift.table import Result, Table
from uplift.trial import Trial


@dataclass(frozen=True, repr=False)
class Explanation(Result):
    """Four views of one suite; a view that cannot be had is None, and a notice says why.

    drivers     what the candidate's model uses
    importance  what its policy loses without a feature, out of fold
    projection  how the effects differ along features, whatever the model
    tree        a rule in words, and what it is worth out of fold
    """

    candidate: str
    drivers: Drivers | None
    importance: Importance | None
    projection: Projection | None
    tree: PolicyTree
    notices: tuple[Check, ...] = ()

    def views(self) -> list[Result]:
        """The views that could be had."""
        found = (self.drivers, self.importance, self.projection, self.tree)
        return [view for view in found if view is not None]

    def table(self) -> Table:
        """The table of the first view."""
        return self.views()[0].table()

    def __str__(self) -> str:
        parts = [view.table().text() for view in self.views()]
        return "\n\n".join([*parts, *self.remarks()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(view.table().html() for view in self.views())


def explain(
    suite: Suite,
    trial: Trial,
    candidate: str | None = None,
    *,
    depth: int = 2,
    words: Mapping[str, Phrases] | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain a candidate of a suite, and the effects that all candidates look for.

    candidate  name; None takes the best. A model without exact contributions (a causal forest) or
               of another library leaves a view out, with the notice EXPLANATION_PARTIAL
    depth      questions of the rule, 1 to 3
    words      what features are called in the rule, see `rule_words.sentence`

    Refused: CANDIDATE_UNKNOWN, ARGUMENT_INVALID, and what `gather` refuses.
    """
    name = suite.best.name if candidate is None else candidate
    tree = policy_tree(suite, trial, depth=depth, words=words)
    notices: list[Check] = []
    drivers: Drivers | None = None
    importance: Importance | None = None
    projection: Projection | None = None
    try:
        drivers = effect_drivers(suite, trial, name, seed=seed)
    except StateError as error:
        notices.append(_without("drivers", error))
    try:
        importance = policy_importance(suite, trial, name, seed=seed)
    except StateError as error:
        notices.append(_without("importance", error))
    try:
        projection = best_linear_projection(suite, trial)
    except DataError as error:
        if not error.code.startswith("PROJECTION"):
            raise
        notices.append(_without("projection", error))
    return Explanation(name, drivers, importance, projection, tree, tuple(notices))


def _without(view: str, error: DataError | StateError) -> Check:
    return warning("EXPLANATION_PARTIAL", value=view, remedy=str(error))
