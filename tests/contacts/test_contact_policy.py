import pytest

from uplift.contacts.policy import ContactPolicy, load_policy
from uplift.errors import DefinitionError
from uplift.experiment import load_experiment

GOOD = {"currency": "EUR", "channels": {"mail_5": "email", "call": "telephone"}}


def refused(**changes):
    with pytest.raises(DefinitionError) as caught:
        ContactPolicy(**{**GOOD, **changes})
    return caught.value


@pytest.fixture(scope="module")
def voucher(root):
    return load_experiment(root / "experiments" / "spring_voucher")


def test_the_shipped_policy_takes_channels_and_currency_from_its_experiment(root, voucher):
    file = root / "experiments" / "spring_voucher" / "contact_policy.yaml"
    policy = load_policy(file, experiment=voucher)
    assert policy.currency == "USD"
    assert policy.channels == {"email": "email", "post": "post", "telephone": "telephone"}
    assert policy.action("email") == "email:voucher"
    assert policy.budget is not None
    assert "telephone" in policy.max_volume


def test_a_policy_file_that_names_an_arm_the_experiment_has_not_is_refused(tmp_path, voucher):
    file = tmp_path / "policy.yaml"
    file.write_text("budget: 10\nchannels: {fax: fax}\noffers: {}\n")
    with pytest.raises(DefinitionError, match="line 2: arm 'fax' is no treatment") as caught:
        load_policy(file, experiment=voucher)
    assert caught.value.code == "ARM_UNKNOWN"


def test_a_policy_file_in_another_currency_than_its_experiment_is_refused(tmp_path, voucher):
    file = tmp_path / "policy.yaml"
    file.write_text("currency: EUR\n")
    with pytest.raises(DefinitionError, match="EUR") as caught:
        load_policy(file, experiment=voucher)
    assert caught.value.code == "CURRENCY_MISMATCH"


def test_a_misspelled_key_is_refused_with_its_line(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("currency: EUR\nchannels: {mail: email}\nbudgett: 10\n")
    with pytest.raises(DefinitionError, match="line 3"):
        load_policy(file)


def test_an_unknown_channel_in_a_rule_is_refused_by_name():
    error = refused(max_volume={"fax": 10})
    assert error.code == "CHANNEL_UNKNOWN"
    assert "fax" in str(error)


def test_a_minimum_above_the_maximum_is_refused():
    error = refused(min_volume={"email": 11}, max_volume={"email": 10})
    assert error.code == "VOLUME_BOUNDS"
    assert "email" in str(error)


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_a_budget_that_is_no_amount_is_refused(budget):
    assert refused(budget=budget).code == "BUDGET_INVALID"


def test_a_negative_volume_and_a_policy_without_channels_are_refused():
    assert refused(max_volume={"email": -1}).code == "DEFINITION_INVALID"
    assert refused(channels={}).code == "CHANNEL_MISSING"
    assert refused(channels={"control": "email"}).code == "CHANNEL_CONTROL"
    assert refused(offers={"fax": "voucher"}).code == "ARM_UNKNOWN"


def test_an_arm_without_a_channel_is_its_own_channel():
    policy = ContactPolicy(currency="EUR", channels={"programme": "programme"})
    assert policy.action("programme") == "programme"
    assert policy.channel_names == ("programme",)
