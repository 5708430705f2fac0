"""Who is asked to confirm a contact, in correct English for one and for several."""

import pytest

from dpsync.reports.duties import to_confirm


@pytest.mark.parametrize("asks", [True, False])
def test_one_confirms_its_contact_and_several_confirm_theirs(*, asks: bool) -> None:
    one = to_confirm("erasure", "the agency", "agency", asks=asks)
    two = to_confirm("erasure", "the agency and the printer", "agency printer", asks=asks)
    assert "the agency to confirm its contact" in one
    assert "the agency and the printer to confirm their contacts" in two
    assert ("the link in our email." in one) is ("the links in our emails." in two) is asks
