"""What a run holds, gathered before MLflow is touched: key, parameters, metrics, tags and files.

Nothing here reads a clock or a path, so equal results give an equal record and an equal key.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uplift.checks import Check
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.files import write_bytes, write_text
from uplift.frames import frame_digest, read_frame, write_parquet
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.suite import Suite
from uplift.table import Result, canonical_json, to_plain
from uplift.tracking.store import SEAL_TAG
from uplift.trial import Trial

GATES = "gates.json"
SAMPLE_RATIO = "SRM"
ADOPTED = "ADOPTED_DESPITE"  # taken over although its split or its balance had failed
NOT_IN_NAMES = re.compile(r"[^\w\-./: ]")  # signs MLflow refuses in a metric's name
PNG_START = b"\x89PNG"


@dataclass(frozen=True, eq=False)
class Record:
    """The results that one training leaves behind.

    figures  by name: SVG or HTML text, or PNG bytes
    """

    experiment: Experiment
    suite: Suite
    quality: Any
    roi: Any
    plan: Any = None
    trial: Trial | None = None
    report: Any = None
    design: Any = None
    figures: Mapping[str, str | bytes] = field(default_factory=dict)

    @property
    def candidate(self) -> str:
        """Name of the model that is logged: the one the ROI table was made with."""
        return str(self.roi.candidate)

    def gates(self) -> tuple[Check, ...]:
        """What the model must pass to be promoted: its quality, and that the split was as planned.

        The sample ratio is the analysis report's own check; without a report it is recomputed from
        the units (clusters, where those were randomised) the ROI table was made for. An assignment
        that was taken over although it had failed promotes nothing.
        """
        found = tuple(getattr(self.report, "checks", ()))
        split = tuple(check for check in found if check.code == SAMPLE_RATIO)
        adopted = tuple(check for check in found if check.code == ADOPTED)
        checks = (*self.quality.gates(self.candidate), *adopted)
        return checks + (split or (self._sample_ratio(),))

    def _sample_ratio(self) -> Check:
        customers = self.roi.customers
        drawn = customers.drop_duplicates("cluster" if "cluster" in customers else "unit")
        found = drawn["observed_arm"].value_counts()
        counts = {arm: int(found.get(arm, 0)) for arm in self.experiment.arm_names}
        return check_sample_ratio(counts, shares=self.experiment.shares)

    def key(self, model_digest: str) -> str:
        """Digest of definition, seed, data and results: the same training has the same key."""
        parts = {
            "definition": self.experiment.digest,
            "outcome": self.suite.outcome,
            "seed": self.suite.seed,
            "units": _array_digest(np.asarray(self.suite.units, dtype="str")),
            "scores": {k: _array_digest(v) for k, v in sorted(self.suite.dr_outcomes.items())},
            "effects": {k: _array_digest(c.effects) for k, c in self.suite.candidates.items()},
            "model": model_digest,
            "quality": hashlib.sha256(self.quality.to_json().encode()).hexdigest(),
            "roi": frame_digest(self.roi.customers),
            "plan": None if self.plan is None else frame_digest(self.plan.contacts),
            "gates": self.gates(),
        }
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()

    def params(self) -> dict[str, str]:
        """What was chosen, as text."""
        economics = self.experiment.economics
        chosen = {
            "experiment": self.experiment.id,
            "outcome": self.suite.outcome,
            "candidate": self.candidate,
            "candidates": ", ".join(self.suite.candidates),
            "seed": self.suite.seed,
            "n_units": len(self.suite.units),
            "n_folds": len(np.unique(self.suite.fold)),
            "n_features": len(self.suite.features),
            "arms": ", ".join(self.suite.arms),
            "currency": economics.currency,
            "margin_rate": economics.margin_rate,
        }
        for arm, cost in economics.contact_cost.items():
            chosen[f"contact_cost.{arm}"] = cost
        for arm, cost in economics.redemption_cost.items():
            chosen[f"redemption_cost.{arm}"] = cost
        return {name: str(value) for name, value in chosen.items()}

    def metrics(self) -> dict[str, float]:
        """Figures of the rooms, each under its room's name; what does not exist is left out."""
        rooms = {"quality": self.quality, "roi": self.roi, "plan": self.plan}
        figures = {
            NOT_IN_NAMES.sub("_", f"{room}.{name}"): float(value)
            for room, result in rooms.items()
            if hasattr(result, "metrics")
            for name, value in result.metrics().items()
        }
        return {name: value for name, value in figures.items() if math.isfinite(value)}

    def tags(self) -> dict[str, str]:
        """What runs are searched by."""
        return {
            "uplift.experiment": self.experiment.id,
            "uplift.kind": self.experiment.kind,
            "uplift.objective": self.experiment.objective,
            "uplift.owner": self.experiment.owner,
            "uplift.outcome": self.suite.outcome,
            "uplift.candidate": self.candidate,
            SEAL_TAG: self.experiment.digest,
        }

    def write(self, folder: Path) -> None:
        """Write every file of the run into an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(self.experiment.to_yaml(), folder / "experiment.yaml")
        write_text(canonical_json(self.gates()), folder / GATES)
        write_text(canonical_json(self._metric_card()), folder / "metrics.json")
        results = {
            "suite": self.suite,
            "quality": self.quality,
            "roi": self.roi,
            "plan": self.plan,
            "analysis": self.report,
            "design": self.design,
        }
        for name, result in results.items():
            if isinstance(result, Result):
                write_text(result.to_json(), folder / f"{name}.json")
        write_parquet(self.roi.customers, folder / "roi.parquet")
        if self.plan is not None:
            write_parquet(self.plan.contacts, folder / "plan.parquet")
        for name, content in self.figures.items():
            write_figure(name, content, folder / "figures")

    def training_data(self) -> pd.DataFrame | None:
        """Features, arm and outcomes the suite was trained on; None when the trial is not given."""
        if self.trial is None:
            return None
        frame = plain_types(self.trial.features)
        frame["arm"] = np.asarray(self.trial.arms, dtype=object)[self.trial.arm]
        return frame.assign(**dict(self.trial.outcomes))

    def _metric_card(self) -> dict[str, Any]:
        """The figures with the definitions and the unit they are in."""
        planned = [
            {"role": role, **to_plain(item.metric)}
            for role, item in self.experiment.metrics.with_roles()
        ]
        return {
            "values": self.metrics(),
            "definitions": planned,
            "outcome": self.suite.outcome,
            "currency": self.experiment.economics.currency,
            "profit": "margin_rate * value - redemption_cost * redemption - contact_cost, per unit",
            "intervals": "in quality.json, roi.json and analysis.json, beside each figure",
        }


def read_gates(content: str) -> tuple[Check, ...]:
    """The checks that `Record.write` stored."""
    known = {f.name for f in dataclasses.fields(Check)}
    return tuple(Check(**{k: v for k, v in c.items() if k in known}) for c in json.loads(content))


def write_figure(name: str, content: str | bytes, folder: Path) -> None:
    """Write one figure under a plain file name; its ending follows from its content."""
    if not name or any(sign in name for sign in "/\\\0") or name.startswith("."):
        raise DefinitionError(
            f"Figure {name!r}: give a plain name without slashes, e.g. 'qini'.", code="FIGURE_NAME"
        )
    if isinstance(content, bytes):
        ending = ".png" if content.startswith(PNG_START) else ".bin"
        write_bytes(content, folder / _with_ending(name, ending))
    else:
        ending = ".svg" if content.lstrip().startswith("<svg") else ".html"
        write_text(content, folder / _with_ending(name, ending))


def plain_types(features: pd.DataFrame) -> pd.DataFrame:
    """Features with the two types MLflow's schema has for them: float64, or text.

    Missing text stays missing; integers and booleans become float64, so that a column with and
    without missing values has one type.
    """
    frame = read_frame(features, what="features", unit=None)
    columns: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        dtype = column.dtype
        if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
            columns[name] = column.astype("float64")
        else:
            columns[name] = column.astype("str").where(column.notna(), None).astype(object)
    return pd.DataFrame(columns, index=frame.index)


def require_candidate(suite: Suite, name: str) -> None:
    """Refuse a ROI table of a model that is not in the suite."""
    if name not in suite.candidates:
        raise DefinitionError(
            f"The ROI table was made with {name!r}, which is not in this suite "
            f"({', '.join(suite.candidates)}). Give the suite it belongs to.",
            code="CANDIDATE_UNKNOWN",
        )


def features_table(names: Sequence[str], sources: Sequence[Any]) -> pd.DataFrame | None:
    """The first of several tables that holds these features."""
    for source in sources:
        if source is None:
            continue
        frame = read_frame(source, what="customers", unit=None)
        if set(names) <= set(frame.columns):
            return frame[list(names)]
    return None


def _with_ending(name: str, ending: str) -> str:
    return name if Path(name).suffix else name + ending


def _array_digest(values: Any) -> str:
    array = np.ascontiguousarray(values)
    digest = hashlib.sha256(f"{array.shape}:{array.dtype.kind};".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()
