"""Export: one list per channel of a wave, and later the withdrawals from it.

In one transaction: the lease is checked, the suppression list is read, held-out, suppressed and
withdrawn units are removed, the files are staged, the ledger rows and the audit row are written.
After it the folders get their names. So nobody is on a list that the ledger does not have, nobody
is sent a wave twice, and a run that was killed is finished by the next one, with the same bytes.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from uplift.checks import Check, warning
from uplift.experiment import Experiment
from uplift.export import files
from uplift.export.contacts import CONTACTS, write_contacts
from uplift.export.deltas import decide_deltas
from uplift.export.folder import publish, read_manifest, require_published
from uplift.export.gate import GateRules, alerting
from uplift.export.job import DELTA, Decided, ExportOptions, Job
from uplift.export.lists import decide_lists
from uplift.export.report import ExportedList, ExportReport
from uplift.export.wave import wave_of
from uplift.frames import UNIT, read_frame
from uplift.registry.exports import STAGED, Batch, export_ledger
from uplift.registry.refusals import repeated
from uplift.registry.registry import Registry


def export_wave(
    experiment: Experiment,
    assigned: Any,
    *,
    suppression: Any,
    registry: Registry,
    folder: str | Path,
    as_of: str | date | datetime | None = None,
    wave: str | None = None,
    options: ExportOptions | None = None,
    who: str | None = None,
) -> ExportReport:
    """One list per channel of a wave, with manifest and proof → `folder`/export/<wave>/<channel>/.

    assigned     the assignment, of all units
    suppression  path of the list (see `uplift.export.suppression`), or `suppression_of(table, …)`
    folder       the experiment's, inside the registry's
    as_of        when the export happens; now when not given
    wave         the first one when not given

    A list that was exported is never made again: the same batch is reported. Units that a ramp-up
    has taken in since get a further list, `<channel>-more-<n>`.

    Errors: SUPPRESSION_STALE, SUPPRESSION_NO_MATCH, ID_FORMULA, STATE_ORDER, EXPERIMENT_FROZEN,
    EXPORT_OTHER (exported from another assignment), EXPORT_MISSING, EXPORT_ORPHAN, CHANNEL_UNKNOWN,
    LEASE_HELD, LEASE_STALE, TEXT_COLUMN, DISK_FULL.
    """
    options = options or ExportOptions()
    target = wave_of(experiment, assigned, wave=wave, held_out=options.held_out)
    extra = files.extra_columns(
        target, options.customers, columns=options.columns, text_columns=options.text_columns
    )
    job = Job(
        experiment=experiment,
        rules=_rules(experiment, suppression, as_of, options),
        options=options,
        registry=registry,
        folder=Path(folder),
        who=who,
    )
    with alerting(registry, experiment.id, who=who):
        decided = decide_lists(job, target, extra)
    _publish(job)
    return _report(job, decided)


def export_withdrawals(
    experiment: Experiment,
    assigned: Any,
    *,
    suppression: Any,
    registry: Registry,
    folder: str | Path,
    as_of: str | date | datetime | None = None,
    wave: str | None = None,
    options: ExportOptions | None = None,
    who: str | None = None,
) -> ExportReport:
    """Who is on an exported list and opted out since → …/export/<wave>/<channel>-delta-<n>/.

    assigned  any table with `unit`: everybody assigned, of all waves
    wave      all exported ones when not given

    A delta names who was in no earlier delta of its list. It has a file also when nobody opted out;
    with the same suppression list the same delta is reported again.

    Errors: as `export_wave`; STATE_ORDER when no such list was exported.
    """
    options = options or ExportOptions()
    names = [window.wave for window in experiment.schedule.windows]
    waves = [experiment.schedule.window(wave).wave] if wave is not None else names
    units = read_frame(assigned, what="assignment")[UNIT].drop_duplicates(ignore_index=True)
    job = Job(
        experiment=experiment,
        rules=_rules(experiment, suppression, as_of, options),
        options=options,
        registry=registry,
        folder=Path(folder),
        who=who,
    )
    with alerting(registry, experiment.id, who=who):
        decided = decide_deltas(job, waves, units)
    _publish(job)
    return _report(job, decided)


def _rules(
    experiment: Experiment,
    suppression: Any,
    as_of: str | date | datetime | None,
    options: ExportOptions,
) -> GateRules:
    moment = datetime.now(UTC) if as_of is None else experiment.schedule.moment(as_of)
    return GateRules(suppression=suppression, as_of=moment, max_age_hours=options.max_age_hours)


@repeated
def _publish(job: Job) -> None:
    """Give every decided batch its folder, and the contacts their file; repeats change nothing."""
    folder = job.folder
    with export_ledger(job.registry, job.experiment.id, step="publish") as ledger:
        staged = [batch for batch in ledger.batches() if batch.status == STAGED]
        if not staged:
            return
        paths = {f"export_{batch.id}": publish(folder, batch) for batch in staged}
        lists = [batch for batch in ledger.batches() if DELTA not in batch.channel]
        write_contacts(job.experiment, folder, lists, withdrawn=ledger.withdrawn())
        ledger.publish(staged, {**paths, "contacts": folder / CONTACTS}, who=job.who)


def _report(job: Job, decided: Decided) -> ExportReport:
    lists = tuple(_row(job, batch, is_new=batch.id in decided.new) for batch in decided.batches)
    suppression = decided.gate.suppression
    return ExportReport(
        experiment=job.experiment.id,
        lists=lists,
        suppression_sha256=suppression.sha256,
        suppression_at=suppression.generated_at.isoformat(),
        n_suppression=suppression.n_rows,
        n_matched=decided.gate.n_matched,
        checks=tuple(_checks(job, decided, lists)),
    )


def _row(job: Job, batch: Batch, *, is_new: bool) -> ExportedList:
    folder = require_published(job.folder, batch)
    return ExportedList(
        wave=batch.wave,
        name=batch.channel,
        batch=batch.id,
        n_units=batch.n_units,
        removed={
            fate: n for fate, n in read_manifest(folder).get("fates", {}).items() if fate != "send"
        },
        manifest_sha256=batch.manifest_sha256,
        is_new=is_new,
        folder=folder.relative_to(job.folder).as_posix(),
    )


def _checks(job: Job, decided: Decided, lists: Sequence[ExportedList]) -> list[Check]:
    due = Check(
        "withdrawals",
        passed=not decided.n_due,
        value=decided.n_due,
        bound=0,
        remedy="Units of a list exported before have opted out since. Export the withdrawals "
        "(`--delta`) and tell who sends.",
        code="WITHDRAWALS_DUE",
    )
    found = [due]
    held_out = max((one.removed.get("held_out", 0) for one in lists), default=0)
    if held_out:
        found.append(
            warning(
                "HELD_OUT_REMOVED",
                value=held_out,
                remedy="Assigned units are held out elsewhere since; they were taken off the list. "
                "Leave them out when assigning.",
            )
        )
    empty = [one.name for one in lists if one.n_units == 0 and DELTA not in one.name]
    if empty:
        found.append(
            warning("EXPORT_EMPTY", value=", ".join(empty), remedy="The list has a header only.")
        )
    return found
