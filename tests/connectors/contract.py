"""What every connector must keep, as an inheritable suite, run once per *declared* right.

A connector with an HTTP vendor inherits `HttpContract`, names its class and its section, and gives a vendor to stand in
(`vendor`). Any other (a notice by mail) inherits `ConnectorContract` and gives a `stage`. What does not apply is not
inherited, so nothing is ever skipped.
"""

import base64
import hashlib
import json
import logging
import re
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from io import BytesIO
from itertools import pairwise, permutations, product
from typing import Any, ClassVar, NamedTuple, Protocol, cast
from unittest.mock import patch
from urllib.parse import quote

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from dpsync.connector import (
    Accepted,
    Applied,
    AsAsked,
    CannotTell,
    Connector,
    Contradicts,
    Finding,
    HandOver,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    NotIdentifiable,
    Outcome,
    Refused,
    Reply,
    Retryable,
)
from dpsync.connector_services import Clock
from dpsync.errors import ConfigurationError, CredentialsRejected, ProcessorUnreachable, UnsupportedRight
from dpsync.http import HttpClient
from dpsync.http_deadline import Watchdog
from dpsync.model import Changes, Lifted, Right
from dpsync.vendor.errors import BLOCKED, NOT_DONE, Error, Meaning
from tests.connectors.held import Held, Holds, HoldsAsAsked, alike, as_asked, theirs
from tests.connectors.left import kept_in_modules, texts_in, written

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
OLD = "Ada+News@Example.org"
NEW = "ada.new@example.org"
OTHER = "ada.elsewhere@example.org"
THIRD = "ada.third@example.org"
SPELT = ("ada@bücher.example", "ada@xn--bcher-kva.example", "ada@bu\u0308cher.example", "ADA@BÜCHER.EXAMPLE")
"""One mailbox: its domain as U-label and as A-label, in NFD, and in capitals."""

SECRET = "b8d1f3c7-s3cr3t-us19"
THROUGH_THE_API = (Means.API, Means.API_AND_OPERATOR, Means.API_AND_NOTICE)
SAID_YES_OR_NOBODY = (Applied, Accepted, NothingHeld, HandOver)


@dataclass
class Hands:
    """A clock whose hands a test moves."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class OpenShelf:
    """A shelf in memory; its keys are public, so they may hold no identifier.

    As in the real one, what was noted stands only once the outcome does: until then nobody reads it, and a crash or
    another attempt leaves nothing of it.
    """

    kept: dict[str, str] = field(default_factory=dict, repr=False)
    noted: dict[str, str] = field(default_factory=dict, repr=False)

    def put(self, key: str, value: str) -> None:
        assert_clean(key)
        self.kept[key] = value

    def note(self, key: str, value: str) -> None:
        assert_clean(key)
        self.noted[key] = value

    def record(self) -> None:
        """The outcome is recorded, and with it what was noted."""
        self.kept |= self.noted
        self.noted.clear()

    def put_all(self, entries: Mapping[str, str]) -> None:
        for key, value in entries.items():
            self.put(key, value)

    def swap(self, key: str, old: str | None, new: str) -> bool:
        if self.kept.get(key) != old:
            return False
        self.put(key, new)
        return True

    def get(self, key: str) -> str | None:
        return self.kept.get(key)

    def find(self, prefix: str) -> Mapping[str, str]:
        return {key: value for key, value in self.kept.items() if key.startswith(prefix)}


def pseudonym(value: str) -> str:
    """Keyed, so that nobody can find it by hashing addresses; to the letter."""
    return hashlib.blake2s(value.encode(), key=b"of the tests").hexdigest()


def built_in_a_rehearsal_only(kind: type[Connector], section: Mapping[str, object], vendor: str) -> Connector:
    """The connector of a section whose `base_url` is not the vendor's own: refused by its name outside a rehearsal."""
    settings = kind.Settings.model_validate(section)
    with HttpClient(Hands()) as http:
        kit = Kit(http=http, clock=Hands(), pseudonym=pseudonym, shelf=OpenShelf())
        with pytest.raises(ConfigurationError, match=f"is not {vendor}'s own"):
            kind.from_settings(settings, kit)
        return kind.from_settings(settings, replace(kit, rehearsal=True))


def instruction(right: Right, **more: Any) -> Instruction:
    """One right of one invented person, who is known under one address."""
    told = Instruction(
        reference="ref-1",
        right=right,
        addresses=(OLD,),
        subject_id="crm-4711",
        name="Ada Canary",
        changes=Changes(email=NEW, first_name="Augusta", last_name="Kingcanary")
        if right is Right.RECTIFICATION
        else None,
        digest_key=b"digest",
    )
    if "deadline" in more:
        moment = more.pop("deadline")
        more["may_call_until"] = lambda: moment
    return replace(told, **more)


def _traces() -> list[str]:
    """Everything by which the person or the credential could be found again in a text."""
    found = ["Canary", "Kingcanary", "Augusta", SECRET]
    for address in (OLD, NEW, OTHER, THIRD, *SPELT):
        for spelling in (address, address.lower(), address.strip().casefold()):
            found += [spelling, quote(spelling), quote(spelling, safe="")]
            found += [spelling.encode().hex(), base64.b64encode(spelling.encode()).decode().rstrip("=")]
            found += [hashlib.new(kind, spelling.encode()).hexdigest() for kind in ("md5", "sha1", "sha256")]
    return list(dict.fromkeys(trace.lower() for trace in found))


TRACES = _traces()


def assert_clean(text: str) -> None:
    """No trace of the person, plain, in hexadecimal, as base64, MD5, SHA-1 or SHA-256, and no secret."""
    lower = text.lower()
    assert not [number for number, trace in enumerate(TRACES) if trace in lower]


def assert_nobody(text: str) -> None:
    """No trace of the person; the credential is what a connector must know."""
    assert_clean(text.replace(SECRET, ""))


