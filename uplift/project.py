"""A new project: a folder that the steps of the road work in, with an example to begin from.

experiments/metrics.yaml      the shared metrics
experiments/objectives.yaml   what the tests are for
experiments/<id>/experiment.yaml
experiments/schemas/          JSON Schema of each kind of file, for editors
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from uplift.errors import DefinitionError
from uplift.experiment import CATALOGUE_FILE, DEFINITION_FILE, load_experiment
from uplift.files import write_text
from uplift.metrics import check_slug
from uplift.objectives import FILE as OBJECTIVES_FILE
from uplift.schemas import MODELS, schema_of
from uplift.table import Column, Result, Table
from uplift.violations import DefinitionLike

EXAMPLE = "first_voucher"
LEAD_DAYS = 28  # time to agree on a plan, draw the arms and export the lists
EDITOR_LINE = "# yaml-language-server: $schema={path}\n"  # read by the editors' YAML extensions

IGNORED = """# Customers, results and the registry's database are not for version control.
registry.db*
*.parquet
export/
suite/
"""
METRICS = """# The shared metrics. A definition here is never edited: a new window, cap or column is
# a new version, so that two experiments which cite the same key mean the same number.
metrics:
  - name: spend_28d
    version: 1
    title: Spend in the four weeks after the send
    column: spend
    unit: EUR per customer
    window_days: 28
    covariate: spend_28d_before  # of the customer table: the same number from the time before
    owner: {owner}
  - name: optout_28d
    version: 1
    title: Opted out of contacts in the four weeks after the send
    column: opted_out
    kind: proportion
    unit: share of customers
    window_days: 28
    direction: down
    owner: {owner}
"""
OBJECTIVES = """# What the tests are for. Parents stand above their children; `kpis` are metrics of
# metrics.yaml, without their versions.
objectives:
  - id: grow_profit
    title: More profit
    kpis: [margin_28d]
  - id: grow_spend_of_existing_customers
    title: Existing customers who spend more
    parent: grow_profit
    kpis: [spend_28d]
"""
EXPERIMENT = """id: {id}
title: Does the voucher pay?
kind: campaign_holdout
owner: {owner}
objective: grow_spend_of_existing_customers
hypothesis: A voucher makes customers spend more in the four weeks after it than it costs.
audience:
  description: Customers with at least one purchase in the last half-year
  where:
    - {{column: n_baskets_182d, at_least: 1}}
arms:
  - {{name: control, share: 0.2}}
  - {{name: email, share: 0.8, channel: email, offer: voucher, unit_cost: 0.05, redemption_cost: 5}}
metrics:
  primary:
    metric: spend_28d@1
    minimum_effect: 0.05  # the smallest relative effect worth acting on
    expected_mean: 40  # until `uplift design --history` measures it
    expected_std_dev: 80
  guardrails:
    - {{metric: optout_28d@1, margin: 0.005, expected_mean: 0.002}}
schedule:
  starts_at: {starts_at}T09:00:00
  timezone: Europe/Paris
  response_days: 28
analysis:
  looks_days: [28]
  decision_rule: >-
    Scale the voucher if its profit per customer is proven and opt-outs stay within the margin;
    stop it if a loss is proven; otherwise test again.
money: {{currency: EUR, value: spend, margin_rate: 0.3, redemption: redeemed}}
"""


@dataclass(frozen=True, repr=False)
class Project(Result):
    """What a new project consists of; files that were there already are kept as they are."""

    root: Path
    wrote: tuple[Path, ...]
    kept: tuple[Path, ...]

    def table(self) -> Table:
        """One row per file."""
        rows = [(path.as_posix(), "written") for path in self.wrote]
        rows += [(path.as_posix(), "kept") for path in self.kept]
        return Table("Project", (Column("file"), Column("what happened")), sorted(rows))


def new_project(
    root: str | Path, *, example: str = EXAMPLE, owner: str = "crm", today: date | None = None
) -> Project:
    """Write what is missing of a project; nothing that is there is replaced, but the schemas.

    example  id of the example experiment
    today    its launch is the first Monday four weeks after
    Errors: NAME_INVALID.
    """
    try:
        for name in (example, owner):
            check_slug(name)
    except DefinitionLike as error:
        raise DefinitionError(str(error), code=error.code) from error
    folder = Path(root) / "experiments"
    wrote, kept = [], []
    for path, content in _files(folder, example, owner, today or date.today()).items():
        is_schema = path.suffix == ".json"
        if path.exists() and (not is_schema or path.read_text(encoding="utf-8") == content):
            kept.append(path)
        else:
            write_text(content, path)
            wrote.append(path)
    load_experiment(folder / example)  # what was there before may not fit
    return Project(Path(root), tuple(wrote), tuple(kept))


def _files(folder: Path, example: str, owner: str, today: date) -> dict[Path, str]:
    """Every file of a project and its content."""
    starts = today + timedelta(days=LEAD_DAYS + (-today.weekday()) % 7)  # a Monday
    schemas = {
        folder / "schemas" / f"{what}.schema.json": json.dumps(
            schema_of(what), indent=2, ensure_ascii=False
        )
        + "\n"
        for what in MODELS
    }
    experiment = EXPERIMENT.format(id=example, owner=owner, starts_at=starts)
    return {
        **schemas,
        folder / ".gitignore": IGNORED,
        folder / CATALOGUE_FILE: _editor("metrics") + METRICS.format(owner=owner),
        folder / OBJECTIVES_FILE: _editor("objectives") + OBJECTIVES,
        folder / example / DEFINITION_FILE: _editor("experiment", up="../") + experiment,
    }


def _editor(what: str, *, up: str = "") -> str:
    return EDITOR_LINE.format(path=f"{up}schemas/{what}.schema.json")
