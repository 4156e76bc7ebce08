"""Deviations from a sealed definition, as every later report shows them."""

from collections.abc import Iterable
from dataclasses import dataclass

from uplift.table import Column, Table


@dataclass(frozen=True)
class Amendment:
    """A deviation from a sealed definition.

    seq  number of its row in the audit trail
    at   when it was recorded, in UTC
    """

    seq: int
    change: str
    who: str
    why: str
    at: str

    @property
    def line(self) -> str:
        """The amendment in one line."""
        return f"amendment {self.seq} of {self.at[:10]}, {self.who}: {self.change} ({self.why})"


def amendments_table(amendments: Iterable[Amendment]) -> Table:
    """One row per amendment, oldest first."""
    columns = (
        Column("number", kind="count"),
        Column("date"),
        Column("who"),
        Column("change"),
        Column("why"),
    )
    rows = [(one.seq, one.at[:10], one.who, one.change, one.why) for one in amendments]
    note = "Numbers are those of the audit trail."
    return Table("Changed after the definition was sealed", columns, rows, note=note)
