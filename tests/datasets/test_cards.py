"""Every data set has a card that says what it is and what misleads."""

import pytest

from uplift.datasets.cards import CARDS, card
from uplift.errors import DefinitionError


@pytest.mark.parametrize("name", ["complete_journey", "hillstrom", "plasmode_campaign", "simulate"])
def test_a_card_names_source_licence_columns_and_traps(name):
    found = card(name)
    assert found.name == name
    assert found.source
    assert found.licence
    assert found.columns
    assert found.traps
    assert found.traps[0] in found.table().text()
    assert found.title in found.to_json()


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(DefinitionError, match="complete_journey, hillstrom"):
        card("titanic")
    assert len(CARDS) == 4


def test_the_card_says_that_the_campaigns_were_not_randomised():
    assert "NOT randomised" in card("complete_journey").traps[0]


def test_the_card_says_that_the_plasmode_campaign_is_not_real():
    assert "SEMI-SYNTHETIC" in card("plasmode_campaign").traps[0]
