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
    channels_of,
    deltas_of,
    due_of,
    ids_of,
    new_batch,
    payload_of,
)
from uplift.export.wave import Wave
from uplift.registry.exports import WITHDRAW, Batch, ExportLedger, export_ledger
from uplift.registry.refusals import repeated


@repeated
def decide_deltas(job: Job) -> Decided:
    """A delta for each exported list of the waves."""
    answer: list[Batch] = []
    new: set[str] = set()
    with export_ledger(job.registry, job.experiment.id, step="export") as ledger:
        gate = open_gate(ledger, _all_units(job.waves), job.rules)
        for wave in job.waves:
            lists = _lists_of(ledger, wave, job.options.channel)
            if lists and job.options.lease is not None:
                ledger.fence(wave.name, job.options.lease)
            clear_staging(job.folder, wave.name, keep=ids_of(ledger.batches(wave.name)))
            for batch in lists:
                delta, is_new = _delta_of(job, ledger, gate, wave, batch)
                answer.append(delta)
                new |= {delta.id} if is_new else set()
        if not answer:
            raise StateError(
                f"{job.experiment.id} has no exported list to withdraw from. Export first: "
                f"`uplift export {job.experiment.id} --suppression …`.",
                code="STATE_ORDER",
            )
        return Decided(gate, tuple(answer), frozenset(new))


def _delta_of(
    job: Job, ledger: ExportLedger, gate: Gate, wave: Wave, batch: Batch
) -> tuple[Batch, bool]:
    """The delta of a list by this suppression list, and whether it was written now."""
    deltas = deltas_of(ledger, batch)
    due = due_of(ledger, gate, batch)
    if not due and deltas and deltas[-1].suppression_sha256 == gate.suppression.sha256:
        return deltas[-1], False
    number = len(deltas) + 1
    content = files.delta_bytes(wave, batch.channel, [unit for unit, _ in due])
    version = {
        "kind": "delta",
        "experiment": job.experiment.id,
        "wave": wave.name,
        "channel": batch.channel,
        "list": batch.id,
        "number": number,
        "suppression": gate.to_dict(),
        "n_units": len(due),
    }
    manifest = {**version, "batch": files.batch_id(version, files.sha256(content))}
    others = {f"delta_{number}.csv": content, files.VERIFIER: files.verifier_bytes()}
    made, content_of = new_batch(
        job, wave.name, f"{batch.channel}{DELTA}{number}", manifest, others
    )
    fencing = ledger.fence(wave.name, job.options.lease)
    delta = replace(made, fencing=fencing, at=ledger.now())
    stage(job.folder, delta, content_of)
    ledger.add_batch(delta, units=())
    on_list = set(ledger.units_of(batch))
    others_out = [row for row in gate.new_withdrawals() if row[0] not in on_list]
    ledger.add_withdrawals(delta, [*due, *others_out])
    payload = payload_of(wave, gate, [delta])
    ledger.write_trail(WITHDRAW, payload, who=job.who, why=f"opted out since {batch.id}")
    return delta, True


def _lists_of(ledger: ExportLedger, wave: Wave, channel: str | None) -> list[Batch]:
    wanted = channels_of(wave, channel)
    return [batch for batch in ledger.batches(wave.name) if batch.channel in wanted]


def _all_units(waves: Sequence[Wave]) -> pd.Series:
    every = pd.concat([wave.units for wave in waves])
    return pd.Series(every.drop_duplicates(ignore_index=True))
