"""The reference printed in the documentation draws what the package draws."""

import re
from fractions import Fraction

import numpy as np
import pytest

from uplift.assignment.hashing import draw_arms, hash_units, inside, salt_of

MAX_LINES = 30
LAYOUTS = [
    {"control": "1/2", "a": "1/2"},
    {"control": "1/100", "a": "99/100"},
    {"control": "1/3", "a": "1/3", "b": "1/3"},
    {"control": "1/10", "a": "8/10", "b": "1/10"},
    {"control": "1/20", "a": "1/10", "b": "7/10", "c": "3/20"},
    {"control": "1/10", "a": "2/5", "b": "2/5", "c": "1/20", "d": "1/20"},
]


@pytest.fixture(scope="module")
def reference(root):
    text = (root / "docs" / "assignment-by-hash.md").read_text()
    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if "def arm_of" in block
    )
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= MAX_LINES
    imports = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    assert imports == {"hashlib", "unicodedata", "fractions"}
    names: dict = {}
    exec(compile(code, "assignment-by-hash.md", "exec"), names)
    return names


def random_ids(n_units):
    rng = np.random.default_rng(11)
    alphabets = [
        "abc019-_.@",
        "éüñçÅ",
        "e\u0301o\u0308",
        "客户订单",
        "клиент",
        "🛒🎁",
        "한국\u1112\u1161",
    ]
    return [
        "".join(rng.choice(list(alphabets[i % len(alphabets)]), size=rng.integers(1, 40)))
        for i in range(n_units)
    ]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_printed_reference_draws_the_same_arms(reference, layout):
    shares = {arm: Fraction(share) for arm, share in layout.items()}
    units, salt = random_ids(1_500), salt_of("spring", "arm")
    drawn = draw_arms(hash_units(units, salt=salt), shares)
    expected = [list(shares)[i] for i in drawn]
    assert [reference["arm_of"](salt, unit, shares) for unit in units] == expected


def test_the_printed_reference_lets_the_same_units_take_part(reference):
    units, salt = random_ids(1_500), salt_of("spring", "eligibility")
    start, end = Fraction(1, 7), Fraction(2, 3)
    expected = inside(hash_units(units, salt=salt), start, end).tolist()
    assert [reference["takes_part"](salt, unit, start, end) for unit in units] == expected