@dataclass
class Stage:
    """A connector before its stand-in processor: how often it called, how often it wrote, what the processor holds."""

    connector: Connector
    calls: Callable[[], int]
    writes: Callable[[], int]
    state: Callable[[], object]
    clock: Hands = field(default_factory=Hands)
    shelf: OpenShelf = field(default_factory=OpenShelf, repr=False)

    def tell(self, told: Instruction, *, record: bool = True) -> Outcome:
        self.shelf.noted.clear()
        outcome = self.connector.carry_out(told)
        assert_clean(repr(outcome))
        if record:
            self.shelf.record()
        return outcome

    def read_back(self, told: Instruction) -> Finding:
        finding = self.connector.verify(told)
        assert_clean(repr(finding))
        return finding


class Promises:
    """What holds for every connector, even of a right for which it makes no call."""

    connector: ClassVar[type[Connector]]
    rights: ClassVar[tuple[Right, ...]] = ()
    """Those of the declared rights that are told here; none named: all of them."""
    done: ClassVar[type[Outcome]] = Applied
    nothing: ClassVar[type[Outcome]] = NothingHeld
    found: ClassVar[type[Finding]] = AsAsked
    shown_later: ClassVar[tuple[Right, ...]] = ()
    """Of these the read-back waits for what the vendor sends of its own accord."""
    address: ClassVar[str] = OLD
    """Under which the processor holds the person, in the spelling that it keeps to the letter."""
    passes_over_capitals: ClassVar[bool] = True
    """Whether the processor takes capitals for small letters; where nobody says so, no question finds all of them."""

    def stage(self, right: Right, *, held: bool = True) -> AbstractContextManager[Stage]:
        """A processor that holds the person, or does not, and the connector before it."""
        raise AssertionError("a contract test gives the stage")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "right" in metafunc.fixturenames:
            metafunc.parametrize("right", sorted(self.rights or self.connector.capabilities), ids=str)

    @pytest.fixture(autouse=True)
    def nothing_is_said_of_the_person(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> Iterator[None]:
        """In no log line, on no screen."""
        caplog.set_level(logging.DEBUG)
        yield
        assert_clean(caplog.text)
        assert_clean("".join(capfd.readouterr()))

    def test_who_is_held_is_told_and_it_is_done(self, right: Right) -> None:
        with self.stage(right) as stage:
            assert isinstance(stage.tell(instruction(right)), self.done)

    def test_who_is_not_held_is_said_to_be_not_held(self, right: Right) -> None:
        with self.stage(right, held=False) as stage:
            before = stage.state()
            assert isinstance(stage.tell(instruction(right)), self.nothing)
            assert stage.state() == before

    def test_told_twice_the_effect_is_that_of_once(self, right: Right) -> None:
        with self.stage(right) as stage:
            first = stage.tell(instruction(right))
            once = stage.state()
            second = stage.tell(instruction(right))
            assert type(second) is type(first)
            assert stage.state() == once

    def test_what_was_done_is_found_by_reading_and_reading_changes_nothing(self, right: Right) -> None:
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            done, written = stage.state(), stage.writes()
            assert isinstance(stage.read_back(instruction(right)), self.found)
            assert (stage.state(), stage.writes()) == (done, written)

    def test_the_first_read_back_needs_nothing_that_was_only_noted(self, right: Right) -> None:
        """It is made in the same attempt, before the outcome is recorded."""
        with self.stage(right) as stage:
            outcome = stage.tell(instruction(right), record=False)
            if isinstance(outcome, Applied):
                assert isinstance(stage.read_back(instruction(right)), self.found)

    def test_what_was_noted_and_never_recorded_is_no_yes(self, right: Right) -> None:
        """We died before the outcome stood: of who is not there any more, nothing shows that it was our doing."""
        with self.stage(right, held=False) as stage:
            stage.tell(instruction(right), record=False)
            assert isinstance(stage.tell(instruction(right)), self.nothing)

    def test_what_was_not_done_is_never_found_as_asked(self, right: Right) -> None:
        with self.stage(right) as stage:
            assert not isinstance(stage.read_back(instruction(right)), AsAsked)

    def test_nobody_can_be_told_of_a_person_without_any_identifier(self, right: Right) -> None:
        with self.stage(right) as stage:
            nameless = instruction(right, addresses=(), changes=None, subject_id=None, name=None)
            outcome = stage.tell(nameless)
            assert isinstance(outcome, NotIdentifiable)
            assert outcome.reason, "the person who reads it must hear what is missing"
            assert stage.calls() == 0

    def test_no_identifier_is_needed_besides_another(self, right: Right) -> None:
        """Whichever of them are known: an instruction without a name is none to crash at."""
        without: list[dict[str, Any]] = [{"name": None}, {"subject_id": None}, {"name": None, "subject_id": None}]
        for lacking in [*without, {"addresses": ()}]:
            with self.stage(right) as stage:
                assert isinstance(stage.tell(instruction(right, **lacking)), Outcome)
                assert isinstance(stage.read_back(instruction(right, **lacking)), Finding)

    def test_lifting_a_restriction_brings_nobody_back(self) -> None:
        if Right.RESTRICTION not in self.connector.capabilities:
            return
        with self.stage(Right.RESTRICTION) as stage:
            stage.tell(instruction(Right.RESTRICTION))
            before = stage.state()
            stage.tell(instruction(Right.RESTRICTION, lifted=Lifted(date(2026, 11, 19), "letter")))
            assert stage.state() == before

    def test_an_undeclared_right_is_our_bug_and_no_call_is_made(self) -> None:
        undeclared = [right for right in Right if right not in self.connector.capabilities]
        for right in [*undeclared, cast("Right", "portability")]:
            with self.stage(Right.ERASURE) as stage:
                with pytest.raises(UnsupportedRight) as caught:
                    stage.tell(instruction(right))
                assert stage.calls() == 0
                assert_clean(str(caught.value))

    def test_probing_only_reads(self) -> None:
        with self.stage(Right.OPT_OUT) as stage:
            before = stage.state()
            assert stage.connector.probe().title
            assert (stage.writes(), stage.state()) == (0, before)

    def test_no_repr_shows_a_secret_or_a_person(self, right: Right) -> None:
        with self.stage(right) as stage:
            shown = f"{stage.connector!r} {vars(stage.connector)!r} {instruction(right)!r}"
        assert_clean(shown)

    def test_nothing_of_the_person_stays_behind(self, right: Right) -> None:
        """No file is written, and nothing that the connector still reaches tells of anybody; its shelf has rules."""
        for held in (True, False):
            with self.stage(right, held=held) as stage, written() as deeds:
                before = kept_in_modules(stage.connector)
                for act in (stage.tell, stage.read_back):
                    act(instruction(right))
                    assert_nobody(texts_in(stage.connector, but=(stage.shelf,)))
                    assert_nobody("\n".join(kept_in_modules(stage.connector) - before))
            assert not deeds

    def test_every_address_is_asked_for(self, right: Right) -> None:
        """Who is held under the second of two addresses is found, and it is done as if it were the only one."""
        with self.stage(right) as one:
            one.tell(instruction(right))
        with self.stage(right) as two:
            assert isinstance(two.tell(instruction(right, addresses=(OTHER, OLD))), self.done)
            assert two.state() == one.state()

    @pytest.mark.parametrize(("kept", "asked"), [*pairwise(SPELT), *pairwise(SPELT[::-1])])
    def test_a_mailbox_is_found_whatever_its_spelling_there(self, right: Right, kept: str, asked: str) -> None:
        """Whoever compares letters holds it in one spelling and is asked in another: "nobody" would be a false word."""
        if kept.isupper() and not self.passes_over_capitals:
            return
        there: Promises = type("There", (type(self),), {"address": kept})()
        with there.stage(right) as one:
            smooth = one.tell(instruction(right, addresses=(kept,)))
            found = one.read_back(instruction(right, addresses=(kept,)))
        with there.stage(right) as two:
            assert not isinstance(two.read_back(instruction(right, addresses=(asked,))), AsAsked)
            outcome = two.tell(instruction(right, addresses=(asked,)))
            assert type(outcome) is type(smooth)
            assert f"{two.state()}".lower() == f"{one.state()}".lower()
            assert getattr(outcome, "references", ()) == getattr(smooth, "references", ())
            assert type(two.read_back(instruction(right, addresses=(asked,)))) is type(found)

    def test_a_new_address_is_found_again_whatever_its_spelling_there(self) -> None:
        if Right.RECTIFICATION not in (self.rights or self.connector.capabilities):
            return
        for kept, asked in permutations(SPELT[:3], 2):
            with self.stage(Right.RECTIFICATION) as stage:
                first = stage.tell(instruction(Right.RECTIFICATION, changes=Changes(email=kept)))
                found = stage.read_back(instruction(Right.RECTIFICATION, changes=Changes(email=kept)))
                other = instruction(Right.RECTIFICATION, changes=Changes(email=asked))
                assert type(stage.read_back(other)) is type(found)
                assert type(stage.tell(other)) is type(first)

    def test_what_is_said_to_go_through_the_api_does_and_nothing_else(self, right: Right) -> None:
        means = self.connector.capabilities[right].means
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            assert means is Means.NOTICE or (stage.calls() > 0) is (means in THROUGH_THE_API)

    def test_what_is_declared_is_said_in_full(self, right: Right) -> None:
        capability = self.connector.capabilities[right]
        assert capability.effect
        assert capability.limits
        assert re.search(r"20\d\d", capability.source)
        assert bool(capability.verified_by) == (self.found is AsAsked or right in self.shown_later)
        assert self.connector.name == self.connector.__module__.rpartition(".")[2]


class ConnectorContract(Promises):
    """What holds besides where the processor is called, whatever it speaks."""

    proves_absence: ClassVar[bool] = True
    """Whether a call is made about whom nobody knows there."""

    def silent(self, right: Right) -> AbstractContextManager[Stage]:
        """A processor from which no answer comes."""
        raise AssertionError("a contract test gives the stage")

    def test_what_was_said_is_kept_as_evidence(self, right: Right) -> None:
        for held in (True, False) if self.proves_absence else (True,):
            with self.stage(right, held=held) as stage:
                assert stage.tell(instruction(right)).evidence

    def test_no_call_begins_after_the_deadline(self, right: Right) -> None:
        with self.stage(right) as stage:
            late = instruction(right, deadline=stage.clock.monotonic())
            assert isinstance(stage.tell(late), Retryable)
            assert stage.calls() == 0

    def test_without_an_answer_nothing_is_known(self, right: Right) -> None:
        with self.silent(right) as stage:
            assert isinstance(stage.tell(instruction(right)), Retryable)
            finding = stage.read_back(instruction(right))
            assert isinstance(finding, CannotTell)


# --- vendors that speak HTTP


class Said(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answers(Protocol):
    """What stands before a connector: it answers as the vendor's documentation says."""

    def answer(self, request: requests.PreparedRequest) -> Said: ...
    def state(self) -> object: ...


class Vendor(Answers, Holds, Protocol):
    """A stand-in for a vendor."""


@dataclass
class HttpStage(Stage):
    """Also keeps the requests themselves."""

    sent: list[requests.PreparedRequest] = field(default_factory=list)
    from_call: int = 1


Trouble = Said | Exception
HTML = b"<html><body>Bad gateway</body></html>"
NOBODYS = json.dumps({"message": f"Forbidden: {OLD} {NEW}"}).encode()
FOREIGN = [
    ("text/html; charset=utf-8", HTML),
    ("text/plain", b"Access denied"),
    ("application/json", b""),
    ("application/json", NOBODYS),
]
"""What a firewall, a proxy, a portal or a balancer says; a vendor's own error is `HttpContract.refusal`."""
ORDINARY = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
)
"""Headers that carry no credential."""


def in_turn(status: int, alike: list[Said]) -> Iterator[tuple[Said, bool]]:
    """Each of some answers that look alike, and whether it is the one of this status to be tried at every call.

    Each status is, and each look is with some status (a 500 without a body, as an official package takes it for a yes):
    only who goes by both, and half way alone, would not be met.
    """
    for number, one in enumerate(alike):
        yield one, number == (status + 2) % len(alike)


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
UNANSWERED: list[Exception] = [
    requests.ReadTimeout(OLD),
    requests.exceptions.ChunkedEncodingError(OLD),
    requests.exceptions.ContentDecodingError(OLD),
    requests.ConnectionError(OLD),
    requests.exceptions.SSLError(OLD),
]


GONE_BY: Mapping[Meaning, Callable[[Error, Outcome, Outcome, bool], bool]] = {
    Meaning.ABSENT: lambda _, __, outcome, ___: isinstance(outcome, NothingHeld),
    Meaning.LEFT: lambda _, __, outcome, ___: isinstance(outcome, HandOver),
    Meaning.REFUSED: lambda row, _, outcome, __: (
        isinstance(outcome, HandOver) or (isinstance(outcome, Refused) and outcome.reason == row.reason)
    ),
    Meaning.SETTLED: lambda _, smoothly, outcome, write: write and type(outcome) is type(smoothly),
}
"""What shows that a step understood a row: by the row, the outcome without it and with it, and whether to a write."""


@dataclass
class Overheard:
    """A vendor whose answers are kept."""

    vendor: Answers
    said: list[Said] = field(default_factory=list)

    def answer(self, request: requests.PreparedRequest) -> Said:
        self.said.append(self.vendor.answer(request))
        return self.said[-1]

    def state(self) -> object:
        return self.vendor.state()


@dataclass
class SaysYes:
    """A vendor that says yes to every write in its own words, and changes nothing.

    `echoes`: where it has words beside the yes, they are the record as it still is.
    """

    vendor: Answers
    writing: Callable[[requests.PreparedRequest], bool]
    echoes: bool

    def answer(self, request: requests.PreparedRequest) -> Said:
        if not self.writing(request):
            return self.vendor.answer(request)
        yes = deepcopy(self.vendor).answer(request)
        if not self.echoes or not yes.body:
            return yes
        asked = request.copy()
        asked.method, asked.body = "GET", None
        record = self.vendor.answer(asked)
        return yes._replace(body=record.body) if record.status == 200 else yes

    def state(self) -> object:
        return self.vendor.state()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vendor, name)


