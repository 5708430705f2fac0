"""Campaign Monitor's recorded answers: our connector understands them, and the imitation's have the same shape.

They are the fixtures of the vendor's own Python client (campaignmonitor/createsend-python, test/fixtures, MIT), as
copied in August 2026 into the folder that DPSYNC_VENDOR_SPECS names. Without it these tests are skipped and say so.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import Applied, AsAsked, CannotTell, Contradicts, Refused, Retryable
from dpsync.connectors.campaign_monitor.leaving import REACH_PART
from dpsync.errors import CredentialsRejected
from dpsync.model import Changes, Right
from dpsync.vendor.errors import NOT_DONE, UNDOCUMENTED
from tests.connectors.contract import Said, instruction
from tests.connectors.test_campaign_monitor import Only, Paired, no, notes
from tests.specification import FOLDER
from tests.unit.test_sandbox_campaign_monitor import ADA, BEN, CONSENT, Box, serving

PLACE = "campaign-monitor-fixtures"
HELD, SUPPRESSED, UNKNOWN = "subscriber@example.com", "example+2@example.com", "nobody@example.org"
PATH = re.compile(r"/api/v3\.3/(\w+)(?:/[0-9a-f]{32})?(?:/(\w+))?\.json")
ANSWERS = {
    ("clients", None): "clients",
    ("clients", "lists"): "lists",
    ("clients", "listsforemail"): "listsforemail",
    ("clients", "suppressionlist"): "suppressionlist",
    ("lists", None): "list_details",
    ("lists", "customfields"): "custom_fields",
    ("subscribers", None): "subscriber_details",
}


def raw(name: str) -> bytes:
    """One recorded body, byte for byte."""
    folder = Path(os.environ.get(FOLDER, "nowhere"), PLACE)
    if not folder.is_dir():
        pytest.skip(reason=f"{FOLDER} does not name a folder with {PLACE}")
    return (folder / f"{name}.json").read_bytes()


def recorded(name: str, status: int = 200) -> Said:
    return Said(status, {"Content-Type": "application/json; charset=utf-8"}, raw(name))


class Recorded:
    """Answers every read with what was recorded, and every write with the documented empty 200.

    `lists`: other list ids, where a recorded answer about one list must be about a list of the client.
    """

    def __init__(self, lists: Any = None, trouble: Said | None = None) -> None:
        self.lists = lists
        self.trouble = trouble
        self.writes: list[Any] = []

    def state(self) -> object:
        return None

    def answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(request.url or "")
        found = PATH.fullmatch(url.path)
        assert found, "every path ends in .json"
        if self.trouble is not None:
            return self.trouble
        if request.method != "GET":
            self.writes.append(json.loads(request.body or b"null"))
            return Said(200, {}, b"")
        if found[1] == "systemdate":
            return Said(200, {"Content-Type": "application/json"}, b'{"SystemDate": "2010-10-26 10:56:00"}')
        if found[1] == "subscribers" and parse_qs(url.query)["email"] != [HELD]:
            return no(203)
        if found.groups() == ("clients", "lists") and self.lists is not None:
            return Said(200, {"Content-Type": "application/json"}, json.dumps(self.lists).encode())
        # "clients" alone is the account's list of them; with an id something is asked of one
        return recorded(ANSWERS[found[1], found[2]])


# --- the connector understands them


def test_clients_and_lists_are_named() -> None:
    with Only().before(Recorded()) as stage:
        account = stage.connector.probe()
    assert account.title == "Client One, Client Two"
    assert "List One (a58ee1d3039b8bec838e6d1482a8a965)" in account.lists
    assert len(account.lists) == 4


@pytest.mark.parametrize(
    ("address", "reason"),
    [(HELD, "a record is still in use"), (SUPPRESSED, "the address is still suppressed"), (UNKNOWN, "")],
)
def test_a_record_and_an_entry_of_the_suppression_list_are_found(address: str, reason: str) -> None:
    with Only().before(Recorded()) as stage:
        finding = stage.read_back(instruction(Right.ERASURE, addresses=(address,)))
    assert finding.reason == reason if isinstance(finding, Contradicts) else isinstance(finding, AsAsked) and not reason


def test_name_and_fields_are_read_as_they_are_written_and_a_field_is_written_by_its_tag() -> None:
    same = Changes(first_name="Subscriber", last_name="One", fields={"[age]": "24", "subscription date": "2010/03/09"})
    other = Changes(fields={"website": "", "subscription date": "2026-11-20"})
    stand_in = Recorded()
    with Only().before(stand_in) as stage:
        told = {"addresses": (HELD,), "changes": same}
        assert isinstance(stage.read_back(instruction(Right.RECTIFICATION, **told)), AsAsked)
        assert isinstance(stage.tell(instruction(Right.RECTIFICATION, **told)), Applied)
        assert stand_in.writes == []
        stage.tell(instruction(Right.RECTIFICATION, addresses=(HELD,), changes=other))
    assert stand_in.writes[0]["CustomFields"] == [
        {"Key": "website", "Clear": True},
        {"Key": "subscriptiondate", "Value": "2026/11/20"},
    ]


def test_the_setting_of_a_list_decides_how_a_restriction_is_made() -> None:
    details = json.loads(raw("list_details"))
    stand_in = Recorded(lists=[{"ListID": details["ListID"], "Name": details["Title"]}])
    with Only().before(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, addresses=(HELD,))), Applied)
    assert stand_in.writes == [{"EmailAddresses": [HELD]}] * 2


def test_how_far_an_unsubscribe_reached_is_read() -> None:
    lists = [{"ListID": row["ListID"], "Name": row["ListName"]} for row in json.loads(raw("listsforemail"))]
    with Only().before(Recorded(lists=lists[:1])) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT, addresses=(HELD,)))
        assert isinstance(outcome, Applied)
        assert isinstance(stage.read_back(instruction(Right.OPT_OUT, addresses=(HELD,))), Contradicts)
    assert set(notes(outcome)) == {REACH_PART, NOT_DONE}


@pytest.mark.parametrize(("name", "status"), [("custom_api_error", 400), ("sample_client_error", 418)])
def test_a_code_that_nobody_documents_is_a_no_for_a_person_to_look_at(name: str, status: int) -> None:
    with Only().before(Recorded(trouble=recorded(name, status))) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Refused)
        assert outcome.reason == UNDOCUMENTED
        assert isinstance(stage.read_back(instruction(Right.OPT_OUT)), CannotTell)


def test_a_server_error_is_later_and_a_401_stops_the_account() -> None:
    with Only().before(Recorded(trouble=recorded("sample_server_error", 500))) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Retryable)
    with (
        Only().before(Recorded(trouble=recorded("custom_api_error", 401))) as stage,
        pytest.raises(CredentialsRejected),
    ):
        stage.tell(instruction(Right.OPT_OUT))


class Expiring(Recorded):
    """The token is expired; a new one comes, or `refusal` does."""

    refusal: Said | None = None

    def answer(self, request: requests.PreparedRequest) -> Said:
        if urlsplit(request.url or "").path == "/oauth/token":
            return self.refusal or recorded("refresh_oauth_token")
        fresh = json.loads(raw("refresh_oauth_token"))["access_token"]
        if request.headers["Authorization"] != f"Bearer {fresh}":
            return recorded("expired_oauth_token_api_error", 401)
        return super().answer(request)


def test_an_expired_token_is_renewed() -> None:
    with Paired().before(Expiring()) as stage:
        assert stage.connector.probe().title == "Client One, Client Two"
    refused = Expiring()
    refused.refusal = recorded("oauth_exchange_token_error", 400)
    with Paired().before(refused) as stage, pytest.raises(CredentialsRejected, match="authorise the app anew"):
        stage.connector.probe()


# --- the imitation has the same shape


class Shown:
    """What the imitation answers under the name of each recording."""

    def __init__(self, box: Box) -> None:
        self.box = box
        for held, who in ((box.news, ADA), (box.news, BEN), (box.events, ADA)):
            box.add(held, who, "Active", ("City", "Kent"))
        box.vendor.give_token(box.account, "access", "refresh")

    def listed(self, state: str, **query: str) -> Any:
        self.box.news.members[ADA].state = state
        return self.box.call("GET", f"/lists/{self.box.news.id}/{state.lower()}", **query).json()

    def imported(self, *addresses: str) -> Any:
        rows = [{"EmailAddress": one, **CONSENT} for one in addresses]
        return self.box.call("POST", f"/subscribers/{self.box.news.id}/import", {"Subscribers": rows}).json()

    def hooks(self) -> Any:
        path = f"/lists/{self.box.news.id}/webhooks"
        self.box.call("POST", path, {"Events": ["Update"], "Url": "http://127.0.0.1:1/", "PayloadFormat": "json"})
        return self.box.call("GET", path).json()

    def renewed(self, token: str = "refresh") -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return requests.post(f"{self.box.url}/oauth/token", data=form, timeout=60).json()

    def expired(self) -> Any:
        self.box.account.tokens["access"].state = "expired"
        bearer = {"Authorization": "Bearer access"}
        return requests.get(f"{self.box.url}/api/v3.3/clients.json", headers=bearer, timeout=60).json()

    def suppressed(self) -> Any:
        self.box.handle.act(ADA, "suppress")
        return self.box.call("GET", f"/clients/{self.box.one}/suppressionlist").json()

    def read(self, path: str, **query: str) -> Any:
        return self.box.call("GET", path.format(list=self.box.news.id, client=self.box.one), **query).json()


CONSENT_TOO = {"includetrackingpreference": "true"}
IMITATED: Mapping[str, Callable[[Shown], Any]] = {
    "active_subscribers_with_tracking_preference": lambda shown: shown.listed("Active", **CONSENT_TOO),
    "bounced_subscribers": lambda shown: shown.listed("Bounced"),
    "clients": lambda shown: shown.read("/clients"),
    "custom_api_error": lambda shown: shown.read("/subscribers/{list}", email="unknown@example.org"),
    "custom_fields": lambda shown: shown.read("/lists/{list}/customfields"),
    "deleted_subscribers": lambda shown: shown.listed("Deleted"),
    "expired_oauth_token_api_error": Shown.expired,
    "import_subscribers": lambda shown: shown.imported("new@example.org"),
    "import_subscribers_partial_success": lambda shown: shown.imported("new@example.org", "nonsense"),
    "list_details": lambda shown: shown.read("/lists/{list}"),
    "list_webhooks": Shown.hooks,
    "lists": lambda shown: shown.read("/clients/{client}/lists"),
    "listsforemail": lambda shown: shown.read("/clients/{client}/listsforemail", email=ADA),
    "oauth_exchange_token": Shown.renewed,
    "oauth_exchange_token_error": lambda shown: shown.renewed("unknown"),
    "refresh_oauth_token": Shown.renewed,
    "subscriber_details": lambda shown: shown.read("/subscribers/{list}", email=ADA),
    "subscriber_details_with_tracking_preference": lambda shown: shown.read(
        "/subscribers/{list}", email=ADA, **CONSENT_TOO
    ),
    "suppressionlist": Shown.suppressed,
    "unconfirmed_subscribers": lambda shown: shown.listed("Unconfirmed"),
    "unsubscribed_subscribers": lambda shown: shown.listed("Unsubscribed"),
}
"""How the imitation is brought to answer as each recording does."""
NOT_IMITATED = {
    *("list_stats", "segments", "segment_details", "subscriber_history"),
    *("sample_client_error", "sample_server_error"),
}
"""Of no right's concern, or made up for the client's own tests."""


def assert_same_shape(ours: object, theirs: object, at: str = "") -> None:
    """The same keys and kinds of value; of a list each of ours is as the first of theirs."""
    assert type(ours) is type(theirs), at
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        assert set(ours) == set(theirs), at
        for name, value in ours.items():
            assert_same_shape(value, theirs[name], f"{at}/{name}")
    if isinstance(ours, list) and isinstance(theirs, list) and theirs:
        for value in ours:
            assert_same_shape(value, theirs[0], f"{at}[]")


@pytest.mark.parametrize("name", IMITATED)
def test_what_the_imitation_answers_has_the_recorded_shape(name: str) -> None:
    theirs = json.loads(raw(name))
    with serving() as box:
        ours = IMITATED[name](Shown(box))
    assert ours, "an empty answer shows no shape"
    assert_same_shape(ours, theirs)
    if "Code" in theirs and name != "custom_api_error":
        assert (ours["Code"], ours["Message"]) == (theirs["Code"], theirs["Message"])


def test_every_recording_is_imitated_or_left_out_by_name() -> None:
    raw("clients")
    assert {one.stem for one in Path(os.environ[FOLDER], PLACE).glob("*.json")} == {*IMITATED, *NOT_IMITATED}
