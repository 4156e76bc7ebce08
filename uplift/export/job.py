"""One export as it is worked on: what was asked for, and what its transaction answers with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.export import files
from uplift.export.gate import Gate, GateRules
from uplift.export.suppression import MAX_AGE_HOURS
from uplift.export.wave import channel_of
from uplift.registry.exports import STAGED, Batch, ExportLedger, Lease
from uplift.registry.registry import Registry

MORE, DELTA = "-more-", "-delta-"  # channels are slugs, so no channel's name holds them


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What an export may be told beyond its wave.

    channel        only this one's list; all of them when not given
    held_out       table of units that other experiments hold out, e.g. the universal control
    columns        further columns of numbers, dates and yes/no, from `customers`
    text_columns   further columns of text; an apostrophe goes before what a spreadsheet would run
    max_age_hours  how old the suppression list may be
    lease          of the caller, when it is a scheduler that holds one (`take_lease`)
    """

    channel: str | None = None
    held_out: Any = None
    customers: Any = None
    columns: Sequence[str] = ()
    text_columns: Sequence[str] = ()
    max_age_hours: float = MAX_AGE_HOURS
    lease: Lease | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One export: by which rules, into which registry and folder."""

    experiment: Experiment
    rules: GateRules
    options: ExportOptions
    registry: Registry
    folder: Path
    who: str | None


@dataclass(frozen=True)
class Decided:
    """The batches a transaction answers with; `new` are the ids of those it wrote."""

    gate: Gate
    batches: tuple[Batch, ...]
    new: frozenset[str]
    n_due: int = 0


def new_batch(
    job: Job, wave: str, name: str, manifest: dict[str, Any], others: dict[str, bytes]
) -> tuple[Batch, dict[str, bytes]]:
    """A batch that is not in the ledger yet, and its files, the manifest last."""
    content = files.manifest_bytes(manifest, others)
    batch = Batch(
        id=manifest["batch"],
        experiment=job.experiment.id,
        wave=wave,
        channel=name,
        suppression_sha256=manifest["suppression"]["sha256"],
        n_units=manifest["n_units"],
        manifest_sha256=files.sha256(content),
        status=STAGED,
        fencing=0,
        at="",
    )
    return batch, {**others, files.MANIFEST: content}


def payload_of(wave: str, gate: Gate, batches: Iterable[Batch]) -> dict[str, Any]:
    """What the trail keeps of an export: digests and counts."""
    return {
        "wave": wave,
        "lists": [
            {
                "batch": batch.id,
                "list": batch.channel,
                "n_units": batch.n_units,
                "manifest_sha256": batch.manifest_sha256,
            }
            for batch in batches
        ],
        "n_assigned": len(gate.units),
        "suppression": gate.to_dict(),
    }


def due_of(ledger: ExportLedger, gate: Gate, batch: Batch) -> list[tuple[str, str]]:
    """Units of a list that opted out and are in none of its deltas yet, with the channel."""
    units = pd.Series(sorted(ledger.units_of(batch)), dtype="str")
    told = {unit for unit, _ in ledger.withdrawn(deltas_of(ledger, batch))}
    return [row for row in gate.opted_out(units, channel_in(batch)) if row[0] not in told]


def channel_in(batch: Batch) -> str:
    """The channel of a list or a delta, by its name."""
    return batch.channel.split("-")[0]


def lists_of(ledger: ExportLedger, wave: str, channels: Iterable[str]) -> list[Batch]:
    """Lists of these channels that the ledger has, first ones first."""
    wanted = list(channels)
    found = [one for one in ledger.batches(wave) if DELTA not in one.channel]
    mine = [one for one in found if channel_in(one) in wanted]
    return sorted(mine, key=lambda one: (wanted.index(channel_in(one)), _number(one, MORE)))


def deltas_of(ledger: ExportLedger, batch: Batch) -> list[Batch]:
    """Deltas of a list, in their order."""
    found = [one for one in ledger.batches(batch.wave) if _list_in(one) == batch.channel]
    return sorted(found, key=lambda one: _number(one, DELTA))


def channels_of(experiment: Experiment, channel: str | None) -> tuple[str, ...]:
    """The channels asked for, in the order of the arms. Errors: CHANNEL_UNKNOWN."""
    known = tuple(dict.fromkeys(channel_of(arm) for arm in experiment.treatments))
    if channel is None:
        return known
    if channel not in known:
        raise DefinitionError(
            f"{experiment.id} sends nothing by {channel!r}. Channels: {', '.join(known)}.",
            code="CHANNEL_UNKNOWN",
        )
    return (channel,)


def _list_in(batch: Batch) -> str:
    """The list that a delta belongs to; "" for a list."""
    name, is_delta, _ = batch.channel.partition(DELTA)
    return name if is_delta else ""


def _number(batch: Batch, mark: str) -> int:
    return int(batch.channel.partition(mark)[2] or 0)


def ids_of(batches: Iterable[Batch]) -> frozenset[str]:
    """Ids of batches."""
    return frozenset(batch.id for batch in batches)
