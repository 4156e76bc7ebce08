"""Promotion: a challenger becomes champion when every gate says yes, and one call goes back.

The gates are those logged with the run (proven gain over each simpler policy, calibration, sample
ratio) and that the registered files still give the scores they gave when they were written.
"""

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uplift.checks import Check, blocked_by, checks_table
from uplift.errors import DataError, PromotionRefused, StateError
from uplift.table import Result, Table
from uplift.tracking.models import load_registered, served_columns
from uplift.tracking.runs import Run, find_run
from uplift.tracking.store import (
    CHALLENGER,
    CHAMPION,
    SEAL_TAG,
    ModelVersion,
    Tracking,
    alias_of,
    drop_alias,
    move_alias,
    resolve,
    tag_version,
)

if TYPE_CHECKING:
    from uplift.registry.registry import Registry

PREVIOUS_TAG = "uplift.previous_champion"  # where a rollback goes
REPLACED_TAG = "uplift.replaced_champion"  # who was champion until the last move
MOVE_TAG = "uplift.last_move"  # an action until the registry holds its row, then WRITTEN
WRITTEN = "written"
PROMOTE, ROLLBACK = "promote", "rollback"
WHY = {PROMOTE: "every gate passed", ROLLBACK: "back to the champion before"}
RESTORE = "Restore the model's files, or train and log again."


@dataclass(frozen=True, repr=False)
class Promotion(Result):
    """What customers are scored with from now on.

    action            "promoted", "rolled back", or "unchanged" when it was champion already
    previous_version  champion it replaced; None when it is the first
    gates             every gate, in the order checked
    """

    action: str
    model_name: str
    model_version: int
    model_uri: str
    previous_version: int | None
    who: str
    gates: tuple[Check, ...]

    def table(self) -> Table:
        """The gates."""
        before = "none" if self.previous_version is None else f"version {self.previous_version}"
        table = checks_table(self.gates, title=f"Champion: {self.model_uri} ({self.action})")
        note = f"Before it: {before}. By {self.who}."
        return Table(table.title, table.columns, table.rows, note=note)


def promote(
    run: Run,
    *,
    registry: "Registry | None" = None,
    tracking: Tracking | None = None,
    who: str | None = None,
) -> Promotion:
    """Let the alias `champion` name the run's model, if every gate passes. Twice is once.

    registry  adds a gate (the definition is the sealed one) and gets a row in its audit trail
    who       name for the audit trail; the system's user when not given

    Raises PromotionRefused with every failed gate in `.checks`; the champion then stays.
    """
    tracking = tracking or run.store
    version = resolve(run.model_uri, tracking)
    logged = find_run(run.model_uri, tracking=tracking)  # its gates count, not those of `run`
    gates = (*logged.gates, *_sealed_gates(version, registry), *reload_gates(version, tracking))
    _require_all(gates, version)
    champion = alias_of(version.name, CHAMPION, tracking)
    moves = champion is None or champion.version != version.version
    if moves:
        before = "" if champion is None else str(champion.version)
        tags = {PREVIOUS_TAG: before, REPLACED_TAG: before, MOVE_TAG: PROMOTE}
        tag_version(version, tags, tracking)
        move_alias(version.name, CHAMPION, version.version, tracking)
    promotion = _promotion("promoted" if moves else "unchanged", version, gates, tracking, who)
    _settle(promotion, registry=registry, tracking=tracking)
    return promotion


def rollback(
    name: str,
    *,
    registry: "Registry | None" = None,
    tracking: Tracking | None = None,
    who: str | None = None,
) -> Promotion:
    """Let the champion before the present one be champion again.

    registry  must hold the experiment, and gets a row in its audit trail

    Raises StateError NO_CHAMPION or NO_PREVIOUS_CHAMPION when there is nothing to go back to, and
    PromotionRefused when the files of the earlier champion are not as they were. The definition
    may have been amended since: that does not keep an earlier champion from coming back.
    """
    tracking = tracking or Tracking()
    champion = alias_of(name, CHAMPION, tracking)
    if champion is None:
        raise StateError(
            f"{name} has no champion to roll back. Promote a model first.", code="NO_CHAMPION"
        )
    previous = champion.tags.get(PREVIOUS_TAG, "")
    if not previous:
        raise StateError(
            f"{champion.uri} is the first champion of {name}: there is none before it.",
            code="NO_PREVIOUS_CHAMPION",
        )
    version = resolve(f"models:/{name}/{previous}", tracking)
    gates = reload_gates(version, tracking)
    _require_all(gates, version)
    if registry is not None:
        registry.entry(name)  # an experiment it does not know is refused before anything moves
    tag_version(version, {REPLACED_TAG: str(champion.version), MOVE_TAG: ROLLBACK}, tracking)
    move_alias(name, CHAMPION, version.version, tracking)
    promotion = _promotion("rolled back", version, gates, tracking, who)
    _settle(promotion, registry=registry, tracking=tracking)
    return promotion


