"""A verdict on one requirement, in one form for every room.

Sample ratio, guardrails, promotion gates, data warnings and alerts all answer the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from uplift.table import Column, Table, format_value


@dataclass(frozen=True)
class Check:
    """One requirement: what was found, what was required, and what to do when it does not hold.

    blocking  a failed blocking check withholds the verdict; another one is a warning shown with it
    code      stable name of the fault, as errors carry it
    """

    name: str
    passed: bool
    value: float | int | str | None = None
    bound: float | int | str | None = None
    remedy: str = ""
    code: str = ""
    blocking: bool = True

    @property
    def verdict(self) -> str:
        """`ok`, `warning` or `failed`."""
        if self.passed:
            return "ok"
        return "failed" if self.blocking else "warning"

    @property
    def line(self) -> str:
        """The check in one line, e.g. `warning ID_LOOKS_PII (3): Replace …`."""
        found = "" if self.value is None else f" ({format_value(self.value, 'plain')})"
        return f"{self.verdict} {self.code or self.name}{found}: {self.remedy}"


def warning(code: str, *, value: float | int | str | None, remedy: str) -> Check:
    """A data warning: the work continues, and the warning stays with the result."""
    return Check(code.lower(), False, value=value, remedy=remedy, code=code, blocking=False)


def blocked_by(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The failed blocking checks, which withhold a verdict."""
    return tuple(check for check in checks if not check.passed and check.blocking)


def checks_table(checks: Iterable[Check], *, title: str = "Checks") -> Table:
    """Checks as a table, in the order given."""
    columns = (
        Column("check"),
        Column("verdict"),
        Column("value", kind="plain"),
        Column("bound", kind="plain"),
        Column("remedy"),
    )
    rows = [
        (
            check.name,
            check.verdict,
            check.value,
            check.bound,
            "" if check.passed else check.remedy,
        )
        for check in checks
    ]
    return Table(title, columns, rows)
