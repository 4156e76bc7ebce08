"""The objectives of the company, as a tree: what each test is for, and which number says so.

Every experiment names an objective. One whose objective is not in the tree, or whose primary metric
measures neither that objective nor one below it, is an orphan: winning it may help nobody.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from uplift.checks import Check
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.metrics import Definition, Slug
from uplift.strict_yaml import read_yaml
from uplift.table import Column, Result, Table
from uplift.violations import Document, validate

FILE = "objectives.yaml"


class Objective(Definition):
    """One objective: its parent, and the metrics that measure it (without their versions)."""

    id: Slug
    title: str
    parent: Slug | None = None  # None for the company's own
    kpis: tuple[Slug, ...] = ()


class ObjectiveFile(Definition):
    """The file `objectives.yaml`."""

    objectives: tuple[Objective, ...] = Field(min_length=1)


@dataclass(frozen=True, repr=False)
class Objectives(Result):
    """The tree, the company's objective first."""

    objectives: tuple[Objective, ...]

    @classmethod
    def load(cls, path: str | Path) -> "Objectives":
        """Read `objectives.yaml`. Errors: those of the loader, OBJECTIVES_INVALID."""
        return cls.from_document(read_yaml(path))

    @classmethod
    def from_document(cls, document: Document) -> "Objectives":
        """The tree a parsed document holds: one root, every parent known, no cycle."""
        found = validate(ObjectiveFile, document).objectives
        names = [objective.id for objective in found]
        for i, objective in enumerate(found):
            line = document.line(("objectives", i))
            if objective.id in names[:i]:
                raise _invalid(document, line, f"objective {objective.id!r} is there twice.")
            if objective.parent is not None and objective.parent not in names[:i]:
                raise _invalid(
                    document,
                    line,
                    f"objective {objective.id!r}: its parent {objective.parent!r} must stand above "
                    "it.",
                )
            if objective.parent is None and i > 0:
                raise _invalid(
                    document,
                    line,
                    f"objective {objective.id!r} has no parent, but only the first one, the "
                    "company's own, may have none.",
                )
        return cls(found)

    def below(self, objective_id: str) -> tuple[Objective, ...]:
        """An objective and everything under it; empty when it is not in the tree."""
        found: list[Objective] = []
        for objective in self.objectives:  # parents stand above their children
            inside = {one.id for one in found}
            if objective.id == objective_id or objective.parent in inside:
                found.append(objective)
        return tuple(found)

    def check(self, experiment: Experiment) -> Check:
        """Whether an experiment helps an objective of the tree by a number that measures it."""
        branch = self.below(experiment.objective)
        kpis = sorted({kpi for objective in branch for kpi in objective.kpis})
        known = ", ".join(objective.id for objective in self.objectives)
        remedy = (
            f"{experiment.id}: objective {experiment.objective!r} is not in the tree ({known})."
            if not branch
            else f"{experiment.id}: {experiment.primary.name} measures neither "
            f"{experiment.objective} nor an objective below it (their KPIs: "
            f"{', '.join(kpis) or 'none'}). Choose another primary metric, or add the KPI."
        )
        return Check(
            "orphan",
            passed=experiment.primary.name in kpis,
            value=f"{experiment.objective}: {experiment.primary.name}",
            bound=", ".join(kpis) or known,
            remedy=remedy,
            code="ORPHAN",
        )

    def table(self) -> Table:
        """The tree, indented."""
        return self.with_experiments(()).table()

    def with_experiments(self, experiments: Iterable[Experiment]) -> "ObjectiveTree":
        """The tree with the experiments under each objective."""
        return ObjectiveTree(self, tuple(experiments))


@dataclass(frozen=True, repr=False)
class ObjectiveTree(Result):
    """Objectives, and the experiments that serve each."""

    objectives: Objectives
    experiments: tuple[Experiment, ...]

    def to_dict(self) -> dict[str, object]:
        """Objectives, each with the ids of its experiments."""
        return {
            objective.id: {
                "title": objective.title,
                "parent": objective.parent,
                "kpis": list(objective.kpis),
                "experiments": [e.id for e in self.experiments if e.objective == objective.id],
            }
            for objective in self.objectives.objectives
        }

    def table(self) -> Table:
        """One row per objective, indented, with its experiments."""
        columns = (Column("objective"), Column("KPIs"), Column("experiments"))
        return Table("Objectives", columns, list(self._rows()))

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        depth: dict[str | None, int] = {None: -1}
        for one in self.objectives.objectives:
            depth[one.id] = depth[one.parent] + 1
            served = ", ".join(e.id for e in self.experiments if e.objective == one.id)
            yield f"{'  ' * depth[one.id]}{one.title}", ", ".join(one.kpis), served


def _invalid(document: Document, line: int, what: str) -> DefinitionError:
    return DefinitionError(f"{document.name}, line {line}: {what}", code="OBJECTIVES_INVALID")