def reload_gates(version: ModelVersion, tracking: Tracking) -> tuple[Check, ...]:
    """Whether the registered files are whole, promise the right columns, and score as recorded."""
    try:
        package = load_registered(version, tracking)
    except (DataError, StateError) as error:
        return (Check("model_files", False, value=error.code, remedy=str(error), code=error.code),)
    promised = served_columns(version, tracking)
    needed = (list(package.card.columns), list(package.card.score_columns))
    differing = package.differing_columns()
    return (
        Check("model_files", True, value=version.digest[:12], bound=version.digest[:12]),
        Check(
            "schema",
            passed=promised == needed and package.card.experiment == version.name,
            value=f"{len(promised[0])} inputs, {len(promised[1])} outputs",
            bound=f"{len(needed[0])} inputs, {len(needed[1])} outputs",
            remedy="The signature served differs from what the model needs and gives. Log again.",
            code="SCHEMA_DIFFERS",
        ),
        Check(
            "same_scores_after_reload",
            passed=not differing,
            value=len(differing),
            bound=0,
            remedy=f"Columns that differ: {', '.join(differing)}. {RESTORE}",
            code="SCORES_DIFFER",
        ),
    )


def _require_all(gates: tuple[Check, ...], version: ModelVersion) -> None:
    failed = blocked_by(gates)
    if failed:
        title = f"{version.uri} stays challenger: {len(failed)} of {len(gates)} gates failed."
        raise PromotionRefused(checks_table(failed, title=title).text(), checks=failed)


def _sealed_gates(version: ModelVersion, registry: "Registry | None") -> tuple[Check, ...]:
    """Whether the model was trained under the definition that the registry has sealed."""
    if registry is None:
        return ()
    entry = registry.entry(version.name)
    trained = version.tags.get(SEAL_TAG, "")
    return (
        Check(
            "sealed_definition",
            passed=entry.state != "draft" and entry.digest == trained,
            value=trained[:12],
            bound=entry.digest[:12] if entry.state != "draft" else "a sealed definition",
            remedy="Seal the experiment, and train under the sealed definition.",
            code="DEFINITION_DIFFERS",
        ),
    )


def _promotion(
    action: str,
    version: ModelVersion,
    gates: tuple[Check, ...],
    tracking: Tracking,
    who: str | None,
) -> Promotion:
    replaced = resolve(version.uri, tracking).tags.get(REPLACED_TAG, "")
    return Promotion(
        action=action,
        model_name=version.name,
        model_version=version.version,
        model_uri=version.uri,
        previous_version=int(replaced) if replaced else None,
        who=who or _user(),
        gates=gates,
    )


def _settle(promotion: Promotion, *, registry: "Registry | None", tracking: Tracking) -> None:
    """The steps after the alias has moved; done again, they add nothing."""
    version = resolve(promotion.model_uri, tracking)
    move = version.tags.get(MOVE_TAG, WRITTEN)
    if registry is not None and move != WRITTEN:
        _audit(registry, promotion, version, move)
        tag_version(version, {MOVE_TAG: WRITTEN}, tracking)
    challenger = alias_of(version.name, CHALLENGER, tracking)
    if challenger is not None and challenger.version == version.version:
        drop_alias(version.name, CHALLENGER, tracking)


def _audit(registry: "Registry", promotion: Promotion, version: ModelVersion, move: str) -> None:
    """One row per move: none when the last move in the trail is this one already."""
    payload = {
        "model_version": version.version,
        "model_digest": version.digest,
        "replaced_version": promotion.previous_version,
        "run_id": version.run_id,
        "gates": [check.name for check in promotion.gates],
    }
    moves = [row for row in registry.history(version.name).rows if row.action in WHY]
    last = moves[-1] if moves else None
    if last is not None and last.action == move:
        same = ("model_version", "model_digest", "replaced_version")
        if all(last.payload.get(name) == payload[name] for name in same):
            return
    registry.audit(version.name, move, payload, who=promotion.who, why=WHY[move])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user, as in a container
        return "unknown"
