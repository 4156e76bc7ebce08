"""After the decision: the holdout read again, the market set apart, what was learned; no logic."""

from typing import Annotated

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
    campaign_of,
    show,
    verdict,
)
from uplift.errors import DefinitionError

AsOf = Annotated[
    str | None, typer.Option(help="A day or a time, in the experiment's zone; now by default.")
]


@app.command()
def reread(
    name: Name,
    outcomes: Table_,
    days: Annotated[
        str | None,
        typer.Option(help="Comma-separated days of the plan, e.g. 30,91; all that are over."),
    ] = None,
    as_of: AsOf = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Read a kept holdout again; exit 1 when a gain was only brought forward.

    Example: `uplift reread spring_voucher purchases.parquet --as-of 2017-10-02`
    """
    campaign = campaign_of(name, root, who=who)
    report = campaign.reread(outcomes, days=_days(days), as_of=as_of)
    show(report, as_json=as_json, wrote=(campaign.path("reread"),))
    if not as_json:
        print("\n".join(report.words))
    return REFUSED if report.flagged else verdict(report.checks)


@app.command()
def market(
    name: Name,
    outcomes: Table_,
    since: Annotated[str, typer.Option(help="The day or time at which something changed.")],
    as_of: AsOf = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """Did the market move at a known moment, or did the campaign get weaker?

    Example: `uplift market spring_voucher purchases.parquet --since 2017-07-17`
    """
    report = campaign_of(name, root).market_shock(outcomes, since=since, as_of=as_of)
    show(report, as_json=as_json)
    if not as_json:
        print("\n".join(report.words))
    return verdict(report.checks)


@app.command()
def learn(
    metric: Annotated[
        str | None, typer.Option(help="Key such as spend_28d@1; an overview of all by default.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only experiments of this kind, e.g. campaign_holdout.")
    ] = None,
    root: Root = HERE,
    as_json: Json = False,
) -> int:
    """What past experiments say together: the mean, the next one, what the winners are worth.

    Every experiment that was read counts, the failed ones too.
    Examples: `uplift learn`; `uplift learn --metric spend_28d@1`
    """
    from uplift.registry.past import past_effects
    from uplift.registry.pooling import learned, pool
    from uplift.registry.registry import Registry

    registry = Registry(root / "experiments")
    if metric is None:
        show(learned(registry, kind=kind), as_json=as_json)
        return 0
    found = pool(past_effects(registry, metric=metric, kind=kind))
    show(found, as_json=as_json)
    if not as_json:
        print("\n".join(found.words))
    return 0


def _days(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise DefinitionError(
            f"--days must be whole numbers such as 30,91, got {text!r}.", code="ARGUMENT_INVALID"
        ) from None
