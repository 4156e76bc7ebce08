"""A sealed and assigned campaign of two channels and two waves, in a project of its own."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from uplift.assignment.assign import assign
from uplift.campaign import Campaign
from uplift.experiment import Experiment, load_experiment
from uplift.export.export import export_wave, export_withdrawals
from uplift.frames import write_parquet
from uplift.registry.registry import Registry

ID = "voucher"
AT = "2026-03-01T06:00:00+00:00"
LATER = "2026-03-01T09:00:00+00:00"
DEFINITION = """
id: voucher
title: Voucher
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.2}
  - {name: email_10, share: 0.3, channel: email, offer: ten, unit_cost: 0.05}
  - {name: email_20, share: 0.2, channel: email, offer: twenty, unit_cost: 0.05}
  - {name: post, share: 0.3, channel: post, offer: ten, unit_cost: 0.9}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 7,
             owner: crm}
    expected_mean: 10
    expected_std_dev: 5
    minimum_effect: 0.1
  no_guardrails_because: a test of the package
schedule:
  starts_at: 2026-03-01T10:00:00
  timezone: Europe/Paris
  response_days: 7
  waves:
    - {name: first, starts_at: 2026-03-01T10:00:00}
    - {name: reminder, starts_at: 2026-03-08T10:00:00}
analysis: {decision_rule: Scale what is proven., looks_days: [7]}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""


@dataclass
class Project:
    """A campaign ready for export, and short words for what tests do with it."""

    root: Path
    assigned: pd.DataFrame
    experiment: Experiment
    database: str | None = None
    registry: Registry = field(init=False)

    def __post_init__(self):
        self.registry = Registry(self.root / "experiments", database=self.database)

    @property
    def folder(self) -> Path:
        return self.root / "experiments" / ID

    @property
    def campaign(self) -> Campaign:
        return Campaign(self.folder, who="ada")

    def suppression(self, units, *, at=AT, head=None, name="suppression.csv", channel="") -> Path:
        """A suppression file of these ids, the one of nobody in the campaign added."""
        rows = [f"{unit},{channel}" for unit in [*units, "seed-of-nobody"]]
        path = self.root / name
        first = f"# generated_at: {at}" if head is None else head
        path.write_text("\n".join([first, "unit,channel", *rows]) + "\n")
        return path

    def export(self, suppression, *, step=export_wave, as_of=LATER, **more):
        return step(
            self.experiment,
            more.pop("assigned", self.assigned),
            suppression=suppression,
            registry=self.registry,
            folder=self.folder,
            as_of=as_of,
            who="ada",
            **more,
        )

    def withdraw(self, suppression, **more):
        return self.export(suppression, step=export_withdrawals, **more)

    def list_of(self, name, wave="first") -> pd.DataFrame:
        folder = self.folder / "export" / wave / name
        file = (
            f"delta_{name.rsplit('-', 1)[1]}.csv"
            if "-delta-" in name
            else f"{name.split('-')[0]}.csv"
        )
        return pd.read_csv(folder / file, dtype="str", keep_default_na=False)

    def units_of(self, name, wave="first") -> set[str]:
        return set(self.list_of(name, wave)["unit"])

    def of_arm(self, *arms) -> list[str]:
        return self.assigned.loc[self.assigned["arm"].isin(arms), "unit"].tolist()

    def files(self) -> dict[str, bytes]:
        """Every file below the export folder."""
        root = self.folder / "export"
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }


def customers(n_units=200, prefix="c"):
    return pd.DataFrame({"unit": [f"{prefix}{i:06d}" for i in range(n_units)]}, dtype="str")


def make_project(root: Path, *, definition=DEFINITION, table=None, database=None) -> Project:
    folder = root / "experiments" / ID
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text(definition)
    experiment = load_experiment(folder)
    nobody = pd.DataFrame({"unit": pd.Series([], dtype="str")})
    assigned = assign(experiment, customers() if table is None else table, excluded=nobody)
    project = Project(root, assigned, experiment, database)
    promised = SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))
    project.registry.seal(experiment, promised)
    files = {"assign": folder / "assignment.parquet", "customers": folder / "customers.parquet"}
    write_parquet(assigned, files["assign"])
    table = customers() if table is None else table
    write_parquet(table, files["customers"])
    project.registry.advance(ID, "assigned", artefacts=files)
    return project


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path)
