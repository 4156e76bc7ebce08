"""What an export did: a row per list, and what must be known with it."""

from dataclasses import dataclass

from uplift.checks import Check
from uplift.table import Column, Result, Table


@dataclass(frozen=True, kw_only=True)
class ExportedList:
    """A list, or a delta of one, as it stands in its folder.

    name       its channel, or `<channel>-delta-<n>`
    n_units    rows: units to contact; in a delta, units to take off the list
    removed    units per reason for which they are not on the list
    is_new     written now; otherwise it was there already and is unchanged
    folder     relative to the experiment's
    """

    wave: str
    name: str
    batch: str
    n_units: int
    removed: dict[str, int]
    manifest_sha256: str
    is_new: bool
    folder: str


@dataclass(frozen=True, repr=False, kw_only=True)
class ExportReport(Result):
    """The lists of an export.

    suppression_sha256, n_suppression, n_matched  the suppression list that was the last gate: its
        version, its rows, and how many assigned units it has
    checks   a failed one must be seen to before anything is sent
    """

    experiment: str
    lists: tuple[ExportedList, ...]
    suppression_sha256: str
    suppression_at: str
    n_suppression: int
    n_matched: int
    checks: tuple[Check, ...] = ()

    def table(self) -> Table:
        """One row per list."""
        columns = (
            Column("wave"),
            Column("list"),
            Column("units", kind="count"),
            Column("opted out", kind="count"),
            Column("held out", kind="count"),
            Column("batch"),
            Column("written"),
            Column("manifest"),
        )
        rows = [
            (
                one.wave,
                one.name,
                one.n_units,
                one.removed.get("suppressed", 0) + one.removed.get("withdrawn", 0),
                one.removed.get("held_out", 0),
                one.batch,
                "now" if one.is_new else "before, unchanged",
                one.manifest_sha256[:12],
            )
            for one in self.lists
        ]
        note = (
            f"Suppression list {self.suppression_sha256[:12]} of {self.suppression_at}: "
            f"{self.n_suppression:,} rows, {self.n_matched:,} of them assigned here."
        )
        return Table(f"Export of {self.experiment}", columns, rows, note=note)
