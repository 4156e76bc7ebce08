"""What all commands share: the app, common options, how results and refusals are shown.

Exit 0: done. 1: a gate or a check said no. 2: the input or the order of steps is wrong.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uplift.checks import Check, blocked_by
from uplift.errors import PromotionRefused, UpliftError
from uplift.table import Result

if TYPE_CHECKING:
    from uplift.campaign import Campaign

app = typer.Typer(
    name="uplift",
    help="From a campaign brief to proven incremental profit per customer, and back.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

REFUSED, BAD_INPUT, INTERRUPTED = 1, 2, 130
CHECKS = frozenset({"SRM", "BALANCE"})  # codes of checks that said no, where they are raised

Name = Annotated[str, typer.Argument(help="Experiment id: a folder of `experiments/`.")]
Table_ = Annotated[Path, typer.Argument(help="A parquet or CSV file.")]
Root = Annotated[Path, typer.Option(help="Project folder with `experiments/` and `mlruns/`.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Who = Annotated[str | None, typer.Option(help="Name for the audit trail.")]
Seed = Annotated[int, typer.Option(help="Makes the result reproducible.")]
AS_INGESTED = "; by default as at the ingest"
Missing = Annotated[
    str | None,
    typer.Option(help=f"A missing outcome: `refuse`, `zero` or `drop`{AS_INGESTED}."),
]
Repeats = Annotated[
    str | None,
    typer.Option(
        help="Several rows of outcomes of a customer: `refuse`, `sum`, `mean` or `first`"
        f"{AS_INGESTED}."
    ),
]
TwoArms = Annotated[
    str | None,
    typer.Option(help=f"A customer in two arms: `refuse`, or `drop` (left out){AS_INGESTED}."),
]
Early = Annotated[
    str | None,
    typer.Option(
        help=f"Rows from before the assignment: `refuse`, or `drop` (left out){AS_INGESTED}."
    ),
]
Trim = Annotated[bool | None, typer.Option("--trim", help="Remove blanks around ids.")]
HERE = Path()


def main() -> None:
    """Run the command line; refusals are one line with a code, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except PromotionRefused as error:
        complain(error)
        sys.exit(REFUSED)
    except UpliftError as error:
        complain(error)
        sys.exit(REFUSED if error.code in CHECKS else BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        print("Interrupted. Run the same command again to go on.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not hasattr(error, "exit_code") or not hasattr(error, "show"):
            raise
        error.show()  # a usage error of the command line itself
        sys.exit(BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def complain(error: UpliftError) -> None:
    """A refusal in one line: code and what to do; what was given may hold line breaks."""
    print(f"{error.code}: {' '.join(str(error).splitlines())}", file=sys.stderr)


def show(result: Result, *, as_json: bool, wrote: tuple[Path, ...] = ()) -> None:
    """Print a result and the files that hold it."""
    if as_json:
        print(result.to_json())
        return
    print(result)
    for path in wrote:
        print(f"wrote {path}")


def verdict(checks: tuple[Check, ...]) -> int:
    """The exit code that checks ask for."""
    return REFUSED if blocked_by(checks) else 0


def campaign_of(name: str, root: Path, *, who: str | None = None, **rules: Any) -> "Campaign":
    """The folder of an experiment, ready to walk; rules that are None were not told.

    Errors: NAME_INVALID, ARGUMENT_INVALID.
    """
    from uplift.campaign import Campaign
    from uplift.reading_rules import RuleWords

    told = RuleWords(**{rule: word for rule, word in rules.items() if word is not None})  # type: ignore[typeddict-item]
    return Campaign(folder_of(name, root), who=who, rules=told)


def folder_of(name: str, root: Path) -> Path:
    """The folder of an experiment; its id is never a path. Errors: NAME_INVALID."""
    from uplift.metrics import require_id

    return root / "experiments" / require_id(name)
