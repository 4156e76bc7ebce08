"""Amounts in whole cents that still add up."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")


def in_cents(amounts: Sequence[float]) -> list[float]:
    """Amounts rounded to cents whose sum is the rounded sum of the amounts (largest remainder).

    Source: Hamilton's method of apportionment; ties go to the earlier line.
    """
    exact = [Decimal(repr(float(amount))) for amount in amounts]
    floor = [amount.quantize(CENT, rounding=ROUND_FLOOR) for amount in exact]
    total = sum(exact, Decimal(0)).quantize(CENT, rounding=ROUND_HALF_EVEN)
    missing = int((total - sum(floor, Decimal(0))) / CENT)
    by_remainder = sorted(range(len(exact)), key=lambda i: (floor[i] - exact[i], i))
    for i in by_remainder[:missing]:
        floor[i] += CENT
    return [float(amount) for amount in floor]
