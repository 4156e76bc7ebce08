"""The universal control of the programme: size, rotate, members, check, total; no logic."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uplift.cli.common import (
    HERE,
    REFUSED,
    Json,
    Name,
    Root,
    Table_,
    Who,
    app,
    folder_of,
    show,
    verdict,
)

if TYPE_CHECKING:
    from uplift.programme import Programme

control_app = typer.Typer(
    name="control",
    help="The universal control: its size, rotation, members, divergence, and the total it shows.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(control_app)

AsOf = Annotated[
    str | None, typer.Option(help="A day or a time, in the programme's zone; now by default.")
]


@control_app.command()
def size(
    name: Name,
    history: Annotated[Path | None, typer.Option(help="Customers with pre-period columns.")] = None,
    n_units: Annotated[int | None, typer.Option(help="Eligible units, without history.")] = None,
    profit: Annotated[
        float | None,
        typer.Option(help="Profit the programme is expected to add per customer and period."),
    ] = None,
    profit_std_dev: Annotated[
        float | None, typer.Option(help="How far that may be off: one standard deviation.")
    ] = None,
    effect: Annotated[
        float | None,
        typer.Option(help="Effect to be shown, in the metric's unit; the plan's by default."),
    ] = None,
    horizon_days: Annotated[int | None, typer.Option(help="Days held out before deciding.")] = None,
    decision_days: Annotated[int, typer.Option(help="Days for which the decision holds.")] = 365,
    rule: Annotated[
        str, typer.Option(help="Keep the programme by its `estimate` or the `posterior`.")
    ] = "estimate",
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """What each share held out can show, and what it gives up.

    Example: `uplift control size universal_control --history customers.parquet --profit 0.4
    --profit-std-dev 0.3`
    """
    from uplift.errors import DefinitionError
    from uplift.sizing.programme_prior import ProgrammePrior

    if (profit is None) != (profit_std_dev is None):
        raise DefinitionError(
            "--profit and --profit-std-dev belong together. Give both, or neither to use the "
            "plan's prior.",
            code="PRIOR_INVALID",
        )
    programme = _programme(name, root)
    prior = None
    if profit is not None and profit_std_dev is not None:
        prior = ProgrammePrior(profit, profit_std_dev)
    found = programme.size(
        history,
        n_units=n_units,
        prior=prior,
        wanted_effect=effect,
        horizon_days=horizon_days,
        decision_days=decision_days,
        rule=rule,
    )
    show(found, as_json=as_json, wrote=(programme.folder / "control_size.json",))
    return verdict(found.checks)


@control_app.command()
def rotate(
    name: Name,
    customers: Table_,
    as_of: AsOf = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Begin the control, or replace its oldest cohort when that is due; otherwise change nothing.

    Example: `uplift control rotate universal_control customers.parquet`
    """
    show(_programme(name, root, who).rotate(customers, as_of=as_of), as_json=as_json)
    return 0


@control_app.command()
def members(
    name: Name,
    as_of: AsOf = None,
    units: Annotated[
        Path | None, typer.Option(help="Write the units held out to this parquet file.")
    ] = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Every cohort, from when to when; and on demand the units held out.

    Example: `uplift control members universal_control --as-of 2026-03-01 --units held.parquet`
    """
    from uplift.frames import write_parquet

    programme = _programme(name, root)
    found = programme.members(as_of=as_of)
    if units is not None:
        write_parquet(programme.held_out(as_of=as_of), units)
    show(found, as_json=as_json, wrote=(units,) if units else ())
    return verdict(found.checks)


@control_app.command()
def check(
    name: Name,
    customers: Table_,
    as_of: AsOf = None,
    bound: Annotated[float, typer.Option(help="Standard deviations that matter.")] = 0.1,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on a warning.")] = False,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Has the control become another population than those it stands for?

    Example: `uplift control check universal_control customers.parquet --strict`
    """
    programme = _programme(name, root)
    found = programme.check(customers, as_of=as_of, bound=bound)
    show(found, as_json=as_json, wrote=(programme.folder / "divergence.json",))
    if strict and not all(one.passed for one in found.checks):
        return REFUSED
    return verdict(found.checks)


@control_app.command()
def total(
    name: Name,
    outcomes: Table_,
    since: Annotated[
        str | None, typer.Option(help="The first day that counts; since the first draw by default.")
    ] = None,
    as_of: AsOf = None,
    metric: Annotated[
        str | None, typer.Option(help="One of the control's metrics; the primary one by default.")
    ] = None,
    settle_days: Annotated[
        int, typer.Option(help="Days in which a new cohort is not yet counted.")
    ] = 0,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """What the programme brought, against the sum of its campaigns' shrunken effects.

    Example: `uplift control total universal_control purchases.parquet --since 2026-01-01
    --as-of 2027-01-01`
    """
    programme = _programme(name, root, who)
    found = programme.total(
        outcomes, since=since, as_of=as_of, metric=metric, settle_days=settle_days
    )
    show(found, as_json=as_json, wrote=(programme.folder / "programme_total.json",))
    if not as_json:
        print("\n".join(found.words))
    return verdict(found.checks)


def _programme(name: str, root: Path, who: str | None = None) -> "Programme":
    from uplift.programme import Programme

    return Programme(folder_of(name, root), who=who)
