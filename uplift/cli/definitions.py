"""Definitions before and beside the road: lint, objectives, calendar, children, eligibility."""

import json
from pathlib import Path
from typing import Annotated

import typer

from uplift.cli.common import (
    HERE,
    Json,
    Name,
    Root,
    Table_,
    Trim,
    TwoArms,
    Who,
    app,
    campaign_of,
    show,
    verdict,
)
from uplift.errors import DefinitionError

Day = Annotated[str | None, typer.Option(help="A day such as 2017-07-03.")]


@app.command()
def init(
    root: Annotated[Path, typer.Argument(help="Folder of the project.")] = HERE,
    example: Annotated[str, typer.Option(help="Id of the example experiment.")] = "first_voucher",
    owner: Annotated[str, typer.Option(help="Who owns the first definitions.")] = "crm",
    as_json: Json = False,
) -> int:
    """Begin a project: metrics, objectives, an example experiment, schemas for editors.

    Files that are there already are kept. Example: `uplift init voucher_tests`
    """
    from uplift.project import new_project

    show(new_project(root, example=example, owner=owner), as_json=as_json)
    return 0


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
def overlaps(
    units: Annotated[bool, typer.Option(help="Count the units that are assigned in both.")] = False,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Show which sealed experiments run at the same time; exit 1 when two of them conflict.

    Example: `uplift overlaps --units`
    """
    from uplift.registry.registry import Registry

    found = Registry(root / "experiments").overlaps(count_units=units)
    show(found, as_json=as_json)
    return 1 if found.conflicts else verdict(found.checks)


Suppressed = Annotated[
    Path | None, typer.Option(help="The suppression file: who asked not to be contacted.")
]
Wave = Annotated[str | None, typer.Option(help="The wave; by default the one that opened last.")]


@app.command()
def eligible(
    unit: Annotated[str, typer.Argument(help="Id of the customer.")],
    campaign: Annotated[str, typer.Argument(help="Experiment id.")],
    suppressed: Suppressed = None,
    wave: Wave = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """May this campaign contact this customer? Exit 1 when it may not.

    Example: `uplift eligible 00123 spring_voucher --suppressed suppression.csv`
    """
    from uplift.eligibility import eligible as ask

    answer = ask(unit, campaign, root=root / "experiments", wave=wave, suppressed=suppressed)
    show(answer, as_json=as_json)
    return 0 if answer.eligible else 1


@app.command(name="do-not-contact")
def do_not_contact(
    campaign: Annotated[str, typer.Argument(help="Experiment id.")],
    file: Annotated[Path, typer.Argument(help="CSV to write: unit, reasons.")],
    suppressed: Suppressed = None,
    wave: Wave = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Write whom a campaign may not contact, for a sender that makes its own list.

    Example: `uplift do-not-contact spring_voucher held_out.csv --suppressed suppression.csv`
    """
    from uplift.eligibility import write_do_not_contact

    folder = root / "experiments"
    result = write_do_not_contact(file, campaign, root=folder, wave=wave, suppressed=suppressed)
    show(result, as_json=as_json, wrote=(file,))
    return 0


@app.command()
def adopt(
    name: Name,
    assigned: Annotated[Path, typer.Argument(help="One row per customer: unit, arm.")],
    customers: Table_,
    sent: Annotated[
        Path | None, typer.Option(help="Contacts made already: a table with `unit`.")
    ] = None,
    despite: Annotated[
        str | None,
        typer.Option(help="Why it is taken over although a check fails: no verdict from then on."),
    ] = None,
    two_arms: TwoArms = None,
    trim: Trim = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Take over an assignment drawn elsewhere; exit 1 when its split is not the designed one.

    Example: `uplift adopt spring_voucher assignment.csv customers.parquet --sent log.csv`
    """
    campaign = campaign_of(name, root, who=who, two_arms=two_arms, trim=trim)
    report = campaign.adopt(assigned, customers, sent=sent, despite=despite)
    show(report, as_json=as_json, wrote=(campaign.path("assign"),))
    return 0 if despite is not None else verdict(report.checks)


@app.command()
def amend(
    name: Name,
    change: Annotated[str, typer.Argument(help="What is done otherwise than was sealed.")],
    why: Annotated[str, typer.Option(help="The reason.")],
    root: Root = HERE,
    who: Who = None,
) -> int:
    """Record a deviation from a sealed definition; every later report shows it.

    Example: `uplift amend spring_voucher "sent a day late" --why "printer broke down" --who ann`
    """
    amendment = campaign_of(name, root).registry.amend(name, change, why=why, who=who)
    print(amendment.line)
    return 0


@app.command()
def decide(
    name: Name,
    action: Annotated[str, typer.Argument(help="scale, fix, stop or retest.")],
    words: Annotated[str, typer.Argument(help="Why, in a sentence.")],
    root: Root = HERE,
    who: Who = None,
) -> int:
    """Record what was decided; the next experiment can go on from it.

    Example: `uplift decide spring_voucher scale "E-mail pays, opt-outs within the margin."`
    """
    campaign_of(name, root, who=who).decide(action, words)
    print(f"decided {name}: {action}. Next: uplift child {name} NEW_ID")
    return 0


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

    What it is to expect comes from all past experiments with the metric, from three on.
    Example: `uplift child spring_voucher summer_voucher`
    """
    from uplift.experiment import load_experiment
    from uplift.table import format_value

    file = campaign_of(parent, root).write_child(new)
    print(f"wrote {file}")
    for _, planned in load_experiment(file.parent).metrics.with_roles():
        if planned.prior is not None:
            prior = planned.prior
            mean = format_value(prior.mean, "signed_share")
            spread = format_value(prior.std_dev, "share")
            print(f"prior of {planned.metric.key}: {mean} ± {spread} ({prior.source})")
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
