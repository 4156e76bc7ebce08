"""Planning: how a design is shown, and its rehearsal on history; no logic."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uplift.cli.common import (
    HERE,
    Json,
    Name,
    Root,
    Seed,
    Who,
    app,
    campaign_of,
    show,
    verdict,
)
from uplift.table import canonical_json

if TYPE_CHECKING:
    from uplift.sizing.result import Design
    from uplift.sizing.targeting import UpliftPower


def show_design(
    design: "Design", targeting: "UpliftPower | None", *, as_json: bool, wrote: Path
) -> None:
    """Print a design: its sentences, its tables, its warnings, and what targeting can prove."""
    if as_json:
        more = {} if targeting is None else {"targeting": targeting.to_dict()}
        print(canonical_json(design.to_dict() | more))
        return
    print(design.words())
    for table in design.tables():
        print(f"\n{table}")
    print("\n".join(design.remarks()))
    if targeting is not None:
        print(f"\n{targeting}\n{targeting.words()}")
    print(f"wrote {wrote}")


@app.command()
def simulate(
    name: Name,
    history: Annotated[
        Path,
        typer.Option(
            help="Customers with outcomes of a window without the campaign; of several waves a row "
            "per customer and wave."
        ),
    ],
    replays: Annotated[int, typer.Option(help="How often the plan is drawn and read.")] = 1000,
    effect: Annotated[
        float | None,
        typer.Option(help="Also plant an effect: the share by which outcomes rise, e.g. 0.05."),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="How it is planted: `baskets` or `buyers`.")
    ] = None,
    n_units: Annotated[
        int | None,
        typer.Option(help="Customers of the plan, drawn from history; all of it by default."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Processes; they change the time only. All cores by default.")
    ] = None,
    seed: Seed = 0,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Replay the plan on history before anything is sent; exit 1 when it cries wolf too often.

    Examples: `uplift simulate spring_voucher --history last_quarter.parquet`;
    `uplift simulate spring_voucher --history last_quarter.parquet --n-units 64000 --effect 0.05`
    """
    campaign = campaign_of(name, root, who=who)
    found = campaign.simulate(
        history,
        n_replays=replays,
        n_units=n_units,
        effect=effect,
        path=path,
        n_jobs=jobs,
        seed=seed,
    )
    show(found, as_json=as_json, wrote=(campaign.path("rehearse"),))
    if not as_json:
        print(found.words())
    return verdict(found.checks)
