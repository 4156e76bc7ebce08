"""The import order of ARCHITECTURE.md holds, and the table lists what there is."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "uplift"
ROW = re.compile(r"^\| (\d) \| `([a-z_]+)/?` \|", re.MULTILINE)
OUTSIDE = {  # library → rooms that may import it
    "mlflow": {"tracking", "served_model"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "narwhals": {"frames"},
    "sqlalchemy": {"registry"},
    "alembic": {"registry"},
    "psycopg": {"registry", "aggregate"},
    "pyspark": {"aggregate"},
    "duckdb": {"aggregate", "customers"},
    "typer": {"cli"},
    "numba": {"assignment", "models"},
}


def rooms_of_the_table() -> dict[str, tuple[int, int]]:
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    return {name: (int(layer), place) for place, (layer, name) in enumerate(ROW.findall(text))}


def rooms_of_the_code() -> set[str]:
    files = {path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    return files | folders


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, except for type checking only."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "uplift":
                found.update(f"uplift.{alias.name}" for alias in node.names)
            else:
                found.add(node.module or "")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if room_of(path) != "__init__"]


def test_the_architecture_table_lists_every_room_and_no_other():
    assert set(rooms_of_the_table()) == rooms_of_the_code()


def violations(room: str, imported: set[str], table: dict[str, tuple[int, int]]) -> list[str]:
    layer, place = table[room]
    wrong = []
    for name in imported:
        parts = name.split(".")
        if parts[0] != "uplift" or len(parts) < 2 or parts[1] == room:
            continue
        other_layer, other_place = table[parts[1]]
        if other_place > place or (layer == other_layer == 3):
            wrong.append(f"{room} imports {parts[1]}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_above_it(path):
    assert violations(room_of(path), imports_of(path), rooms_of_the_table()) == []


def test_the_order_check_finds_an_upward_import_and_one_between_rooms():
    table = rooms_of_the_table()
    assert violations("trial", {"uplift.report.page"}, table)
    assert violations("analysis", {"uplift.models.train"}, table)
    assert not violations("analysis", {"uplift.trial", "uplift.analysis.money"}, table)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_library_is_imported_in_its_room_only(path):
    for name in imports_of(path):
        library = name.split(".")[0]
        if library in OUTSIDE:
            assert room_of(path) in OUTSIDE[library], f"{library} in {path.name}"


def test_importing_the_package_is_quick_and_loads_no_heavy_library():
    code = (
        "import sys, time; start = time.perf_counter(); import uplift; "
        "seconds = time.perf_counter() - start; "
        "heavy = {'mlflow', 'lightgbm', 'matplotlib', 'altair', 'sklearn', 'numba'}; "
        "heavy &= set(sys.modules); "
        "assert not heavy, heavy; assert seconds < 1, seconds"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_result_shows_itself_as_its_table():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Result" in map(ast.unparse, node.bases):
                for decorator in node.decorator_list:
                    assert "repr=False" in ast.unparse(decorator), f"{path.name}: {node.name}"


def test_no_room_has_the_name_of_a_public_name():
    import uplift
    import uplift.datasets

    assert not set(uplift.__all__) & rooms_of_the_code()
    modules = {path.stem for path in (PACKAGE / "datasets").glob("*.py")}
    assert not set(uplift.datasets.__all__) & modules


def test_every_public_name_can_be_loaded():
    import uplift

    for name in uplift.__all__:
        assert getattr(uplift, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        uplift.nothing_like_it  # noqa: B018
