"""Withdrawals from exported lists: decided, staged and written in one transaction."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from uplift.errors import StateError
from uplift.export import files
from uplift.export.folder import clear_staging, stage
from uplift.export.gate import Gate, open_gate
from uplift.export.job import (
    DELTA,
    Decided,
    Job,
    channel_in,
    channels_of,
    deltas_of,
    due_of,
    ids_of,
    lists_of,
    new_batch,
    payload_of,
)
from uplift.registry.exports import WITHDRAW, Batch, ExportLedger, export_ledger
from uplift.registry.refusals import repeated


@repeated
def decide_deltas(job: Job, waves: Sequence[str], units: pd.Series) -> Decided:
    """A delta for each exported list of the waves.

    units  all assigned ones: whoever of them opted out is in no later list either
    """
    channels = channels_of(job.experiment, job.options.channel)
    answer: list[tuple[Batch, bool]] = []
    with export_ledger(job.registry, job.experiment.id, step="export") as ledger:
        gate = open_gate(ledger, units, job.rules)
        for wave in waves:
            clear_staging(job.folder, wave, keep=ids_of(ledger.batches(wave)))
            for batch in lists_of(ledger, wave, channels):
                answer.append(_delta_of(job, ledger, gate, batch))
        if not answer:
            raise StateError(
                f"{job.experiment.id} has no exported list to withdraw from. Export first: "
                f"`uplift export {job.experiment.id} --suppression …`.",
                code="STATE_ORDER",
            )
    new = ids_of(batch for batch, is_new in answer if is_new)
    return Decided(gate, tuple(batch for batch, _ in answer), new)


def _delta_of(job: Job, ledger: ExportLedger, gate: Gate, batch: Batch) -> tuple[Batch, bool]:
    """The delta of a list by this suppression list, and whether it was written now."""
    if job.options.lease is not None:
        ledger.fence(batch.wave, job.options.lease)
    deltas = deltas_of(ledger, batch)
    due = due_of(ledger, gate, batch)
    if not due and deltas and deltas[-1].suppression_sha256 == gate.suppression.sha256:
        return deltas[-1], False
    made, content = _delta_files(job, gate, batch, len(deltas) + 1, [unit for unit, _ in due])
    delta = replace(made, fencing=ledger.fence(batch.wave, job.options.lease), at=ledger.now())
    stage(job.folder, delta, content)
    ledger.add_batch(delta)
    on_list = set(ledger.units_of(batch))
    others = [row for row in gate.new_withdrawals() if row[0] not in on_list]
    ledger.add_withdrawals(delta, [*due, *others])
    payload = payload_of(batch.wave, gate, [delta])
    ledger.write_trail(WITHDRAW, payload, who=job.who, why=f"opted out since {batch.id}")
    return delta, True


def _delta_files(
    job: Job, gate: Gate, batch: Batch, number: int, units: Sequence[str]
) -> tuple[Batch, dict[str, bytes]]:
    """A delta's batch, and its files by name."""
    place = {"channel": channel_in(batch), "wave": batch.wave}
    content = files.delta_bytes(units, campaign=job.experiment.id, **place)
    name = f"{batch.channel}{DELTA}{number}"
    version = {
        "kind": "delta",
        "experiment": job.experiment.id,
        **place,
        "list": name,
        "of": batch.id,
        "number": number,
        "suppression": gate.to_dict(),
        "n_units": len(units),
    }
    manifest = {**version, "batch": files.batch_id(version, files.sha256(content))}
    others = {f"delta_{number}.csv": content, files.VERIFIER: files.verifier_bytes()}
    return new_batch(job, batch.wave, name, manifest, others)
