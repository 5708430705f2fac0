"""Google Analytics: the shared contract, and each trap of the User Deletion API under its name.

Shapes: discovery document analytics.v3, revision 20190807, and the reference of userDeletionRequest; errors as sibling
Analytics interfaces have them; the token endpoint as RFC 6749, section 5 (all as read in November 2026).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from pydantic import ValidationError

from dpsync.connector import (
    Accepted,
    CannotTell,
    Connector,
    Instruction,
    Kit,
    NotIdentifiable,
    Outcome,
    Refused,
    Retryable,
)
from dpsync.connectors.google_analytics import GoogleAnalytics
from dpsync.connectors.google_analytics.calls import NO_RIGHT, WRONG, GoogleAnalyticsSettings
from dpsync.connectors.google_analytics.ids import (
    ADDRESS,
    BAD_ID,
    ENCODED,
    NO_APP,
    NO_ID,
    OTHER_COOKIE,
    OWN,
    SESSION,
    SEVERAL,
    SHORTENED,
    TEMPLATE,
    UNKNOWN_FORM,
    UNSET,
)
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.model import Right
from dpsync.vendor.errors import BLOCKED
from dpsync.vendor.pace import DAY_SPENT
from tests.connectors.contract import (
    SECRET,
    Hands,
    HttpContract,
    HttpStage,
    Said,
    assert_clean,
    built_in_a_rehearsal_only,
    instruction,
)
from tests.connectors.held import Held

ONE, TWO = "312345678", "412345678"
COOKIE = "1148903321.1767225600"
SCOPE = "https://www.googleapis.com/auth/analytics.user.deletion"
SECTION: Mapping[str, object] = {
    "client_id": "4711.apps.example.org",
    "client_secret": f"client-{SECRET}",
    "refresh_token": f"refresh-{SECRET}",
    "properties": [ONE, TWO],
    "user_id": True,
}
Id = tuple[str, str]


def said(status: int, body: object, **headers: str) -> Said:
    return Said(status, {"Content-Type": "application/json; charset=UTF-8", **headers}, json.dumps(body).encode())


def no(status: int, reason: str, **headers: str) -> Said:
    told = {"message": "No.", "domain": "global", "reason": reason}
    return said(status, {"error": {"code": status, "message": "No.", "errors": [told]}}, **headers)


@dataclass
class StandIn:
    """Takes any id there is, as the real one does; `held` is what it has collected, by property."""

    held: dict[str, set[Id]] = field(default_factory=dict)
    asked: list[tuple[str, Id]] = field(default_factory=list)
    renewals: int = 0
    scope: str = SCOPE
    at: datetime = datetime(2026, 11, 20, 9, 0, 1, 120_000, UTC)
    instead: dict[str, Said] = field(default_factory=dict)
    """What is answered about a property, or to a renewal of the token (`token`)."""
    dead: set[str] = field(default_factory=set)

    def state(self) -> object:
        return {place: sorted(ids) for place, ids in self.held.items()}

    def holds(self) -> Iterator[Held]:
        return (Held(place, name) for place, ids in self.held.items() for _, name in ids)

    def hold(self, records: Iterable[Held]) -> None:
        self.held = {place: set() for place in self.held}
        for one in records:
            self.held[one.place].add(("USER_ID", one.address))

    def answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(request.url or "")
        assert request.method == "POST"
        if url.path == "/token":
            form = parse_qs(str(request.body if isinstance(request.body, str) else (request.body or b"").decode()))
            assert (url.netloc, form["grant_type"]) == ("oauth2.googleapis.com", ["refresh_token"])
            self.renewals += 1
            token = {"access_token": f"ya29.{self.renewals}", "expires_in": 3599, "token_type": "Bearer"}
            return self.instead.get("token") or said(200, {**token, "scope": self.scope})
        assert (url.netloc, url.path) == (
            "www.googleapis.com",
            "/analytics/v3/userDeletion/userDeletionRequests:upsert",
        )
        if request.headers["Authorization"].removeprefix("Bearer ") in self.dead:
            return no(401, "authError")
        body = json.loads(request.body or b"")
        return self.instead.get(body["propertyId"]) or self.upsert(body)

    def upsert(self, body: dict[str, Any]) -> Said:
        one = (body["id"]["type"], body["id"]["userId"])
        self.asked.append((body["propertyId"], one))
        self.held.get(body["propertyId"], set()).discard(one)
        self.at += timedelta(seconds=1)
        return said(200, {**body, "deletionRequestTime": self.at.isoformat(timespec="milliseconds")[:-6] + "Z"})


class Asks(HttpContract):
    """The contract for a vendor that says yes to everything; not collected by its name."""

    connector = GoogleAnalytics
    section: ClassVar[Mapping[str, object]] = SECTION
    done = Accepted
    nothing = Accepted  # an id that it never saw is accepted as well
    found = CannotTell
    places = (ONE, TWO)
    given = ("Bearer ya29.",)
    known_as = ("crm-4711", "crm-4712", "crm-4713")

    def telling(self, right: Right, known_as: tuple[str, ...], **more: Any) -> Instruction:
        """It knows people by ids and by nothing else."""
        return instruction(right, references={"google_analytics": tuple(f"USER_ID:{one}" for one in known_as)}, **more)

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        return StandIn({place: {("USER_ID", "crm-4711")} if held else set() for place in (ONE, TWO)})

    def built(self, kit: Kit) -> Connector:
        return GoogleAnalytics(GoogleAnalyticsSettings.model_validate(self.section), kit, sleep=lambda _: None)

    def refusal(self, status: int) -> Said:
        return no(status, "trouble")

    def error(self, status: int, code: int | str) -> Said:
        return no(status, str(code))

    def writing(self, request: requests.PreparedRequest) -> bool:
        """A new access token changes nothing that is held there."""
        return not (request.url or "").endswith("/token")


class TestGoogleAnalytics(Asks):
    def test_what_cannot_be_read_back_is_not_found_as_asked(self, right: Right) -> None:
        """Nothing can be read back at all, so no call is made and no time will come."""
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            calls = stage.calls()
            stage.clock.seconds += 70 * 86_400
            finding = stage.read_back(instruction(right))
            assert isinstance(finding, CannotTell)
            assert (finding.later, stage.calls()) == (False, calls)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_rejected_credential_stops_everything(self, right: Right, status: int) -> None:
        (trouble,) = self.answers(status, own=True, **{"X-Request-Id": "r-1"})
        for number in (1, 2, 3):
            with self.stage(right, trouble=trouble, from_call=number) as stage:
                with pytest.raises(CredentialsRejected) as caught:
                    stage.tell(instruction(right))
                assert (caught.value.status, caught.value.request_id) == (status, "r-1")
        with self.stage(right, trouble=trouble) as stage, pytest.raises(CredentialsRejected):
            stage.connector.probe()

    def test_every_call_is_https_and_carries_a_credential_and_no_person_in_its_query(self, right: Right) -> None:
        """The exchange of tokens has its credential in the body, and there alone."""
        with self.stage(right) as stage:
            stage.tell(instruction(right))
        assert stage.sent
        for request in stage.sent:
            url = urlsplit(request.url or "")
            assert (url.scheme, url.query) == ("https", "")
            assert self.carries_a_credential(request)


class Only(Asks):
    """The same stage for the tests of this vendor alone; not collected by its name."""


def on_stage(stand_in: StandIn, **more: object) -> AbstractContextManager[HttpStage]:
    class Given(Only):
        section: ClassVar[Mapping[str, object]] = {**SECTION, **more}

    return Given().before(stand_in)


def told(stand_in: StandIn, *ids: str, **more: Any) -> Outcome:
    with on_stage(stand_in, user_id=False, **more) as stage:
        return stage.tell(instruction(Right.ERASURE, references={"google_analytics": ids}))


# --- identifiers


def test_each_id_is_asked_for_once_in_each_property() -> None:
    stand_in = StandIn()
    outcome = told(stand_in, COOKIE, "USER_ID:member:7", "APP_INSTANCE_ID:0a1b", f"CLIENT_ID:{COOKIE}")
    assert isinstance(outcome, Accepted)
    assert [one.scope for one in outcome.evidence] == ["", *[ONE] * 3, *[TWO] * 3]
    ids = [("CLIENT_ID", COOKIE), ("USER_ID", "member:7"), ("APP_INSTANCE_ID", "0a1b")]
    assert stand_in.asked == [(place, one) for place in (ONE, TWO) for one in ids]


@pytest.mark.parametrize("addresses", [(), ("ada@example.org",)])
def test_without_an_id_nobody_is_identifiable_and_never_nothing_held(addresses: tuple[str, ...]) -> None:
    with on_stage(StandIn(), user_id=False) as stage:
        outcome = stage.tell(instruction(Right.ERASURE, addresses=addresses, references={"mailchimp": ("7",)}))
        assert isinstance(outcome, NotIdentifiable)
        assert outcome.reason == NO_ID
        assert stage.calls() == 0


@pytest.mark.parametrize(
    "reference",
    [
        COOKIE,
        f" {COOKIE}\n",
        f"GA1.2.{COOKIE}",
        f"GA1.3.{COOKIE}",
        f"GA1.1-2.{COOKIE}",
        f"_ga=GA1.2.{COOKIE}",
        f"_ga=GA1.2.{COOKIE};",
        f"_ga = GA1.2.{COOKIE}",
        f"_ga: GA1.2.{COOKIE}",
        f"CLIENT_ID:_ga=GA1.1.{COOKIE}",
        f"GA1.2.{COOKIE}\u00a0",
        f"CLIENT_ID:{COOKIE}",
        f"CLIENT_ID:GA1.2.{COOKIE}",
    ],
)
def test_a_whole_cookie_is_the_client_id_in_it(reference: str) -> None:
    stand_in = StandIn()
    assert isinstance(told(stand_in, reference, COOKIE), Accepted)
    assert stand_in.asked == [(place, ("CLIENT_ID", COOKIE)) for place in (ONE, TWO)]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        *((one, BAD_ID) for one in ("ada:17", "client_id:1.2", "1.2 3.4", "é", "x" * 257)),
        *((one, UNSET) for one in ("undefined", "null", "NaN", "0", "-", '"null"', "[object Object]", "(not set)")),
        *(
            (one, UNSET)
            for one in ("CLIENT_ID:", "USER_ID:undefined", "APP_INSTANCE_ID:null", "GA1.2.", "GA1.2.NaN.NaN")
        ),
        *(
            (f"{kind}:{one}", UNSET)
            for kind in ("CLIENT_ID", "USER_ID")
            for one in ("denied", "REDACTED", "(deleted)", "no-consent", "consent_denied", "guest", "Anonymous", "0.0")
        ),
        *((one, UNSET) for one in ("USER_ID:00000000-0000-0000-0000-000000000000", "GA1.2.0000000000.0000000000")),
        *((one, UNSET) for one in ("APP_INSTANCE_ID:00000000000000000000000000000000", "CLIENT_ID:0000")),
        *(
            (f"{kind}:{one}", TEMPLATE)
            for kind in ("CLIENT_ID", "USER_ID")
            for one in ("{{user_id}}", "%USER%", "${user.id}", "{userId}", "<user-id>", "[USER_ID]", "user_id", "$uid")
        ),
        *((one, ENCODED) for one in ("GA1.2.1148903321%2E1767225600", "_ga=GA1%2E2%2E1148903321%2E1767225600")),
        *((one, ENCODED) for one in ("CLIENT_ID:1148903321%2e1767225600", "USER_ID:member%2F7", "GA1.2%2E1.2")),
        *(
            (one, ADDRESS)
            for one in ("ada%40example.org", "ada@example.org", "mailto:ada@example.org", "USER_ID:ada@example.org")
        ),
        *((one, SESSION) for one in ("GS1.1.1767225600.3.1.1767226000.0.0.0", "USER_ID:GS1.1.1767225600.3")),
        *((one, SESSION) for one in ("GS2.1.s1767225600$o3$g1$t1767226000$j60$l0$h0", "_ga_ABC123=GS1.1.1767225600")),
        *((one, OTHER_COOKIE) for one in ("fb.1.1596403881668.1116446470", f"1.1.{COOKIE}", f"_gid=GA1.2.{COOKIE}")),
        *((one, OTHER_COOKIE) for one in (f"USER_ID:GA1.2.{COOKIE}", f"_ga=GA1.2.{COOKIE}; _gid=GA1.2.1.2", "GA1.2")),
        *((one, OWN) for one in ("G-ABC123DEF4", "UA-12345-1", "CLIENT_ID:GTM-ABC123")),
        *((one, SHORTENED) for one in ("1148903321.17672", "GA1.2.1148903321.17672256", "1.14890332117672E+09")),
        *((one, UNKNOWN_FORM) for one in ("c-1", "member-7", "4711", "GA1.2.1148903321", "GA1.2.1148903321.", "1..2")),
        # its second part is the time when the cookie was made, in ten figures: anything else is a number of somebody's
        *((one, UNKNOWN_FORM) for one in ("1.0", "12345.67890", "GA1.2.20.5", "_ga=GA1.1.1148903.176722560")),
        *(
            (one, UNKNOWN_FORM)
            for one in ("GA1.1.x_y", "GA1.1.c-2", "CLIENT_ID:GA1.1.x_y", "_ga=GA1.1.1148903321_1767225600")
        ),
        *(
            (one, UNSET)
            for one in ("GA1.2.1148903321.undefined", "null.1767225600", "GA1.2.NaN.1767225600", "[object Promise]")
        ),
        *(
            (one, UNSET)
            for one in ("GA1.2.opt-out", "CLIENT_ID:opted_out", "(not provided)", "not provided", "Infinity")
        ),
        *(
            (one, SEVERAL)
            for one in (f"{COOKIE},{COOKIE}", f"{COOKIE};{COOKIE}", f"{COOKIE} {COOKIE}", f"{COOKIE}{COOKIE}")
        ),
        *((one, SEVERAL) for one in (f"GA1.2.{COOKIE}GA1.2.{COOKIE}", f"GA1.2.{COOKIE}\nGA1.2.{COOKIE}")),
        *((one, SEVERAL) for one in (f"CLIENT_ID:{COOKIE}|{COOKIE}", f"USER_ID:{COOKIE},{COOKIE}")),
        *((one, TEMPLATE) for one in ("@@CID@@", "##cid##", "__CID__", "*|CID|*", "{%cid%}", ":cid", "CLIENT_ID_HERE")),
        *((one, TEMPLATE) for one in ("1111111111.1111111111", "1234567890.1234567890", "GA1.2.123456789.1234567890")),
        *((f"{kind}:CLIENT_ID:{COOKIE}", BAD_ID) for kind in ("CLIENT_ID", "USER_ID")),
        *(
            (one, BAD_ID)
            for one in (f"client_id:{COOKIE}", f"\u200b{COOKIE}", f"\ufeff{COOKIE}", "１１４８.1767225600")
        ),
        *((one, UNKNOWN_FORM) for one in (f'"{COOKIE}"', f"'{COOKIE}'", f"ga1.2.{COOKIE}", "amp-x", "amp-undefined")),
        *(
            (one, UNKNOWN_FORM)
            for one in (f"-{COOKIE}", "1148903321-1767225600", "test", f"{COOKIE}000", "properties/17")
        ),
        *((one, OTHER_COOKIE) for one in (f"GA1.2.3.{COOKIE}", f"{COOKIE}.1", "_gcl_au=1.1.1.1", "FPID2.2.abc.123")),
        ("APP_INSTANCE_ID:member-7", NO_APP),
    ],
)
def test_what_is_no_id_is_named_and_not_sent_where_every_id_is_accepted(reference: str, reason: str) -> None:
    stand_in = StandIn()
    outcome = told(stand_in, COOKIE, reference)
    assert isinstance(outcome, NotIdentifiable)
    assert outcome.reason == f"{reason}; 1 of 2 ids can be used, and nothing is sent before all can be"
    assert stand_in.asked == []


def test_each_kind_of_fault_is_named() -> None:
    outcome = told(StandIn(), "undefined", "null", "ada@example.org")
    assert isinstance(outcome, NotIdentifiable)
    assert outcome.reason == f"{UNSET}; {ADDRESS}"


def test_a_site_may_name_its_visitors_as_it_likes() -> None:
    stand_in = StandIn()
    ids = (
        "CLIENT_ID:c-1",
        "USER_ID:_a=1.2.3",
        "USER_ID:A1",
        "USER_ID:a1",
        "USER_ID:guest-17",
        "USER_ID:{35009a79-1a05-49d7-b876-2b884d0f825b}",
        "USER_ID:100",
        "APP_INSTANCE_ID:0A1B",
        "35009a79-1a05-49d7-b876-2b884d0f825b",
    )
    assert isinstance(told(stand_in, *ids), Accepted)
    assert len(stand_in.asked) == 2 * len(ids)


@pytest.mark.parametrize("sends", [True, False])
def test_the_subjects_own_id_is_an_id_here_only_where_the_site_sends_it(sends: bool) -> None:
    stand_in = StandIn()
    with on_stage(stand_in, user_id=sends) as stage:
        stage.tell(instruction(Right.ERASURE, references={"google_analytics": (COOKIE,)}))
    assert ((ONE, ("USER_ID", "crm-4711")) in stand_in.asked) is sends


# --- accepted, and never more


def test_the_answer_is_owed_when_the_servers_run_is_over_not_when_a_report_hides_the_person() -> None:
    outcome = told(StandIn(), COOKIE)
    assert isinstance(outcome, Accepted)
    assert outcome.answer_by == datetime(2026, 11, 20, 9, 0, 3, 120_000, UTC) + timedelta(days=62)


def test_the_latest_of_all_moments_counts_in_whatever_order_they_are_told() -> None:
    early, late = ({"id": {"type": "CLIENT_ID", "userId": COOKIE}, "propertyId": place} for place in (TWO, ONE))
    early |= {"deletionRequestTime": "2026-11-20T09:00:01Z"}
    late |= {"deletionRequestTime": "2026-11-20T09:00:09Z"}
    outcome = told(StandIn(instead={ONE: said(200, late), TWO: said(200, early)}), COOKIE)
    assert isinstance(outcome, Accepted)
    assert outcome.answer_by == datetime(2026, 11, 20, 9, 0, 9, tzinfo=UTC) + timedelta(days=62)


def test_the_first_answer_is_kept_as_proof_and_not_asked_for_again() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        first = stage.tell(instruction(Right.ERASURE))
        again = stage.tell(instruction(Right.ERASURE))
        assert isinstance(first, Accepted)
        assert isinstance(again, Accepted)
        assert again.answer_by == first.answer_by
        assert len(stand_in.asked) == 2
        kept = stage.connector._kit.shelf.find("asked/ref-1/")  # type: ignore[attr-defined]  # because it is this connector's own
        assert sorted(kept.values()) == ["2026-11-20T09:00:02.120000+00:00", "2026-11-20T09:00:03.120000+00:00"]
        stage.tell(instruction(Right.ERASURE, reference="ref-2"))
        assert len(stand_in.asked) == 4, "who came back and asks anew has a cause"


@pytest.mark.parametrize("answer", [said(500, {}), no(500, "backendError")])
def test_a_cut_attempt_goes_on_with_what_was_not_answered(answer: Said) -> None:
    stand_in = StandIn(instead={TWO: answer})
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        stand_in.instead.clear()
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Accepted)
    assert [place for place, _ in stand_in.asked] == [ONE, TWO]


@pytest.mark.parametrize(("answer", "doubtful"), [(no(500, "backendError"), True), (no(403, "quotaExceeded"), False)])
def test_of_a_single_property_only_what_may_have_been_done_is_in_doubt(answer: Said, *, doubtful: bool) -> None:
    outcome = told(StandIn(instead={ONE: answer}), COOKIE, properties=[ONE])
    assert isinstance(outcome, Retryable)
    assert outcome.doubtful is doubtful


def test_a_no_about_one_property_keeps_no_other_waiting() -> None:
    stand_in = StandIn(instead={ONE: no(400, "invalidParameter")})
    outcome = told(stand_in, COOKIE)
    assert isinstance(outcome, Refused)
    assert outcome.reason == WRONG
    assert [place for place, _ in stand_in.asked] == [TWO]


@pytest.mark.parametrize(
    "change",
    [
        {"deletionRequestTime": None},
        {"deletionRequestTime": "soon"},
        {"deletionRequestTime": "9999-01-01T00:00:00Z"},
        {"deletionRequestTime": "2026-11-20T09:00:00"},
        {"propertyId": TWO},
        {"propertyId": None, "webPropertyId": "UA-1-1"},
        {"id": {"type": "CLIENT_ID", "userId": "another"}},
    ],
)
def test_a_200_that_is_not_the_answer_to_this_request_is_in_doubt(change: dict[str, object]) -> None:
    whole = {"id": {"type": "CLIENT_ID", "userId": COOKIE}, "propertyId": ONE}
    answer = {**whole, "deletionRequestTime": "2026-11-20T09:00:00.120Z"}
    outcome = told(StandIn(instead={ONE: said(200, answer | change)}), COOKIE, properties=[ONE])
    assert isinstance(outcome, Retryable)
    assert outcome.doubtful
    for last in (answer, {**answer, "deletionRequestTime": "9998-12-31T23:59:59Z"}):
        assert isinstance(told(StandIn(instead={ONE: said(200, last)}), COOKIE, properties=[ONE]), Accepted)


# --- quotas


def test_a_property_is_called_no_faster_than_its_pace() -> None:
    slept: list[float] = []
    clock, stand_in = Hands(), StandIn()

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        clock.seconds += seconds

    class Paced(Only):
        def built(self, kit: Kit) -> Connector:
            settings = GoogleAnalyticsSettings.model_validate(SECTION)
            given = Kit(kit.http, clock, kit.pseudonym, kit.shelf)
            return GoogleAnalytics(settings, given, sleep=sleep)

    with Paced().before(stand_in) as stage:
        ids = ("1.1767225600", "2.1767225600", "3.1767225600")
        stage.tell(instruction(Right.ERASURE, references={"google_analytics": ids}))
    assert len(stand_in.asked) == 8
    assert slept == [0.7] * 6


def test_the_501st_query_of_a_day_waits_for_the_next_one() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, properties=[ONE], user_id=False) as stage:
        ids = tuple(f"{number + 1}.1767225600" for number in range(501))
        told = instruction(Right.ERASURE, references={"google_analytics": ids})
        outcome = stage.tell(told)
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.busy) == (DAY_SPENT, True)
        assert outcome.retry_after == timedelta(hours=23), (
            "to midnight at Google, from one o'clock in the morning there"
        )
        assert len(stand_in.asked) == 500
        stage.clock.seconds += 23 * 3600 - 1
        assert isinstance(stage.tell(told), Retryable)
        stage.clock.seconds += 1
        assert isinstance(stage.tell(told), Accepted)
        assert len(stand_in.asked) == 501


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    ("reason", "wait"),
    [
        ("quotaExceeded", timedelta(hours=23)),
        ("dailyLimitExceeded", timedelta(hours=23)),
        ("rateLimitExceeded", None),
        ("userRateLimitExceeded", None),
    ],
)
def test_a_used_up_quota_is_later_whatever_its_status(status: int, reason: str, wait: timedelta | None) -> None:
    outcome = told(StandIn(instead={ONE: no(status, reason)}), COOKIE)
    assert isinstance(outcome, Retryable)
    assert (outcome.busy, outcome.doubtful, outcome.retry_after) == (True, False, wait)


def test_of_several_reasons_the_first_counts() -> None:
    reasons = [{"domain": "usageLimits", "reason": one} for one in ("quotaExceeded", "forbidden")]
    answer = said(403, {"error": {"code": 403, "message": "x", "errors": reasons}})
    outcome = told(StandIn(instead={ONE: answer}), COOKIE)
    assert isinstance(outcome, Retryable)
    assert outcome.busy


@pytest.mark.parametrize(
    ("later", "wait"),
    [
        (timedelta(minutes=30, seconds=5.25), timedelta(hours=22, minutes=29, seconds=54.75)),
        (timedelta(hours=22, minutes=59, seconds=59.5), timedelta(seconds=0.5)),
        (timedelta(hours=23), timedelta(hours=24)),
        # the day on which the clocks go forward there, 14 March 2027, has 23 hours
        (timedelta(days=114), timedelta(hours=22)),
    ],
)
def test_a_day_at_google_ends_at_midnight_pacific_time_to_the_second(later: timedelta, wait: timedelta) -> None:
    with on_stage(StandIn(instead={ONE: no(403, "dailyLimitExceeded")}), user_id=False) as stage:
        stage.clock.seconds += later.total_seconds()
        outcome = stage.tell(instruction(Right.ERASURE, references={"google_analytics": (COOKIE,)}))
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after == wait


@pytest.mark.parametrize("reason", ["forbidden", "insufficientPermissions", "accessNotConfigured"])
def test_a_403_about_rights_is_a_matter_of_the_credential(reason: str) -> None:
    with pytest.raises(CredentialsRejected) as caught:
        told(StandIn(instead={ONE: no(403, reason)}), COOKIE)
    assert NO_RIGHT in str(caught.value)


# --- the token


def test_a_token_is_kept_for_its_time_and_renewed_a_minute_early() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        for number, (seconds, renewals) in enumerate([(0, 1), (3530, 1), (10, 2)]):
            stage.clock.seconds += seconds
            stage.tell(instruction(Right.ERASURE, reference=f"ref-{number}"))
            assert stand_in.renewals == renewals


def test_a_token_that_ended_early_is_renewed_once() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        stand_in.dead = {"ya29.1"}
        assert isinstance(stage.tell(instruction(Right.ERASURE, reference="ref-2")), Accepted)
        stand_in.dead = {f"ya29.{number}" for number in range(10)}
        with pytest.raises(CredentialsRejected):
            stage.tell(instruction(Right.ERASURE, reference="ref-3"))
    assert stand_in.renewals == 3
    new = StandIn(dead={"ya29.1", "ya29.2"})
    with on_stage(new) as stage, pytest.raises(CredentialsRejected):
        stage.tell(instruction(Right.ERASURE))
    assert new.renewals == 1, "a token that was never good is not asked for again"


def test_a_404_to_the_token_call_may_be_anybodys_and_is_no_refusal() -> None:
    outcome = told(StandIn(instead={"token": said(404, {"error": "not_found"})}), COOKIE)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.blocked) == (BLOCKED, True)


@pytest.mark.parametrize(
    "answer",
    [
        said(400, {"error": "invalid_grant"}),
        said(401, {"error": "invalid_client"}),
        said(403, {"error": "access_denied"}),
    ],
)
def test_a_refresh_token_that_is_not_accepted_stops_the_account(answer: Said) -> None:
    stand_in = StandIn(instead={"token": answer})
    with on_stage(stand_in) as stage:
        with pytest.raises(CredentialsRejected):
            stage.tell(instruction(Right.ERASURE))
        with pytest.raises(CredentialsRejected):
            stage.connector.probe()
    assert stand_in.asked == []


def test_one_property_is_called_one() -> None:
    with on_stage(StandIn(), properties=[ONE]) as stage:
        assert stage.connector.probe().title == "Google Analytics, 1 property"


def test_the_token_is_tested_by_its_scope_and_never_by_a_deletion() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        account = stage.connector.probe()
        assert (account.title, account.contacts, account.lists) == ("Google Analytics, 2 properties", None, (ONE, TWO))
        stand_in.scope = "https://www.googleapis.com/auth/analytics.readonly"
        with pytest.raises(CredentialsRejected):
            stage.connector.probe()
        stand_in.instead["token"] = said(200, {"access_token": "ya29.9", "expires_in": 3599})
        with pytest.raises(ProcessorUnreachable):
            stage.connector.probe()
    assert stand_in.asked == []


# --- settings


@pytest.mark.parametrize(
    "change",
    [
        {"properties": []},
        {"properties": ["UA-12345-1"]},
        {"properties": ["G-ABCDEF"]},
        {"client_secret": f"{SECRET} {SECRET}"},
        {"refresh_token": ""},
        {"client_id": ""},
        {"base_url": "http://evil.example"},
        {"else": 1},
    ],
)
def test_wrong_settings_are_refused_without_repeating_them(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        GoogleAnalyticsSettings.model_validate({**SECTION, **change})
    assert_clean(str(caught.value))


def test_a_universal_property_is_refused_with_its_reason() -> None:
    with pytest.raises(ValidationError, match="ended in July 2024"):
        GoogleAnalyticsSettings.model_validate({**SECTION, "properties": ["UA-12345-1"]})


def test_a_foreign_address_needs_a_rehearsal() -> None:
    section = {**SECTION, "base_url": "http://127.0.0.1:9105"}
    assert built_in_a_rehearsal_only(GoogleAnalytics, section, "Google Analytics").name == "google_analytics"
