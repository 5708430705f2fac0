"""What of a rectification is sent, whichever vendor's."""

import pytest

from dpsync.vendor.corrections import Left
from dpsync.vendor.rectification import to_send


@pytest.mark.parametrize("held", ["", None, (), ("",)])
def test_what_is_empty_already_is_not_emptied_again(held: object) -> None:
    left = Left("the vendor", "the account", "", "field", "any length")
    assert to_send({"CITY": ""}, {"CITY": held}, left, lambda _: False) == {}
    assert to_send({"CITY": "Kent"}, {"CITY": held}, left, lambda _: False) == {"CITY": "Kent"}
