"""The folder of a campaign: what each step wrote there, and the state of its experiment.

A file that a transition fixes is never replaced by another, and every file's digest is recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.assigned import FIRST, Assigned
from uplift.errors import StateError
from uplift.experiment import Experiment, load_experiment
from uplift.files import whole_file, write_text
from uplift.frames import UNIT, read_frame, write_parquet
from uplift.kept_holdout import REREADS
from uplift.reading_rules import ReadingRules, RuleWords
from uplift.registry.registry import Registry
from uplift.registry.states import position
from uplift.table import Result

FILES = {  # what each step writes in the experiment's folder
    "design": "design.json",
    "rehearse": "rehearsal.json",
    "customers": "customers.parquet",
    "assign": FIRST,
    "assignment": "assignment.json",
    "ingest": "outcomes.parquet",
    "rules": "reading.json",
    "looks": "looks.jsonl",
    "analyse": "analysis.json",
    "reread": REREADS,
    "train": "suite",
    "evaluate": "quality.json",
    "explain": "explanation.json",
    "roi": "roi.parquet",
    "plan": "plan.parquet",
    "certificate": "plan.json",
    "score": "scores.parquet",
    "report": "report.html",
}
NEXT_COMMAND = {
    "draft": "uplift seal",
    "sealed": "uplift assign",
    "assigned": "uplift export",
    "live": "uplift ingest",
    "maturing": "uplift analyse",
    "read": "uplift evaluate",
    "decided": "nothing; the experiment has its decision",
    "archived": "nothing; the experiment is archived",
}


@dataclass
class CampaignFolder:
    """The files of an experiment by the step that writes them, and its state in the registry.

    folder   holds `experiment.yaml` and everything the steps write
    who      name for the audit trail; the system's user when not given
    rules    for what can be read in two ways (see `ReadingRules`), e.g. {"missing": "zero"}; what
             is not told here is read as it was told when the outcomes were ingested
    """

    folder: Path
    who: str | None = None
    rules: RuleWords = field(default_factory=RuleWords)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        ReadingRules(**self.rules)  # refused before any step

    @cached_property
    def experiment(self) -> Experiment:
        """The definition in the folder."""
        return load_experiment(self.folder)

    @cached_property
    def registry(self) -> Registry:
        """The registry that the folder belongs to."""
        return Registry(self.folder.parent)

    @property
    def assigned(self) -> Assigned:
        """The assignment as it grows: the first draw, ramp-ups, later waves."""
        return Assigned(self.folder, self.experiment, self.registry, who=self.who)

    def path(self, step: str, *, need: str | None = None) -> Path:
        """Where a step writes; refuses when `need` names a step that has not run."""
        path = self.folder / FILES[step]
        if need is not None and not path.exists():
            raise StateError(
                f"{self.folder.name}: {path.name} is not there yet. "
                f"Run `uplift {need} {self.folder.name}` first.",
                code="STEP_MISSING",
            )
        return path

    def files(self) -> list[Path]:
        """The files that the steps have written so far."""
        paths = [self.folder / name for step, name in FILES.items() if step != "report"]
        return [path for path in paths if path.is_file()]

    def read(self, step: str) -> pd.DataFrame:
        """A table that an earlier step wrote."""
        if step == "assign":
            self.path("assign", need="assign")
            return self.assigned.whole()
        if step == "customers":
            return self._customers()
        unit = None if step == "ingest" else UNIT  # its ids are read by the rules
        return read_frame(self.path(step, need=step), what=step, unit=unit)

    def require_unchanged(self) -> None:
        """Refuse a definition that was changed since it was sealed."""
        entry = self.registry.entry(self.experiment.id)
        if entry.state != "draft" and entry.digest != self.experiment.digest:
            raise StateError(
                f"{entry.id} was sealed with another definition ({entry.digest[:12]}…) than the "
                f"file holds now ({self.experiment.digest[:12]}…). Restore the file, or register "
                "the changed experiment under a new id.",
                code="EXPERIMENT_FROZEN",
            )

    def _customers(self) -> pd.DataFrame:
        """Every customer as known when first assigned."""
        paths = [self.path("customers", need="assign")]
        later = [window.wave for window in self.experiment.schedule.windows[1:]]
        paths += [self.folder / f"customers_{wave}.parquet" for wave in later]
        tables = [read_frame(path, what="customers") for path in paths if path.is_file()]
        tables += self.assigned.intakes.customers()
        if len(tables) == 1:
            return tables[0]
        return pd.concat(tables, ignore_index=True).drop_duplicates(UNIT, ignore_index=True)

    def _write(self, step: str, result: Result) -> None:
        write_text(result.to_json(), self.path(step))
        self._record(step)

    def _keep(self, step: str, content: pd.DataFrame | Result) -> None:
        """Write what a transition will fix; what was fixed before is never replaced by another."""
        with whole_file(self.path(step)) as temporary:
            if isinstance(content, pd.DataFrame):
                digest = write_parquet(content, temporary)
            else:
                digest = write_text(content.to_json(), temporary)
            self.registry.require_replaceable(self.experiment.id, step, digest)

    def _record(self, step: str) -> None:
        self.registry.record(self.experiment.id, step, self.path(step))

    def _advance(
        self,
        to: str,
        why: str,
        *,
        files: Sequence[str] = (),
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        artefacts = {step: self.path(step) for step in files}
        self.registry.advance(
            self.experiment.id, to, who=self.who, why=why, payload=payload, artefacts=artefacts
        )

    def _require_state(self, step: str, needed: str) -> None:
        """Refuse a step before the state it needs, or with a definition changed since sealing."""
        entry = self.registry.entry(self.experiment.id)
        if position(entry.state) < position(needed):
            raise StateError(
                f"{entry.id} is {entry.state}, so `uplift {step}` is too early: it must be "
                f"{needed}. Next: {NEXT_COMMAND[entry.state]}.",
                code="STATE_ORDER",
            )
        self.require_unchanged()
