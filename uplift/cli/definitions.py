"""Definitions before and beside the road: lint, objectives, calendar, children, eligibility."""

import json
from pathlib import Path
from typing import Annotated

import typer

from uplift.cli.common import HERE, Json, Name, Root, app, show, verdict
from uplift.errors import DefinitionError

Day = Annotated[str | None, typer.Option(help="A day such as 2017-07-03.")]


@app.command()
def lint(
    names: Annotated[list[str] | None, typer.Argument(help="Experiments; all by default.")] = None,
    history: Annotated[Path | None, typer.Option(help="Customers with pre-period columns.")] = None,
    n_units: Annotated[int | None, typer.Option(help="Eligible units, without history.")] = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Check definitions: power, holdout, orphans, windows, caps, layers, changed metrics.

    Example: `uplift lint spring_voucher --history customers.parquet`
    """
    from uplift.lint import lint as check

    report = check(root / "experiments", names or (), history=history, n_units=n_units)
    show(report, as_json=as_json)
    return verdict(report.checks)


@app.command()
def objectives(root: Root = HERE, as_json: Json = False) -> int:
    """Print the tree of objectives, with the experiments that serve each.

    Example: `uplift objectives`
    """
    from uplift.experiment import DEFINITION_FILE, load_experiment
    from uplift.objectives import FILE, Objectives

    folder = root / "experiments"
    files = sorted(folder.glob(f"*/{DEFINITION_FILE}"))
    tree = Objectives.load(folder / FILE)
    show(tree.with_experiments(load_experiment(file.parent) for file in files), as_json=as_json)
    return 0


@app.command()
def calendar(first: Day = None, last: Day = None, root: Root = HERE, as_json: Json = False) -> int:
    """Show which experiments are watched when, week by week.

    Example: `uplift calendar --first 2017-07-01 --last 2017-12-31`
    """
    from uplift.registry.registry import Registry

    found = Registry(root / "experiments").calendar(first=_day(first), last=_day(last))
    show(found, as_json=as_json)
    return 0


@app.command()
def overlaps(root: Root = HERE, as_json: Json = False) -> int:
    """Show which sealed experiments run at the same time; exit 1 when two of them conflict.

    Example: `uplift overlaps`
    """
    from uplift.registry.registry import Registry

    found = Registry(root / "experiments").overlaps()
    show(found, as_json=as_json)
    return 1 if found.conflicts else 0


@app.command()
def eligible(
    unit: Annotated[str, typer.Argument(help="Id of the customer.")],
    campaign: Annotated[str, typer.Argument(help="Experiment id.")],
    suppressed: Annotated[
        Path | None, typer.Option(help="Who asked not to be contacted: a table with `unit`.")
    ] = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """May this campaign contact this customer? Exit 1 when it may not.

    Example: `uplift eligible 00123 spring_voucher --suppressed suppression.csv`
    """
    from uplift.eligibility import eligible as ask

    answer = ask(unit, campaign, root=root / "experiments", suppressed=suppressed)
    show(answer, as_json=as_json)
    return 0 if answer.eligible else 1


@app.command()
def schema(
    what: Annotated[
        str, typer.Argument(help="experiment, metrics, objectives or contact_policy.")
    ] = "experiment",
) -> int:
    """Print the JSON Schema of a definition, for editors that check YAML while it is written.

    Example: `uplift schema experiment > experiments/experiment.schema.json`
    """
    from uplift.schemas import schema_of

    print(json.dumps(schema_of(what), indent=2, ensure_ascii=False))
    return 0


@app.command()
def child(
    parent: Name,
    new: Annotated[str, typer.Argument(help="Id of the new experiment.")],
    root: Root = HERE,
) -> int:
    """Write the definition of an experiment that goes on from another's decision.

    Example: `uplift child spring_voucher summer_voucher`
    """
    from uplift.campaign import Campaign

    file = Campaign(root / "experiments" / parent).write_child(new)
    print(f"wrote {file}")
    return 0


def _day(text: str | None):  # type: ignore[no-untyped-def]
    from datetime import date

    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DefinitionError(
            f"A day such as 2017-07-03 is expected, got {text!r}.", code="TIME_INVALID"
        ) from None
