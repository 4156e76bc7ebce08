"""The lists of a wave: decided, staged and written into the ledger in one transaction.

A channel has one list. When a ramp-up has taken in more units since, they get a further one,
`<channel>-more-<n>`; who was assigned before is on none of those, whatever has changed.

What costs time (bytes, hashes, rows) is made before the transaction, from the suppression list and
the ledger as they are then. Inside it both are read again, and each unit's fate is told again: what
was made is taken only where not one fate differs, and made anew otherwise. So other writers wait
for the writing alone, and an opt-out that came meanwhile is off the list all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
import pandas as pd

from uplift.errors import StateError, UpliftError
from uplift.export import files
from uplift.export.folder import assigned_digest, clear_staging, read_assigned, stage
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
from uplift.registry.bulk import ReadyRows
from uplift.registry.exports import (
    EXPORT,
    WITHDRAW,
    Batch,
    ExportLedger,
    export_ledger,
    read_ledger,
    ready_lines,
    require_exporting,
)
from uplift.registry.refusals import repeated


@dataclass(frozen=True)
class _Missing:
    """A list that is still to be made, and which assigned units earlier lists have dealt with."""

    name: str
    channel: str
    settled: Mask


@dataclass(frozen=True, eq=False)
class _Made:
    """A list that only needs to be written, and what its bytes follow from beside its wave."""

    missing: _Missing
    gate: Gate
    fates: pd.Series
    batch: Batch
    content: dict[str, bytes]
    lines: ReadyRows

    def serves(self, gate: Gate, fates: pd.Series) -> bool:
        """Whether it would be made with the same bytes now."""
        return self.gate.to_dict() == gate.to_dict() and self.fates.equals(fates)


def decide_lists(job: Job, target: Wave, extra: pd.DataFrame | None) -> Decided:
    """A list for each channel of the wave; those that the ledger has stay as they are.

    extra  further columns of the lists, in the order of the assignment
    """
    gate, made = _make_ready(job, target, extra)
    return _decide(job, target, extra, seen=gate, made=made)


def _make_ready(
    job: Job, target: Wave, extra: pd.DataFrame | None
) -> tuple[Gate, Mapping[str, _Made]]:
    """The lists that are missing as things stand, by name; nothing is written."""
    gate, missing = _look(job, target)
    made = (_make(job, gate, target, one, _fates(gate, target, one), extra) for one in missing)
    return gate, {one.missing.name: one for one in made}


@repeated
def _look(job: Job, target: Wave) -> tuple[Gate, list[_Missing]]:
    """The gate, and what is missing, before the transaction."""
    with read_ledger(job.registry, job.experiment.id) as ledger:
        require_exporting(ledger.entry, job.experiment.digest)
        gate = open_gate(ledger, target.units, job.rules)
        try:
            return gate, _missing_lists(job, ledger, target)
        except (OSError, UpliftError):  # somebody gives a list its name now; or the transaction
            return gate, []  # refuses for the same reason


@repeated
def _decide(
    job: Job,
    target: Wave,
    extra: pd.DataFrame | None,
    *,
    seen: Gate,
    made: Mapping[str, _Made],
) -> Decided:
    channels = channels_of(job.experiment, job.options.channel)
    with export_ledger(job.registry, job.experiment.id, step="export") as ledger:
        require_exporting(ledger.entry, job.experiment.digest)
        if job.options.lease is not None:
            ledger.fence(target.name, job.options.lease)
        gate = open_gate(ledger, target.units, job.rules, seen=seen)
        clear_staging(job.folder, target.name, keep=ids_of(ledger.batches(target.name)))
        known = lists_of(ledger, target.name, channels)
        new = []
        for missing in _missing_lists(job, ledger, target):
            fates, ready = _fates(gate, target, missing), made.get(missing.name)
            if ready is None or not ready.serves(gate, fates):
                ready = _make(job, gate, target, missing, fates, extra)
            new.append(_write_list(job, ledger, target, ready))
        _write_opt_outs(job, ledger, gate, target, new, known)
        n_due = sum(len(due_of(ledger, gate, batch)) for batch in known)
        return Decided(gate, tuple(lists_of(ledger, target.name, channels)), ids_of(new), n_due)


def _missing_lists(job: Job, ledger: ExportLedger, target: Wave) -> list[_Missing]:
    every = lists_of(ledger, target.name, channels_of(job.experiment, None))
    channels = channels_of(job.experiment, job.options.channel)
    return [one for name in channels for one in _missing(job, target, every, name)]


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
    if assigned_digest(job.folder, last) == target.sha256:
        return [] if mine else [first]
    arms = read_assigned(job.folder, last)
    hashes = files.unit_hashes(target.ids, batch=last.id)
    now = dict(zip(hashes, target.arms, strict=True))
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


def _fates(gate: Gate, target: Wave, missing: _Missing) -> pd.Series:
    """What becomes of each assigned unit on a list."""
    fates = target.fates(missing.channel, matches=gate.matches, withdrawn=gate.withdrawn)
    return fates.mask(missing.settled & (fates == SEND).to_numpy(), "other_list")


def _make(
    job: Job,
    gate: Gate,
    target: Wave,
    missing: _Missing,
    fates: pd.Series,
    extra: pd.DataFrame | None,
) -> _Made:
    """A list: its batch, its files by name, its lines for the ledger."""
    sent, channel = files.is_sent(fates), missing.channel
    content = files.list_bytes(target, channel, sent, extra)
    version = {
        "kind": "list",
        "experiment": job.experiment.id,
        "wave": target.name,
        "list": missing.name,
        "channel": channel,
        "definition_sha256": job.experiment.digest,
        "assignment_sha256": target.sha256,
        "held_out_sha256": target.held_out_sha256,
        "suppression": gate.to_dict(),
        "fates": files.count_fates(fates),
        "arms": target.assigned.loc[sent.to_numpy(), "arm"].value_counts().to_dict(),
    }
    batch_id = files.batch_id(version, files.sha256(content))
    hashes = files.unit_hashes(target.ids, batch=batch_id)
    on_list = sent.tolist()
    root = files.merkle_root(compress(hashes, on_list))
    manifest = {**version, "batch": batch_id, "n_units": sum(on_list), "root": root}
    proof = files.proof_bytes(target, fates.tolist(), hashes=hashes, batch=batch_id)
    others = {
        f"{channel}.csv": content,
        files.PROOF: proof,
        files.VERIFIER: files.verifier_bytes(),
    }
    batch, named = new_batch(job, target.name, missing.name, manifest, others)
    lines = ready_lines(batch, list(compress(target.ids, on_list)))
    return _Made(missing, gate, fates, batch, named, lines)


def _write_list(job: Job, ledger: ExportLedger, target: Wave, made: _Made) -> Batch:
    """Stage a list and write its rows, in the open transaction."""
    fencing = ledger.fence(target.name, job.options.lease)
    batch = replace(made.batch, fencing=fencing, at=ledger.now())
    stage(job.folder, batch, made.content)
    ledger.add_batch(batch, made.lines)
    return batch


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
