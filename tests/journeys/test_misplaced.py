"""The settings name what a processor's account does not have: our operator's to correct, and no processor's no."""

from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.model import Right, State
from dpsync.store import tables as t
from tests.journeys.installation import MAILINGS, NEWSLETTER, installed, sqlite_url

ADA, BO = "ada@example.org", "bo@example.org"


@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT, Right.RESTRICTION])
def test_beside_an_audience_that_does_not_exist_all_others_are_told_and_the_operator_hears(
    right: Right, tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.sandbox.add(ADA)
        there.sandbox.add(BO)
        named = "".join(f'"{one}", ' for one in there.sandbox.audiences())
        there.restart(('base_url = "', f'audiences = ["gone123456", {named}]\nbase_url = "'))
        asked = there.ask(right, ADA)
        there.drive()
        assert there.is_so(asked), "told in the audience that is there"
        assert (there.state(asked), there.alerts()) == (State.PENDING, [("operator", "misplaced")])
        there.ask(right, BO, id="crm-2")
        for _ in range(8):
            there.drive(timedelta(hours=1))
        assert {one.paused_until for one in there.rows(t.account)} == {None}, "it keeps nobody else waiting"
        assert all(there.is_so(one) for one in there.asked)
        there.restart(('"gone123456", ', ""))
        there.drive(timedelta(hours=12))
        there.drive(timedelta(hours=12))
        assert {there.state(one) for one in there.asked} == {State.VERIFIED}
        assert [cause for _, cause in there.alerts() if cause in ("refused", "credential")] == []


def test_beside_a_client_that_is_not_ours_all_others_are_told_and_the_operator_hears(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=MAILINGS) as there:
        vendor = there.sandbox.campaign_monitor
        vendor.add(ADA, client="One", title="News")
        one = vendor.there(lambda there: next(one for home in there.accounts.values() for one in home.clients))
        there.restart(('base_url = "', f'clients = ["{"f" * 32}", "{one}"]\nbase_url = "'))
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert (there.state(asked, "mailings"), there.alerts()) == (State.PENDING, [("operator", "misplaced")])
        assert {status for _, status in vendor.holds(ADA)} == {"Unsubscribed", "Suppressed"}
