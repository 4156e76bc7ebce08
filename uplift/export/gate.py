"""The last gate, inside the export transaction: who said no, of the units assigned."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from uplift.errors import DataError
from uplift.export.suppression import (
    ALL_CHANNELS,
    MAX_AGE_HOURS,
    Run,
    Suppression,
    read_suppression,
    refused,
    require_matches,
)
from uplift.export.wave import NO_CHANNEL
from uplift.registry.exports import ExportLedger
from uplift.registry.registry import Registry

REFUSED = "export_refused"  # action in the trail: somebody must look


@dataclass(frozen=True)
class Gate:
    """What the suppression list and earlier withdrawals say of an assignment's units.

    units      the assigned ids
    matches    opt-outs among them: `place` of the unit, `channel` ("" is all)
    withdrawn  unit and channel of those that opted out at an earlier export of the experiment;
               they stay out, whatever a later suppression list says
    """

    suppression: Suppression
    units: pd.Series
    matches: pd.DataFrame
    withdrawn: list[tuple[str, str]]

    @property
    def n_matched(self) -> int:
        """Assigned units that the list has."""
        return int(self.matches["place"].nunique())

    def new_withdrawals(self) -> list[tuple[str, str]]:
        """Opt-outs of assigned units that the ledger does not have yet, sorted."""
        units = self.units.iloc[self.matches["place"]].tolist()
        found = zip(units, self.matches["channel"].tolist(), strict=True)
        return sorted(set(found) - set(self.withdrawn))

    def opted_out(self, units: pd.Series, channel: str) -> list[tuple[str, str]]:
        """Those of the units that refuse a channel, and whether all channels (""), by unit."""
        asked = "" if channel == NO_CHANNEL else channel
        found = self.suppression.matches(units)
        everything = found[found["channel"] == ALL_CHANNELS] if asked else found
        now = refused(found, channel=asked, n_units=len(units))
        all_now = refused(everything, channel="", n_units=len(units))
        before = {u: c for u, c in sorted(self.withdrawn, reverse=True) if c in ("", asked)}
        return [
            (unit, ALL_CHANNELS if all_of or not asked else before.get(unit, channel))
            for unit, out, all_of in zip(
                units.tolist(), now.tolist(), all_now.tolist(), strict=True
            )
            if out or unit in before
        ]

    def to_dict(self) -> dict[str, Any]:
        """The list's version, for manifest and trail: digests and counts only."""
        return {
            "sha256": self.suppression.sha256,
            "generated_at": self.suppression.generated_at.isoformat(),
            "rows": self.suppression.n_rows,
            "keyed": self.suppression.keyed,
            "matched": self.n_matched,
        }


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """Where the suppression list is, when it is read, and how old it may be."""

    suppression: Any
    as_of: datetime
    max_age_hours: float = MAX_AGE_HOURS


def open_gate(
    ledger: ExportLedger, units: pd.Series, rules: GateRules, *, seen: Gate | None = None
) -> Gate:
    """Read the suppression list now, in the transaction that will write the ledger.

    seen  the gate as it was before the transaction: the list is read again all the same, and what
          follows from it is taken over when its bytes have not changed

    Errors: SUPPRESSION_STALE, SUPPRESSION_NO_MATCH, SUPPRESSION_KEY_MISSING, CSV_MALFORMED.
    """
    found = read_suppression(
        rules.suppression,
        as_of=rules.as_of,
        max_age_hours=rules.max_age_hours,
        seen=None if seen is None else seen.suppression,
    )
    same = seen is not None and found is seen.suppression and units is seen.units
    matches = seen.matches if seen is not None and same else found.matches(units)
    gate = Gate(found, units, matches, ledger.withdrawn())
    runs = [
        Run(
            row.payload["suppression"]["matched"],
            row.payload["n_assigned"],
            own=row.experiment == ledger.entry.id,
        )
        for row in ledger.runs()
    ]
    require_matches(found, units, matched=gate.n_matched, runs=runs)
    return gate


@contextlib.contextmanager
def alerting(registry: Registry, experiment_id: str, *, who: str | None) -> Iterator[None]:
    """Leave a row in the trail when the gate stays shut, for somebody must see to it."""
    try:
        yield
    except DataError as error:
        if error.code.startswith("SUPPRESSION"):
            payload = {"code": error.code}
            registry.audit(experiment_id, REFUSED, payload, who=who, why="the gate stays shut")
        raise
