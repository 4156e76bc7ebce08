"""Export: the lists of a wave, and the withdrawals from them; no logic."""

from pathlib import Path
from typing import Annotated

import typer

from uplift.cli.common import HERE, Json, Name, Root, Who, app, campaign_of, show, verdict


@app.command()
def export(
    name: Name,
    suppression: Annotated[
        Path | None,
        typer.Option(
            help="Who must not be contacted: CSV with `unit` (and `channel`), above it a line "
            "`# generated_at: 2026-03-01T06:00:00Z`; or parquet."
        ),
    ] = None,
    wave: Annotated[str | None, typer.Option(help="A wave; the first one by default.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel's list.")] = None,
    delta: Annotated[
        bool, typer.Option("--delta", help="Who opted out since the lists were exported.")
    ] = False,
    excluded: Annotated[
        str | None,
        typer.Option(help="Experiment whose control is left out, beside those it excludes."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Further column of numbers, dates or yes/no.")
    ] = None,
    text_column: Annotated[
        list[str] | None, typer.Option(help="Further column of text, made safe for spreadsheets.")
    ] = None,
    max_age_hours: Annotated[
        float, typer.Option(help="How old the suppression list may be.")
    ] = 24.0,
    as_of: Annotated[
        str | None, typer.Option(help="Day or time of the export; now by default.")
    ] = None,
    root: Root = HERE,
    who: Who = None,
    as_json: Json = False,
) -> int:
    """Write one list per channel of a wave, without anybody who opted out or is held out.

    Exit 1 when units of a list exported before have opted out since: export `--delta` then.

    Example: `uplift export spring_voucher --suppression suppression.csv`

    Example: `uplift export spring_voucher --suppression new.csv --delta`
    """
    from uplift.export.job import ExportOptions

    campaign = campaign_of(name, root, who=who)
    options = ExportOptions(
        channel=channel,
        held_out=campaign_of(excluded, root).held_out() if excluded is not None else None,
        columns=tuple(column or ()),
        text_columns=tuple(text_column or ()),
        max_age_hours=max_age_hours,
    )
    step = campaign.export_withdrawals if delta else campaign.export
    report = step(suppression, wave=wave, as_of=as_of, options=options)
    show(report, as_json=as_json, wrote=tuple(campaign.folder / one.folder for one in report.lists))
    return verdict(report.checks)
