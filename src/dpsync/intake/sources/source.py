"""One main database with a shape of its own: verifies what it sends, and makes requests of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dpsync import strict_json
from dpsync.errors import ConfigurationError, Fault, PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.installation import Installation
from dpsync.intake import events
from dpsync.intake.acceptance import Asked
from dpsync.intake.held_merges import Merging
from dpsync.intake.payload import parse_request
from dpsync.intake.receipt_time import dated
from dpsync.intake.sources import forms, reading
from dpsync.intake.sources.rules import MergeTold, SourceDelivery, SourceMapping, Wish, within
from dpsync.intake.sources.schemes import Closed, Pairs, Scheme, SourceMessage, is_weak, scheme
from dpsync.model import Cause, Request, Right
from dpsync.propagation.controller import Controller
from dpsync.settings.sources import SourceSection

EVENT = "source event"
"""What the keyed digest is for that makes an event's id."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a delivery asks for and which records it says became one, ready for reception. `ignored`: the rules by which
    the rest of its messages mean nothing; `meaning`: how many mean something. `merge_wait`: see `merging.merge`. `job`:
    by what a platform's job of it is answered, "" for none.
    """

    asked: tuple[Asked, ...]
    ignored: tuple[str, ...]
    merges: tuple[Merging, ...] = ()
    merge_wait: timedelta = timedelta(0)
    meaning: int = 0
    job: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """`url` is where it writes to, as it spells it; `weak`: its secret proves little, so what it erases cools off."""

    name: str
    scheme: Scheme
    mapping: SourceMapping
    controller: Controller = field(repr=False)
    url: str = ""
    weak: bool = False

    def take(self, headers: Pairs, body: bytes, now: datetime) -> Taken:
        """What a delivery asks for. Raises `SignatureInvalid`, `PayloadInvalid`; then nothing of it counts."""
        self.scheme.verify(SourceMessage(headers, body, self.url, now))
        return self._taken(self._delivery(headers, body), now, weak=self.weak)

    def take_change(self, change: object, now: datetime) -> Taken:
        """What a change that was found in its outbox asks for. Raises `PayloadInvalid`."""
        return self._taken(SourceDelivery(self.name, change), now, weak=False)

    def _taken(self, delivery: SourceDelivery, now: datetime, *, weak: bool) -> Taken:
        understood = self.mapping.understand(delivery, self._digest)
        asked = [self._asked(wish, now, weak=weak) for wish in understood.wishes]
        merges = [merging_of(told, self.name, now) for told in understood.merges]
        wait, meaning = self.mapping.merge_wait, understood.meaning
        job = (
            forms.job(self.mapping.form, delivery.body, delivery.called)
            if self.name in self.controller.platforms
            else ""
        )
        return Taken(tuple(asked), understood.ignored, tuple(merges), wait, meaning, job)

    def is_from(self, headers: Pairs, body: bytes, now: datetime) -> bool:
        """Whether this source signed it, of whatever time: for what is refused before it is read."""
        try:
            self.scheme.verify(SourceMessage(headers, body, self.url, now))
        except (WebhookStale, PayloadInvalid):
            return True  # signed well all the same
        except SignatureInvalid:
            return False
        return True

    def _delivery(self, headers: Pairs, body: bytes) -> SourceDelivery:
        wanted = self.mapping.event_header.encode()
        called = [value for name, value in headers if wanted and name == wanted]
        return SourceDelivery(
            self.name,
            forms.read(self.mapping.form, body),
            called[0].decode("latin-1") if len(called) == 1 else "",
        )

    def _digest(self, parts: bytes) -> str:
        return self.controller.keys.mac(EVENT, self.name.encode() + b"\n" + parts).hex()[:32]

    def _asked(self, wish: Wish, now: datetime, *, weak: bool) -> Asked:
        request, body = request_of(wish, self.name, now)
        doubts = {Cause.MAYBE_MERGE} if wish.delete_shaped else set[Cause]()
        doubts |= {Cause.COOLING_OFF} if weak else set()
        doubts |= {Cause.FOR_A_PERSON} if wish.for_a_person else set()
        misdated = request.received_assumed and "received_at" in wish.data
        mac = events.body_mac(self.controller, body)
        return Asked(request, mac, now, frozenset(doubts), misdated=misdated, own_event=wish.own_event)


def request_of(wish: Wish, source: str, now: datetime) -> tuple[Request, bytes]:
    """The request that a wish is, and the bytes by which it is known again. Raises `PayloadInvalid`.

    Of the wish, not of what it came in: a sender counts its attempts there, and a repetition is the same wish.
    """
    body = json.dumps(wish.data, sort_keys=True).encode()
    try:
        strict_json.load(body)  # the message may hold anything, but not what is taken from it
        data, alone = dated(wish.data, now), wish.for_a_person
        return parse_request(data, source=source, event_id=wish.event, now=now, for_a_person=alone), body
    except PayloadInvalid as refusal:
        raise within(wish.at, refusal) from None


def merging_of(told: MergeTold, source: str, now: datetime) -> Merging:
    """What a merge says, in the form of requests, by which names are known. Raises `PayloadInvalid`."""
    subjects = [told.winner, *told.losers]
    body = json.dumps(subjects, sort_keys=True).encode()
    opt_out = {"right": Right.OPT_OUT.value, "ground": "direct_marketing_objection"}
    try:
        strict_json.load(body)
        winner, *losers = (
            parse_request({**opt_out, "subject": one}, source=source, event_id=told.event, now=now) for one in subjects
        )
    except PayloadInvalid as refusal:
        raise within(told.at, refusal) from None
    return Merging(source, told.event, tuple(losers), winner, body)


def sources_of(there: Installation) -> Mapping[str, Source]:
    """All of the settings, by name. Raises `ConfigurationError` that names each fault."""
    found, faults = dict[str, Source](), list[Fault]()
    for name, section in there.settings.sources.items():
        try:
            found[name] = source_of(there, name, section)
        except ConfigurationError as error:
            faults += error.faults
    if faults:
        raise ConfigurationError(faults)
    return found


def source_of(there: Installation, name: str, section: SourceSection) -> Source:
    """One of them. Raises `ConfigurationError`, its faults under `sources.<name>`."""
    try:
        return _made(there, name, section)
    except ConfigurationError as error:
        inside = "" if all(one.key.startswith("sources.") for one in error.faults) else f"sources.{name}."
        raise ConfigurationError([Fault(f"{inside}{one.key}", one.problem, one.code) for one in error.faults]) from None


def _made(there: Installation, name: str, section: SourceSection) -> Source:
    public_url = there.settings.intake.public_url
    if section.scheme == "hubspot-v3" and public_url is None:
        raise ConfigurationError([Fault("scheme", "signs the address that it writes to: set [intake] public_url")])
    try:
        mapping = reading.load(section.mapping, there.config.parent)
    except ConfigurationError as error:
        raise ConfigurationError([Fault("mapping", f"{one.key}: {one.problem}") for one in error.faults]) from None
    secrets = [secret.get_secret_value() for secret in section.secrets]
    return Source(
        name,
        scheme(section.scheme, secrets, section.header or "") if section.scheme else Closed(),
        mapping,
        there.controller,
        f"{public_url}/requests/{name}" if public_url else "",
        is_weak(section.scheme or ""),
    )
