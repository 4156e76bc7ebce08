"""LightGBM's text form, held to its bounds before LightGBM reads it.

LightGBM trusts its text: a wrong length or a child that is not there ends the process, or makes it
walk outside its memory. Here every line has its place, every array its length, every split a
feature, every node one parent, and every number is finite.
"""

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from uplift.models.forest_bins import MOST_CODES, Bins

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_LEAVES = 131_072  # of a tree, as LightGBM has it
OBJECTIVES = frozenset({"regression", "binary sigmoid:1"})
INTEGERS = re.compile(r"(?:-?\d{1,18}(?: -?\d{1,18})*)?")
NUMBERS = re.compile(r"[-+.e\d]+(?: [-+.e\d]+)*|")
RANGES = re.compile(r"none|\[[-+.e\d]+:[-+.e\d]+\]|-?\d+(?::-?\d+)*")
END = re.compile(
    r"end of trees\n\nfeature_importances:\n(?:f\d+=\d+\n)*\n"
    r"(?:parameters:\n(?:\[[a-z_0-9]+: [\w.,+\- ]*\]\n)*\nend of parameters\n\n)?"
    r"pandas_categorical:null\n"
)
HEADER = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
)
PER_NODE = ("split_gain", "internal_value", "internal_weight")
LINES = (  # of a tree, in their order
    "num_leaves",
    "num_cat",
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_weight",
    "leaf_count",
    "internal_value",
    "internal_weight",
    "internal_count",
    "cat_boundaries",
    "cat_threshold",
    "is_linear",
    "shrinkage",
)
OF_CATEGORIES = frozenset({"cat_boundaries", "cat_threshold"})
CATEGORY, MOST_DECISIONS, MISSING_SHIFT, MOST_MISSING = 1, 11, 2, 2
WORD = 32  # bits of one number of a set of categories


def require_bounds(text: str, bins: Bins, *, n_arms: int) -> None:
    """ValueError unless a text is a forest over these codes and arms, and nothing else."""
    if not text.isascii():
        raise ValueError("a forest with other characters than its own")
    n_columns = len(bins.edges) + n_arms - 1
    head, found, rest = text.partition("\n\n")
    names = tuple(name for name in HEADER if name != "objective" or "\nobjective=" in head)
    header = _lines(head.removeprefix("tree\n"), names)
    if not found or not head.startswith("tree\n"):
        raise ValueError("no forest of LightGBM")
    _require_header(header, n_columns)
    categorical = np.append(bins.categorical, np.zeros(n_arms - 1, dtype=bool))
    place = 0
    for t, size in enumerate(_integers(header["tree_sizes"]).tolist()):
        block = rest[place : place + size] if 0 < size <= len(rest) - place else ""
        title, _, body = block.partition("\n")
        if title != f"Tree={t}" or not body.endswith("\n\n\n"):
            raise ValueError(f"tree {t} is not where the text says")
        _require_tree(body.removesuffix("\n\n\n"), categorical)
        place += size
    if not END.fullmatch(rest, place):
        raise ValueError("another end than that of a forest")


def _require_header(header: Mapping[str, str], n_columns: int) -> None:
    expected = {
        "version": "v4",
        "num_class": "1",
        "num_tree_per_iteration": "1",
        "label_index": "0",
        "max_feature_idx": str(n_columns - 1),
        "feature_names": " ".join(f"f{i}" for i in range(n_columns)),
    }
    wrong = [name for name, value in expected.items() if header[name] != value]
    if header.get("objective", "regression") not in OBJECTIVES:  # a joint forest names none
        wrong.append("objective")
    ranges = header["feature_infos"].split(" ")
    if len(ranges) != n_columns or not all(RANGES.fullmatch(word) for word in ranges):
        wrong.append("feature_infos")
    if wrong:
        raise ValueError(f"a forest of other columns or another kind ({', '.join(wrong)})")


