"""Who is asked to confirm a contact, in correct English for one and for several."""

import pytest

from dpsync.reports.duties import Asking, to_confirm


@pytest.mark.parametrize("asking", Asking)
def test_one_confirms_its_contact_and_several_confirm_theirs(asking: Asking) -> None:
    one = to_confirm("erasure", "the agency", "agency", asking)
    two = to_confirm("erasure", "the agency and the printer", "agency printer", asking)
    by_mail = asking is Asking.BY_MAIL
    assert ("the link in our email." in one) is ("the links in our emails." in two) is by_mail
    if asking is not Asking.NOT_TAKEN:
        assert "the agency to confirm its contact" in one
        assert "the agency and the printer to confirm their contacts" in two


def test_nobody_is_told_to_ask_for_a_link_that_our_own_mail_host_did_not_let_out() -> None:
    said = to_confirm("erasure", "the agency", "agency", Asking.NOT_TAKEN)
    assert "our mail host has not taken the question whether the agency confirms its contact" in said
    assert "waits for our operator" in said
    assert "--ask-contact" not in said
