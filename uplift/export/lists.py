"""The lists of a wave: decided, staged and written into the ledger in one transaction.

A channel has one list. When a ramp-up has taken in more units since, they get a further one,
`<channel>-more-<n>`; who was assigned before is on none of those, whatever has changed.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from uplift.errors import StateError
from uplift.export import files
from uplift.export.folder import clear_staging, read_assigned, stage
from uplift.export.gate import Gate, open_gate
from uplift.export.job import (
    MORE,
    Decided,
    Job,
    channel_in,
    channels_of,
    due_of,
    ids_of,
    lists_of,
    new_batch,
    payload_of,
)
from uplift.export.wave import SEND, Mask, Wave
from uplift.registry.exports import (
    EXPORT,
    WITHDRAW,
    Batch,
    ExportLedger,
    export_ledger,
    require_exporting,
)
from uplift.registry.refusals import repeated


@dataclass(frozen=True)
class _Missing:
    """A list that is still to be made, and which assigned units earlier lists have dealt with."""

    name: str
    channel: str
    settled: Mask


@repeated
def decide_lists(job: Job, target: Wave, extra: pd.DataFrame | None) -> Decided:
    """A list for each channel of the wave; those that the ledger has stay as they are.

    extra  further columns of the lists, in the order of the assignment
    """
    channels = channels_of(job.experiment, job.options.channel)
    with export_ledger(job.registry, job.experiment.id, step="export") as ledger:
        require_exporting(ledger.entry, job.experiment.digest)
        if job.options.lease is not None:
            ledger.fence(target.name, job.options.lease)
        gate = open_gate(ledger, target.units, job.rules)
        clear_staging(job.folder, target.name, keep=ids_of(ledger.batches(target.name)))
        every = lists_of(ledger, target.name, channels_of(job.experiment, None))
        missing = [one for name in channels for one in _missing(job, target, every, name)]
        known = [batch for batch in every if channel_in(batch) in channels]
        new = [_write_list(job, ledger, gate, target, one, extra) for one in missing]
        _write_opt_outs(job, ledger, gate, target, new, known)
        n_due = sum(len(due_of(ledger, gate, batch)) for batch in known)
        return Decided(gate, tuple(lists_of(ledger, target.name, channels)), ids_of(new), n_due)


def _missing(job: Job, target: Wave, known: list[Batch], channel: str) -> list[_Missing]:
    """The list that a channel still needs: its first one, one of those who joined, or none.

    known  lists of all channels
    Errors: EXPORT_OTHER.
    """
    mine = [batch for batch in known if channel_in(batch) == channel]
    first = _Missing(channel, channel, np.zeros(len(target.units), dtype=np.bool_))
    if not known:
        return [first]
    last = (mine or known)[-1]
    digest, arms = read_assigned(job.folder, last)
    if digest == files.assignment_digest(target):
        return [] if mine else [first]
    hashes = files.unit_hashes(target.units, batch=last.id)
    now = dict(zip(hashes, target.assigned["arm"], strict=True))
    if any(now.get(value) != arm for value, arm in arms.items()):
        raise StateError(
            f"{last.channel} of wave {target.name} was exported from another assignment, which "
            "this one does not contain. Restore that one.",
            code="EXPORT_OTHER",
        )
    if not mine:
        return [first]
    settled = np.array([value in arms for value in hashes], dtype=np.bool_)
    return [_Missing(f"{channel}{MORE}{len(mine)}", channel, settled)]


def _write_list(
    job: Job,
    ledger: ExportLedger,
    gate: Gate,
    target: Wave,
    missing: _Missing,
    extra: pd.DataFrame | None,
) -> Batch:
    """Stage a list and write its rows, in the open transaction."""
    fates = target.fates(missing.channel, matches=gate.matches, withdrawn=gate.withdrawn)
    fates = fates.mask(missing.settled & (fates == SEND).to_numpy(), "other_list")
    made, content = _list_files(job, gate, target, missing, fates, extra)
    batch = replace(made, fencing=ledger.fence(target.name, job.options.lease), at=ledger.now())
    stage(job.folder, batch, content)
    ledger.add_batch(batch, units=target.units[files.is_sent(fates)])
    return batch


def _list_files(
    job: Job,
    gate: Gate,
    target: Wave,
    missing: _Missing,
    fates: pd.Series,
    extra: pd.DataFrame | None,
) -> tuple[Batch, dict[str, bytes]]:
    """A list's batch, and its files by name."""
    sent, channel = files.is_sent(fates), missing.channel
    content = files.list_bytes(target, channel, sent, extra)
    version = {
        "kind": "list",
        "experiment": job.experiment.id,
        "wave": target.name,
        "list": missing.name,
        "channel": channel,
        "definition_sha256": job.experiment.digest,
        "assignment_sha256": files.assignment_digest(target),
        "held_out_sha256": files.units_digest(target.held_out),
        "suppression": gate.to_dict(),
        "fates": files.count_fates(fates),
        "arms": target.assigned.loc[sent.to_numpy(), "arm"].value_counts().to_dict(),
    }
    batch = files.batch_id(version, files.sha256(content))
    hashes = files.unit_hashes(target.units[sent], batch=batch)
    root = files.merkle_root(hashes)
    manifest = {**version, "batch": batch, "n_units": len(hashes), "root": root}
    others = {
        f"{channel}.csv": content,
        files.PROOF: files.proof_bytes(target, fates, batch=batch),
        files.VERIFIER: files.verifier_bytes(),
    }
    return new_batch(job, target.name, missing.name, manifest, others)


def _write_opt_outs(
    job: Job, ledger: ExportLedger, gate: Gate, target: Wave, new: list[Batch], known: list[Batch]
) -> None:
    """Keep the opt-outs that this run has seen, so that later waves leave them out; and say so."""
    found = gate.new_withdrawals()
    if found:
        ledger.add_withdrawals((new or known)[0], found)
    payload = payload_of(target.name, gate, new)
    if new:
        ledger.write_trail(EXPORT, payload, who=job.who, why=f"lists of wave {target.name}")
    elif found:
        ledger.write_trail(WITHDRAW, payload, who=job.who, why="seen when nothing was to export")