def _require_tree(body: str, categorical: npt.NDArray[np.bool_]) -> None:
    """One tree: its lines, their lengths, and what stands in them."""
    is_plain = "\nnum_cat=0\n" in body
    names = tuple(name for name in LINES if not is_plain or name not in OF_CATEGORIES)
    lines = _lines(body, names)
    n_leaves, n_sets = (_count(lines[name]) for name in ("num_leaves", "num_cat"))
    if not 1 <= n_leaves <= MOST_LEAVES or lines["is_linear"] != "0":
        raise ValueError("a tree of another kind")
    n_nodes = n_leaves - 1
    for name in PER_NODE:
        _numbers(lines[name], n_nodes)
    _numbers(lines["leaf_value"], n_leaves)
    _numbers(lines["shrinkage"], 1)
    if n_nodes or lines["leaf_weight"]:  # a tree of one leaf leaves its weight out
        _numbers(lines["leaf_weight"], n_leaves, lowest=0)
    counts = _integers(lines["leaf_count"], n_leaves), _integers(lines["internal_count"], n_nodes)
    if any((count < 0).any() for count in counts):
        raise ValueError("fewer than no units")
    _require_children(lines, n_nodes)
    _require_splits(lines, n_nodes, n_sets, categorical)


def _require_children(lines: Mapping[str, str], n_nodes: int) -> None:
    """Every node but the first and every leaf has one parent, which stands before it."""
    left, right = (_integers(lines[name], n_nodes) for name in ("left_child", "right_child"))
    children = np.concatenate([left, right])
    parents = np.tile(np.arange(n_nodes), 2)
    if not np.array_equal(np.sort(children), np.arange(-n_nodes - 1, n_nodes)[_but_root(n_nodes)]):
        raise ValueError("nodes without one parent")
    if (children[children >= 0] <= parents[children >= 0]).any():
        raise ValueError("nodes before their parent")


def _but_root(n_nodes: int) -> npt.NDArray[np.bool_]:
    """Which of leaves and nodes, in order, are somebody's child; of a single leaf none is."""
    kept = np.ones(2 * n_nodes + 1, dtype=bool)
    kept[n_nodes + 1 :][:1] = False
    return kept if n_nodes else np.zeros(1, dtype=bool)


def _require_splits(
    lines: Mapping[str, str], n_nodes: int, n_sets: int, categorical: npt.NDArray[np.bool_]
) -> None:
    feature = _integers(lines["split_feature"], n_nodes)
    decision = _integers(lines["decision_type"], n_nodes)
    threshold = _numbers(lines["threshold"], n_nodes)
    if ((feature < 0) | (feature >= len(categorical))).any():
        raise ValueError("splits on columns that are not there")
    known = (decision >= 0) & (decision <= MOST_DECISIONS)
    is_set = (decision & CATEGORY) == 1
    if not known.all() or ((decision >> MISSING_SHIFT) > MOST_MISSING).any():
        raise ValueError("splits of another kind")
    if not np.array_equal(is_set, categorical[feature]):
        raise ValueError("splits of numbers by categories")
    chosen = threshold[is_set]
    if not np.array_equal(chosen, np.arange(n_sets)):
        raise ValueError("categories that are not there")
    if n_sets:
        _require_sets(lines, n_sets)


def _require_sets(lines: Mapping[str, str], n_sets: int) -> None:
    ends = _integers(lines["cat_boundaries"], n_sets + 1)
    sizes = np.diff(ends)
    if ends[0] != 0 or (sizes < 1).any() or (sizes > MOST_CODES // WORD).any():
        raise ValueError("sets of categories out of order")
    words = _integers(lines["cat_threshold"], int(ends[-1]))
    if ((words < 0) | (words >= 2**WORD)).any():
        raise ValueError("sets of categories beyond their bits")


def _lines(text: str, names: tuple[str, ...]) -> dict[str, str]:
    """Values by name, when the lines are exactly these."""
    parts = [line.partition("=") for line in text.split("\n")]
    if tuple(name for name, _, _ in parts) != names:
        raise ValueError("lines missing, twice or out of order")
    return {name: value for name, _, value in parts}


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"{text[:20]!r} is no count")
    return int(text)


def _integers(text: str, length: int | None = None) -> IntArray:
    if not INTEGERS.fullmatch(text):
        raise ValueError("no whole numbers where they must be")
    found = np.array(text.split(), dtype=np.int64)
    if length is not None and len(found) != length:
        raise ValueError(f"{len(found)} numbers instead of {length}")
    return found


def _numbers(text: str, length: int, *, lowest: float = -np.inf) -> Array:
    if not NUMBERS.fullmatch(text):
        raise ValueError("no numbers where they must be")
    found = np.array(text.split(), dtype=np.float64)
    if len(found) != length or not np.isfinite(found).all() or (found < lowest).any():
        raise ValueError(f"numbers out of their bounds, or not {length} of them")
    return found