@dataclass
class Refusing:
    """A vendor that answers every write with the same no, as long as there is one."""

    vendor: Answers
    writing: Callable[[requests.PreparedRequest], bool]
    no: Said | None

    def answer(self, request: requests.PreparedRequest) -> Said:
        return self.no if self.no and self.writing(request) else self.vendor.answer(request)

    def state(self) -> object:
        return self.vendor.state()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vendor, name)


class Kept(Watchdog):
    """Watches over the calls of all clients here: a thread for each of thousands took a seventh of the time."""

    def stop(self) -> None:
        """The next client needs it."""

    def _run(self) -> None:
        threading.current_thread().name = "watchdog of the contract"
        super()._run()


class Http(HttpClient):
    """Ours, which is told of methods as they are called (RFC 9110, section 9.1)."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._watchdog = WATCHDOG

    def call(self, method: str, url: str, **more: Any) -> Reply:
        assert method in METHODS
        return super().call(method, url, **more)


WATCHDOG = Kept()


def standing_in(answered: Callable[[requests.PreparedRequest], Said]) -> AbstractContextManager[object]:
    """Whatever is sent within is answered by this and not by the network; `responses` looks up more at each call."""

    def send(adapter: HTTPAdapter, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        said = answered(request)
        raw = HTTPResponse(BytesIO(said.body), said.headers, said.status, preload_content=False)
        return adapter.build_response(request, raw)

    return patch.object(HTTPAdapter, "send", send)


class HttpContract(HoldsAsAsked, ConnectorContract):
    """What holds for every connector whose vendor speaks HTTP: each fault is planted at every call it makes."""

    section: ClassVar[Mapping[str, object]]
    known_as: ClassVar[tuple[str, ...]] = (OLD, OTHER, THIRD)
    given: ClassVar[tuple[str, ...]] = ()
    """How that begins which the vendor gives for the secret, and by which it knows us afterwards."""
    asks_back: ClassVar[bool] = True
    """Whether a read-back calls the vendor."""
    undocumented: ClassVar[tuple[int, ...]] = (301, 302, 303, 307, 308, 402, 409, 418, 451)
    unreadable: ClassVar[tuple[bytes, ...]] = (b"", HTML, b'{"id": "6', b"[]", b"{}", b'"ok"', b"null", b"[" * 10_000)
    """Bodies of a 200 that the vendor does not document for any call of this connector."""

    def vendor(self, right: Right, *, held: bool) -> Vendor:
        """A vendor that holds the person of `instruction`, or does not."""
        raise AssertionError("a contract test gives the vendor")

    def telling(self, right: Right, known_as: tuple[str, ...], **more: Any) -> Instruction:
        return instruction(right, addresses=known_as, **more)

    def refusal(self, status: int) -> Said:
        """An error of this status in the vendor's own documented shape, of no meaning that a connector knows."""
        raise AssertionError("a contract test gives an error of the vendor's")

    def error(self, status: int, code: int | str) -> Said:
        """An error of this status and code in the vendor's own documented shape; where the connector has a table."""
        raise AssertionError("a contract test gives an error of the vendor's table")

    def rows(self) -> Iterator[tuple[Error, Said]]:
        """Each row of the connector's table of errors, as each status and code that it names."""
        table: tuple[Error, ...] = getattr(self.connector, "errors", ())
        for row in table:
            for status in row.statuses:
                for code in row.codes or (None,):
                    assert next(one for one in table if one.fits(status, code)) is row, "a row that none before hides"
                    yield row, self.refusal(status) if code is None else self.error(status, code)

    def refusals(self) -> Iterator[Said]:
        """Every no that the vendor documents for the calls of this connector; `refusal` of each status besides."""
        yield from map(self.refusal, (400, 404, 405, 409, 422))

    def answers(self, status: int, *, own: bool, **headers: str) -> list[Said]:
        """Answers of this status: the vendor's own, or what somebody in its place says."""
        if own:
            said = self.refusal(status)
            return [said._replace(headers=said.headers | headers)]
        return [Said(status, {"Content-Type": kind, **headers}, body) for kind, body in FOREIGN]

    def built(self, kit: Kit) -> Connector:
        """The connector; override where it takes a sleep function."""
        return self.connector.from_settings(self.connector.Settings.model_validate(self.section), kit)

    def writing(self, request: requests.PreparedRequest) -> bool:
        """Whether a request may change something at the vendor."""
        return request.method != "GET"

    @contextmanager
    def stage(
        self,
        right: Right,
        *,
        held: bool = True,
        trouble: Trouble | None = None,
        from_call: int = 1,
        times: int | None = None,
    ) -> Iterator[HttpStage]:
        """From the `from_call`-th call on, `times` or for ever, whatever is asked is answered with `trouble`."""
        vendor = self.vendor(right, held=held)
        with self.before(vendor, trouble=trouble, from_call=from_call, times=times) as stage:
            yield stage

    @contextmanager
    def before(
        self, vendor: Answers, *, trouble: Trouble | None = None, from_call: int = 1, times: int | None = None
    ) -> Iterator[HttpStage]:
        """The connector before a given vendor."""
        seen: list[requests.PreparedRequest] = []

        def answered(request: requests.PreparedRequest) -> Said:
            seen.append(request)
            late = times is not None and len(seen) >= from_call + times
            if trouble is None or len(seen) < from_call or late:
                return vendor.answer(request)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble

        clock = Hands()
        with standing_in(answered), Http(clock) as http:
            shelf = OpenShelf()
            connector = self.built(Kit(http=http, clock=clock, pseudonym=pseudonym, shelf=shelf))
            yield HttpStage(
                connector,
                calls=lambda: len(seen),
                writes=lambda: sum(map(self.writing, seen)),
                state=vendor.state,
                clock=clock,
                sent=seen,
                from_call=from_call,
                shelf=shelf,
            )

    def silent(self, right: Right) -> AbstractContextManager[Stage]:
        return self.stage(right, trouble=requests.ReadTimeout(OLD))

    def troubled(
        self, right: Right, trouble: Trouble, *, everywhere: bool = True
    ) -> Iterator[tuple[Outcome, bool, bool]]:
        """The outcome with `trouble` from the first call on, from the second on, and so on; whether it met any write,
        and whether an earlier call had an effect already.
        """
        told = instruction(right)
        for stage in self.half_way(told, trouble, everywhere=everywhere):
            before = stage.state()
            outcome = stage.tell(told)
            yield outcome, any(map(self.writing, stage.sent[stage.from_call - 1 :])), stage.state() != before

    @cached_property
    def counted(self) -> dict[tuple[Right, tuple[str, ...]], int]:
        """How many calls a test has seen its connector make without trouble."""
        return {}

    def calls_without_trouble(self, told: Instruction) -> int:
        """How many calls it takes. Looked at once in a test: its many troubles begin from the same vendor."""
        if (how := (told.right, told.addresses)) not in self.counted:
            with self.stage(told.right) as smooth:
                smooth.tell(told)
            self.counted[how] = smooth.calls()
        return self.counted[how]

    def half_way(self, told: Instruction, trouble: Trouble, *, everywhere: bool = True) -> Iterator[HttpStage]:
        """The processor in `trouble` from the first call on, from the second on, and so on to the last; else, as is
        enough for one that is like another, from the first and from the last call on.
        """
        last = self.calls_without_trouble(told)
        for number in range(1, last + 1) if everywhere else sorted({1, last}):
            with self.stage(told.right, trouble=trouble, from_call=number) as stage:
                yield stage

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
    def test_later_is_later_and_the_processors_wish_is_kept(self, right: Right, status: int) -> None:
        wish = {"Retry-After": "30"}
        for own in (True, False):
            for trouble, everywhere in in_turn(status, self.answers(status, own=own, **wish)):
                for outcome, wrote, went in self.troubled(right, trouble, everywhere=everywhere):
                    assert isinstance(outcome, Retryable)
                    assert outcome.retry_after == timedelta(seconds=30)
                    assert outcome.busy == (status in (429, 503)) or not own
                    assert outcome.doubtful or not wrote or status in (408, 425, 429, 503)
                    assert outcome.doubtful or not went
                    assert outcome.evidence[-1].status == status

    def test_a_wish_to_wait_ten_years_or_a_negative_time_is_harmless(self, right: Right) -> None:
        for said, wait in (("315360000", timedelta(hours=24)), ("-5", timedelta()), ("nonsense", None)):
            for outcome, _, _ in self.troubled(right, Said(429, {"Retry-After": said}, b"")):
                assert isinstance(outcome, Retryable)
                assert outcome.retry_after == wait

    @pytest.mark.parametrize("error", UNANSWERED, ids=lambda error: type(error).__name__)
    def test_a_broken_connection_leaves_a_write_in_doubt(self, right: Right, error: Exception) -> None:
        unsent = isinstance(error, requests.ConnectionError)
        for outcome, wrote, went in self.troubled(right, error):
            assert isinstance(outcome, Retryable)
            assert outcome.doubtful == (went or (wrote and not unsent))
            # A certificate that is not accepted is about whoever answers there, and so about the whole account.
            assert outcome.busy == isinstance(error, requests.exceptions.SSLError)

    @pytest.mark.parametrize("error", UNANSWERED, ids=lambda error: type(error).__name__)
    def test_a_write_that_may_have_been_done_is_not_made_again_at_once(self, right: Right, error: Exception) -> None:
        told = instruction(right)
        for number, stage in enumerate(self.half_way(told, error)):
            stage.tell(told)
            written = [(one.method, one.url, one.body) for one in stage.sent[number:] if self.writing(one)]
            assert len(written) == len(set(written))

    def test_the_answer_about_nobody_proves_nothing_where_every_question_gets_it(self, right: Right) -> None:
        """A list that is gone, or a key that sees nothing, speaks of this person as it does of everything."""
        if self.nothing is not NothingHeld:
            return
        overheard = Overheard(self.vendor(right, held=False))
        with self.before(overheard) as stage:
            assert isinstance(stage.tell(instruction(right)), NothingHeld)
        for number, answer in enumerate(overheard.said):
            with self.stage(right, held=False, trouble=answer) as stage:
                assert not isinstance(stage.tell(instruction(right)), SAID_YES_OR_NOBODY), number

    def test_a_200_that_cannot_be_read_is_never_taken_for_done(self, right: Right) -> None:
        for body in self.unreadable:
            for outcome, wrote, went in self.troubled(right, Said(200, {"Content-Type": "application/json"}, body)):
                assert isinstance(outcome, Retryable)
                assert outcome.doubtful == (wrote or went)

    def test_a_vendor_that_says_yes_and_does_nothing_is_contradicted(self, right: Right) -> None:
        """Not asked again and again in silence: what it said is taken for what it is, and our reading tells."""
        reads = self.found is AsAsked
        for echoes in (False, True) if reads else (False,):
            with self.before(SaysYes(self.vendor(right, held=True), self.writing, echoes)) as stage:
                before = stage.state()
                assert isinstance(stage.tell(instruction(right)), Applied if reads and stage.writes() else self.done)
                if reads and stage.writes():
                    assert isinstance(stage.read_back(instruction(right)), Contradicts)
                assert stage.state() == before

    def test_a_page_of_html_is_never_taken_for_an_answer(self, right: Right) -> None:
        for status in (200, 400, 404, 405):
            for outcome, _, _ in self.troubled(right, Said(status, {"Content-Type": "text/html"}, HTML)):
                assert not isinstance(outcome, SAID_YES_OR_NOBODY)

    def test_an_error_of_the_table_means_what_its_row_says(self, right: Right) -> None:
        """From each call on. What one step must understand for itself is at least never taken for done."""
        with self.stage(right) as smooth:
            smooth.tell(instruction(right))
        for row, said in self.rows():
            for stage in self.half_way(instruction(right), said):
                try:
                    outcome = stage.tell(instruction(right))
                except CredentialsRejected as caught:
                    # A no to each account that the settings name is about the settings.
                    assert row.means in (Meaning.REJECTED, Meaning.MISPLACED), row
                    assert row.reason in caught.message  # noqa: PT017 - because not every row raises
                    continue
                assert row.means is not Meaning.REJECTED, row
                if row.means is Meaning.NO and not isinstance(outcome, HandOver):  # one change of several, and to whom
                    assert isinstance(outcome, Refused), (row, said.status)
                    assert outcome.reason == row.reason
                elif row.means in (Meaning.BUSY, Meaning.LATER, Meaning.FAULT, Meaning.MISPLACED):
                    assert isinstance(outcome, Retryable), row
                    assert outcome.busy == (row.means is Meaning.BUSY), row
                    assert outcome.misplaced == (row.means is Meaning.MISPLACED), row
                assert not isinstance(outcome, Applied) or stage.state() == smooth.state(), row

    def test_the_connector_goes_by_each_row_of_its_table(self) -> None:
        """No row is there for show: of those that a step must understand, some step does."""
        for row, said in self.rows():
            if row.means in GONE_BY:
                met = (GONE_BY[row.means](row, *each) for times in (1, None) for each in self.met(said, times))
                assert any(met), (row, said)

    def met(self, said: Said, times: int | None) -> Iterator[tuple[Outcome, Outcome, bool]]:
        """The outcome without and with this answer at each call of each right, told once, again and lifted; and whether
        it was the answer to a write.
        """
        for told in self.tellings():
            with self.stage(told[-1].right) as smooth:
                for one in told[:-1]:
                    smooth.tell(one)
                before = smooth.calls()
                smoothly = smooth.tell(told[-1])
            for number in range(before + 1, smooth.calls() + 1):
                with self.stage(told[-1].right, trouble=said, from_call=number, times=times) as stage:
                    *_, outcome = [stage.tell(one) for one in told]
                yield smoothly, outcome, self.writing(stage.sent[number - 1])

    def tellings(self) -> Iterator[list[Instruction]]:
        for right in self.connector.capabilities:
            yield [instruction(right)]
            yield [instruction(right)] * 2
        if Right.RECTIFICATION in self.connector.capabilities:
            yield [instruction(Right.RECTIFICATION, changes=Changes(first_name="Augusta", last_name="Kingcanary"))]
        if Right.RESTRICTION in self.connector.capabilities:
            lifted = Lifted(date(2026, 11, 19), "letter")
            yield [instruction(Right.RESTRICTION), instruction(Right.RESTRICTION, lifted=lifted)]

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_rejected_credential_stops_everything(self, right: Right, status: int) -> None:
        (trouble,) = self.answers(status, own=True, **{"X-Request-Id": "r-1"})
        with self.stage(right, trouble=trouble) as stage:
            for act in (stage.connector.carry_out, stage.connector.verify)[: 1 + self.asks_back]:
                with pytest.raises(CredentialsRejected) as caught:
                    act(instruction(right))
                assert (caught.value.status, caught.value.request_id) == (status, "r-1")
                assert_clean("".join(traceback.format_exception(caught.value)))
            with pytest.raises(CredentialsRejected):
                stage.connector.probe()

    def test_what_was_done_before_the_processor_asked_to_wait_leaves_doubt(self, right: Right) -> None:
        told = instruction(right, addresses=(OLD, OTHER))
        for stage in self.half_way(told, Said(429, {}, b"")):
            before = stage.state()
            outcome = stage.tell(told)
            assert isinstance(outcome, Retryable)
            assert outcome.doubtful or stage.state() == before

    def test_once_asked_to_wait_it_makes_no_further_call(self, right: Right) -> None:
        told = instruction(right, addresses=(OLD, OTHER))
        with self.stage(right) as smooth:
            smooth.tell(told)
            telling = smooth.calls()
            smooth.read_back(told)
        for status in (429, 503):
            (busy,) = self.answers(status, own=True, **{"Retry-After": "30"})
            for number in range(1, smooth.calls() + 1):
                with self.stage(right, trouble=busy, from_call=number) as stage:
                    stage.tell(told)
                    if number > telling:
                        stage.read_back(told)
                    assert stage.calls() == number, (status, number)

    def test_trouble_leaves_nothing_of_the_person_behind(self, right: Right) -> None:
        troubles: list[Trouble] = [
            requests.ReadTimeout(OLD),
            self.refusal(400)._replace(body=NOBODYS),
            Said(429, {}, NOBODYS),
        ]
        for trouble in troubles:
            before: Counter[str] | None = None  # once: whatever a stage leaves there, the stage itself is asked for
            with written() as deeds:
                for stage in self.half_way(instruction(right), trouble):
                    before = kept_in_modules(stage.connector) if before is None else before
                    for act in (stage.tell, stage.read_back):
                        with suppress(CredentialsRejected):
                            act(instruction(right))
                    assert_nobody(texts_in(stage.connector, but=(stage.shelf,)))
                    assert_nobody("\n".join(kept_in_modules(stage.connector) - before))
            assert not deeds

    def test_a_lease_that_is_lost_half_way_ends_the_calls(self, right: Right) -> None:
        with self.stage(right) as smooth:
            smooth.tell(instruction(right))
        for number in range(1, smooth.calls()):
            with self.stage(right) as stage:
                before = stage.state()
                lost = instruction(right, may_call_until=lambda n=number, s=stage: 0.0 if s.calls() >= n else 1e9)
                outcome = stage.tell(lost)
                assert isinstance(outcome, Retryable)
                assert stage.calls() == number
                assert outcome.doubtful or stage.state() == before

    def test_a_credential_rejected_half_way_keeps_what_the_first_calls_were_told(self, right: Right) -> None:
        told = instruction(right, addresses=(OLD, OTHER))
        for stage in self.half_way(told, self.refusal(401)):
            before = stage.state()
            with pytest.raises(CredentialsRejected) as caught:
                stage.tell(told)
            assert len(caught.value.evidence) == stage.calls()
            assert caught.value.evidence[-1].status == 401
            assert caught.value.doubtful == (stage.state() != before)
            assert_clean(repr(caught.value.evidence))

    def test_an_undocumented_answer_is_a_no_for_a_person_to_look_at(self, right: Right) -> None:
        for status in self.undocumented:
            (trouble,) = self.answers(status, own=True, Location="https://elsewhere.example/")
            for outcome, _, _ in self.troubled(right, trouble):
                assert isinstance(outcome, Refused)
                assert outcome.evidence[-1].status == status

    @pytest.mark.parametrize("status", [200, 302, 307, 400, 401, 403, 404, 405, 407, 429, 451, 502, 503, 511])
    def test_an_answer_that_is_not_the_vendors_is_about_the_account_and_about_nobody(
        self, right: Right, status: int
    ) -> None:
        """A firewall's page, a proxy, a portal: never a no, a yes, nobody, or a word about our credential."""
        pages = self.answers(status, own=False, Location="https://portal.example/")[: 2 if status == 200 else 4]
        for trouble, everywhere in in_turn(status, pages):
            for number, (outcome, wrote, went) in enumerate(self.troubled(right, trouble, everywhere=everywhere)):
                assert isinstance(outcome, Retryable)
                assert outcome.blocked or number
                assert outcome.reason == BLOCKED or not outcome.blocked
                assert outcome.busy or status == 502
                assert outcome.doubtful or not went
                assert outcome.doubtful or not wrote or 400 <= status < 500
            with self.stage(right, trouble=trouble) as stage:
                finding = stage.read_back(instruction(right))
                assert isinstance(finding, CannotTell)
                assert finding.blocked or not finding.later
                with pytest.raises(ProcessorUnreachable) as caught:
                    stage.connector.probe()
            assert (caught.value.code, BLOCKED in caught.value.message) == ("DP-214", True)
            assert str(status) in caught.value.message
            assert_clean(caught.value.message)

    def test_done_is_said_only_where_the_vendor_did_it(self, right: Right) -> None:
        """Each no that the vendor documents, at each call in turn, once and from then on."""
        with self.stage(right) as smooth:
            smooth.tell(instruction(right))
        for no in self.refusals():
            for number in range(1, smooth.calls() + 1):
                for times in (None, 1):
                    stand_in = self.stage(right, trouble=no, from_call=number, times=times)
                    with stand_in as stage, suppress(CredentialsRejected):
                        done = isinstance(stage.tell(instruction(right)), Applied | Accepted)
                        assert not done or stage.state() == smooth.state(), (no, number)
                    if stage.calls() == number:
                        break  # it asked nothing after the first no: a single one is the same run

    def test_a_no_about_one_of_several_records_is_not_lost_among_the_others(self, right: Right) -> None:
        """Known under several addresses, in every place: one no at each call in turn, and a yes to all the rest."""
        for case, told, records in self.orders(right):
            if self.left_to_a_person(case, right) or len({one.address for one in records if not theirs(one)}) < 2:
                continue
            for no, (number, _) in product(
                filter(self.tells, map(self.refusal, (400, 404))), self.smoothly(told, records)
            ):
                self.no_false_yes(case, told, records, no, number)

    def tells(self, trouble: Trouble) -> bool:
        """Whether it is more than the documented "nobody", which may be so since it was read."""
        table: tuple[Error, ...] = getattr(self.connector, "errors", ())
        absent = [row for row in table if row.means is Meaning.ABSENT]
        return isinstance(trouble, Exception) or not any(row.fits(trouble.status, None) for row in absent)

    def smoothly(self, told: Instruction, records: list[Held]) -> list[tuple[int, bool]]:
        """Each call that is made without trouble: its number, and whether it writes."""
        vendor = self.vendor(told.right, held=False)
        vendor.hold(records)
        with self.before(vendor) as smooth:
            smooth.tell(told)
        return [(number, self.writing(one)) for number, one in enumerate(smooth.sent, 1)]

    def no_false_yes(self, case: str, told: Instruction, records: list[Held], trouble: Trouble, number: int) -> None:
        """With this trouble once, at this call, no "done" of what is not."""
        vendor = self.vendor(told.right, held=False)
        vendor.hold(records)
        before, done = list(vendor.holds()), False
        with self.before(vendor, trouble=trouble, from_call=number, times=1) as stage, suppress(CredentialsRejected):
            done = isinstance(stage.tell(told), Applied | Accepted)
        as_told = alike(vendor.holds(), told.right) == alike(as_asked(before, told), told.right)
        assert as_told or not done, (case, trouble, number)

    def test_trouble_with_one_of_several_records_is_not_lost_among_the_others(self, right: Right) -> None:
        """As above, at each write in turn: each no of the vendor's, a fault, silence, and a yes that cannot be read."""
        case, told, records = max(self.orders(right), key=lambda order: len(order.records))
        if self.left_to_a_person(case, right):
            return
        unread = Said(200, {"Content-Type": "application/json"}, self.unreadable[0])
        once: list[Trouble] = [requests.ReadTimeout(OLD), Said(500, {}, b""), unread]
        once += [*self.refusals(), *(self.refusal(status) for status in (401, 403, 429))]
        for trouble, (number, writes) in product(filter(self.tells, once), self.smoothly(told, records)):
            if writes:
                self.no_false_yes(case, told, records, trouble, number)

    def test_what_somebody_else_erased_after_a_no_is_not_said_to_be_our_doing(self) -> None:
        """Every write gets the same no, so nothing is done; then the records are gone, and it is told once more."""
        if Right.ERASURE not in self.connector.capabilities:
            return
        told = instruction(Right.ERASURE)
        with self.stage(told.right, held=False) as nobody:
            said_of_nobody = type(nobody.tell(told))
        for no in (*self.refusals(), *(self.refusal(status) for status in (401, 403, 429))):
            vendor = self.vendor(told.right, held=True)
            before = vendor.state()
            with self.before(refusing := Refusing(vendor, self.writing, no)) as stage:
                with suppress(CredentialsRejected):
                    stage.tell(told)
                assert stage.state() == before
                refusing.no = None
                vendor.hold([one for one in vendor.holds() if theirs(one)])
                assert type(stage.tell(told)) is said_of_nobody, no

    def test_a_404_of_another_shape_is_not_nothing_held(self, right: Right) -> None:
        for trouble in self.answers(404, own=False):
            for outcome, _, _ in self.troubled(right, trouble):
                assert not isinstance(outcome, SAID_YES_OR_NOBODY)

    def test_what_cannot_be_read_back_is_not_found_as_asked(self, right: Right) -> None:
        troubles: list[Trouble] = [Said(200, {"Content-Type": "application/json"}, body) for body in self.unreadable]
        troubles += [Said(status, {}, b"") for status in (404, 418, 429, 500, 503)]
        for trouble in [*troubles, *UNANSWERED]:
            with self.stage(right, trouble=trouble) as stage:
                finding = stage.read_back(instruction(right))
            assert isinstance(finding, CannotTell)
            assert finding.later or not self.asks_back

    def test_a_processor_that_cannot_be_probed_is_said_to_be_unreachable(self) -> None:
        troubles: list[Trouble] = [*UNANSWERED, Said(500, {}, b""), Said(200, {"Content-Type": "text/html"}, HTML)]
        for trouble in troubles:
            with self.stage(Right.OPT_OUT, trouble=trouble) as stage:
                with pytest.raises(ProcessorUnreachable) as caught:
                    stage.connector.probe()
                assert_clean("".join(traceback.format_exception(caught.value)))

    def carries_a_credential(self, request: requests.PreparedRequest) -> bool:
        """The secret or what was given for it, in the body or in a header, there also as RFC 7617 has it."""
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        said = [f"{value!s}" for name, value in request.headers.items() if name.lower() not in ORDINARY]
        basic = [one.removeprefix("Basic ") for one in said if one.startswith("Basic ")]
        texts = [body, *map(str.encode, said), *map(base64.b64decode, basic)]
        return any(one.encode() in text for one in (SECRET, *self.given) for text in texts)

    def test_every_call_is_https_and_carries_a_credential_and_no_person_in_its_query(self, right: Right) -> None:
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            stage.read_back(instruction(right))
        assert stage.sent
        for request in stage.sent:
            url = request.url or ""
            assert url.startswith("https://")
            assert self.carries_a_credential(request)
            assert SECRET not in url
            assert_clean(url.partition("?")[2])

    def test_what_has_a_body_says_of_what_kind_it_is(self, right: Right) -> None:
        """No vendor promises to guess it."""
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            for request in stage.sent:
                kinds = ("application/json", "application/x-www-form-urlencoded")
                assert not request.body or request.headers.get("Content-Type", "").startswith(kinds)

    def test_what_was_done_is_not_noted_as_left_undone(self, right: Right) -> None:
        with self.stage(right) as stage:
            assert NOT_DONE not in [one.note for one in stage.tell(instruction(right)).evidence]

    def test_a_read_back_is_proved_under_its_key_and_begins_no_call_too_late(self, right: Right) -> None:
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            digests = [
                {one.digest for one in stage.read_back(instruction(right, digest_key=key)).evidence}
                for key in (b"k" * 32, b"K" * 32)
            ]
            assert not self.asks_back or not digests[0] & digests[1]
            calls = stage.calls()
            late = stage.read_back(instruction(right, deadline=stage.clock.monotonic()))
            assert isinstance(late, CannotTell)
            assert stage.calls() == calls

    def test_evidence_names_each_call_by_its_template_and_proves_the_body_under_a_key(self, right: Right) -> None:
        with self.stage(right) as stage:
            outcome = stage.tell(instruction(right))
        assert len(outcome.evidence) == len(stage.sent)
        for request, evidence in zip(stage.sent, outcome.evidence, strict=True):
            assert evidence.endpoint.split()[0] == request.method
            assert evidence.endpoint.split()[1].startswith("/")
            assert evidence.at == stage.clock.now()
            assert len(evidence.digest) == 64
