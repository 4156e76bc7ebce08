"""The lists of a wave: decided, staged and written into the ledger in one transaction."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from uplift.errors import StateError
from uplift.export import files
from uplift.export.folder import clear_staging, stage
from uplift.export.gate import Gate, open_gate
from uplift.export.job import Decided, Job, channels_of, due_of, ids_of, new_batch, payload_of
from uplift.export.wave import Wave
from uplift.registry.exports import (
    EXPORT,
    WITHDRAW,
    Batch,
    ExportLedger,
    export_ledger,
    require_exporting,
)
from uplift.registry.refusals import repeated


@repeated
def decide_lists(job: Job) -> Decided:
    """A list for each channel of the wave; one that the ledger has stays as it is."""
    (target,) = job.waves
    channels = channels_of(target, job.options.channel)
    with export_ledger(job.registry, job.experiment.id, step="export") as ledger:
        require_exporting(ledger.entry, job.experiment.digest)
        _require_same_assignment(ledger, target)
        if job.options.lease is not None:
            ledger.fence(target.name, job.options.lease)
        gate = open_gate(ledger, target.units, job.rules)
        known = {batch.channel: batch for batch in ledger.batches(target.name)}
        clear_staging(job.folder, target.name, keep=ids_of(known.values()))
        missing = [channel for channel in channels if channel not in known]
        new = _write_lists(job, ledger, gate, missing) if missing else {}
        answer = tuple({**known, **new}[channel] for channel in channels)
        if not new:
            _remember(job, ledger, gate, answer[0])
        old = [batch for batch in answer if batch.channel in known]
        n_due = sum(len(due_of(ledger, gate, batch)) for batch in old)
        return Decided(gate, answer, ids_of(new.values()), n_due)


def _write_lists(
    job: Job, ledger: ExportLedger, gate: Gate, channels: Sequence[str]
) -> dict[str, Batch]:
    """Stage the lists of these channels and write their rows, in the open transaction."""
    (target,) = job.waves
    fencing = ledger.fence(target.name, job.options.lease)
    written: dict[str, Batch] = {}
    for channel in channels:
        fates = target.fates(channel, matches=gate.matches, withdrawn=gate.withdrawn)
        sent = files.is_sent(fates)
        made, content = _list_files(job, gate, channel, fates)
        batch = replace(made, fencing=fencing, at=ledger.now())
        stage(job.folder, batch, content)
        ledger.add_batch(batch, units=target.units[sent])
        written[channel] = batch
    ledger.add_withdrawals(next(iter(written.values())), gate.new_withdrawals())
    payload = payload_of(target, gate, written.values())
    ledger.write_trail(EXPORT, payload, who=job.who, why=f"lists of wave {target.name}")
    return written


def _list_files(
    job: Job, gate: Gate, channel: str, fates: pd.Series
) -> tuple[Batch, dict[str, bytes]]:
    """A list's batch, and its files by name."""
    (target,) = job.waves
    sent = files.is_sent(fates)
    content = files.list_bytes(target, channel, sent, job.extra)
    version = {
        "kind": "list",
        "experiment": job.experiment.id,
        "wave": target.name,
        "channel": channel,
        "definition_sha256": job.experiment.digest,
        "assignment_sha256": files.assignment_digest(target),
        "held_out_sha256": files.units_digest(target.held_out),
        "suppression": gate.to_dict(),
        "fates": files.count_fates(target, fates),
        "arms": target.assigned.loc[sent.to_numpy(), "arm"].value_counts().to_dict(),
    }
    name = files.batch_id(version, files.sha256(content))
    hashes = files.unit_hashes(target.units[sent], batch=name)
    manifest = {**version, "batch": name, "n_units": len(hashes), "root": files.merkle_root(hashes)}
    others = {
        f"{channel}.csv": content,
        files.PROOF: files.proof_bytes(target, fates, batch=name),
        files.VERIFIER: files.verifier_bytes(),
    }
    return new_batch(job, target.name, channel, manifest, others)


def _remember(job: Job, ledger: ExportLedger, gate: Gate, batch: Batch) -> None:
    """Keep opt-outs that a run has seen, although it writes no list: later waves leave them out."""
    found = gate.new_withdrawals()
    if found:
        ledger.add_withdrawals(batch, found)
        payload = payload_of(job.waves[0], gate, ())
        ledger.write_trail(WITHDRAW, payload, who=job.who, why="seen at an export that was there")


def _require_same_assignment(ledger: ExportLedger, target: Wave) -> None:
    """Refuse another assignment than the wave's other lists were made from."""
    digest = files.assignment_digest(target)
    for row in ledger.runs():
        mine = (row.experiment, row.payload["wave"]) == (ledger.entry.id, target.name)
        if mine and row.payload["assignment_sha256"] != digest:
            raise StateError(
                f"Wave {target.name} of {ledger.entry.id} was exported from another assignment. "
                "Restore that one; units that joined later need a wave of their own.",
                code="EXPORT_OTHER",
            )
