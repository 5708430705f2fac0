"""The webhooks that a vendor has registered: whether ours is among them, registering it, and having one sent.

What a vendor says that it did is read back. An address of ours holds a secret, so none is ever shown.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from sqlalchemy import select

from dpsync.connector import HookedPlace, RegistersHooks, VendorHook
from dpsync.connector_services import NoAnswer
from dpsync.errors import CredentialsRejected, NotFound, ProcessorError
from dpsync.installation import Installation
from dpsync.known_connectors import connector_class
from dpsync.settings import Settings
from dpsync.store import tables as t
from dpsync.vendor.errors import Ended

REJECTED: Final = "it does not accept our credential"
NO_SECRET: Final = "its section has no `inbound_secret`"
NO_URL: Final = "[intake] has no `public_url`"
STOPPED: Final = "its account is stopped (`dpsync resume`): nothing is sent to it"
NOT_SO: Final = "it said yes, and does not show it"
ARRIVED: Final = "it sent one, and it arrived"
NO_TEST: Final = "a message of ours came through; the vendor has no test of its own"
UNHEARD: Final = "nobody tells dpsync who opts out there: no webhook of this connector says so"
ELSEWHERE: Final = "our public address takes whatever is sent there, so that is not dpsync"

_TEMPLATE: Final = "/in/{processor}/{secret}"


class HookState(StrEnum):
    """How it stands with our webhook in one place, from the best to the worst. `NONE`: there is no such webhook."""

    REGISTERED = "registered"
    DEAF = "registered, and tells nothing"
    OUTDATED = "registered with another secret"
    MISSING = "not registered"
    UNKNOWN = "not known"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OurHook:
    """Our webhook in one place, or why nothing is known of a processor (then `place` is "").

    `others`: how many there are of other systems. `why`: of its state. `tried`: what came of a test, in words.
    `arrived`: whether that shows that one arrives.
    """

    processor: str
    place: str
    title: str
    state: HookState
    why: str = ""
    others: int = 0
    tried: str = ""
    arrived: bool | None = None
    hook: VendorHook | None = field(default=None, repr=False)


def with_hooks(settings: Settings) -> list[str]:
    """The processors whose vendor can be asked for its webhooks; no connector is built."""
    kinds = {name: connector_class(one.connector) for name, one in settings.processors.items()}
    return [name for name, kind in kinds.items() if kind is not None and issubclass(kind, RegistersHooks)]


def unheard(settings: Settings, processor: str | None) -> list[OurHook]:
    """All processors, or this one, whose vendor has no webhook by which dpsync would hear of an opt-out."""
    names = settings.processors.keys() - with_hooks(settings)
    return [OurHook(name, "", "", HookState.NONE, UNHEARD) for name in sorted(names) if processor in (None, name)]


class VendorHooks:
    """The webhooks of one processor. Raises `NotFound` where its vendor cannot be asked for them."""

    def __init__(self, there: Installation, processor: str) -> None:
        found = there.controller.processors.get(processor)
        if found is None or not isinstance(found.connector, RegistersHooks):
            raise NotFound(f"there is no processor {processor} whose webhooks dpsync can look after")
        self._there, self._name, self._account = there, processor, found.account
        self._connector: RegistersHooks = found.connector
        secret, base = there.settings.processors[processor].inbound_secret, there.controller.public_url
        self._ours = f"{base}/in/{processor}/"
        self._url = self._ours + secret.get_secret_value() if secret else ""
        self._lacks = NO_SECRET if secret is None else "" if base else NO_URL

    def listed(self) -> list[OurHook]:
        """How it stands in each place. Only reads."""
        if self._lacks:
            return [self._unknown(self._lacks)]
        found: list[OurHook] = []
        try:
            found.extend(map(self._ours_in, self._connector.hooked()))
        except Ended as end:
            found.append(self._unknown(end.outcome.reason))
        except CredentialsRejected:
            found.append(self._unknown(REJECTED))
        return found

    def registered(self) -> list[OurHook]:
        """Register it wherever it is not; what is so already is left alone. Each is read back."""
        if self._is_stopped():
            return [self._unknown(STOPPED)]
        before = self.listed()
        refused = {one.place: self._register(one) for one in before if _is_wanted(one)}
        if not refused:
            return before
        return [
            replace(one, why=refused[one.place] or one.why or NOT_SO)
            if one.place in refused and one.state is not HookState.REGISTERED
            else one
            for one in self.listed()
        ]

    def tried(self) -> list[OurHook]:
        """Have one sent to each place where it is registered, by the vendor where it can, and else by ourselves."""
        if self._is_stopped():
            return [self._unknown(STOPPED)]
        found = self.listed()
        if not any(one.state is HookState.REGISTERED for one in found):
            return found
        trouble = self._trouble_of_our_own()
        return [self._tried(one, trouble) if one.state is HookState.REGISTERED else one for one in found]

    # --- one place

    def _ours_in(self, place: HookedPlace) -> OurHook:
        ours = sorted(
            ((self._state_of(hook), hook) for hook in place.hooks if hook.url.startswith(self._ours)),
            key=lambda one: list(HookState).index(one[0]),
        )
        state, hook = ours[0] if ours else (HookState.MISSING, None)
        why, others = hook.deaf if hook and state is HookState.DEAF else "", len(place.hooks) - len(ours)
        return OurHook(self._name, place.place, place.title, state, why, others, hook=hook)

    def _state_of(self, hook: VendorHook) -> HookState:
        if hook.url != self._url:
            return HookState.OUTDATED
        return HookState.DEAF if hook.deaf else HookState.REGISTERED

    def _register(self, one: OurHook) -> str:
        """Why not, "" where it was said to be done."""
        try:
            self._connector.register_hook(one.place, self._url, one.hook)
        except Ended as end:
            return end.outcome.reason
        except CredentialsRejected:
            return REJECTED
        return ""

    def _tried(self, one: OurHook, trouble: str) -> OurHook:
        if one.hook is None:
            return one
        try:
            said = self._connector.try_hook(one.place, one.hook)
        except Ended as end:
            return replace(one, tried=end.outcome.reason, arrived=False)
        except CredentialsRejected:
            return replace(one, tried=REJECTED, arrived=False)
        if said is None:
            return replace(one, tried=trouble or NO_TEST, arrived=not trouble)
        return replace(one, tried=said or ARRIVED, arrived=not said)

    # --- our own address

    def _trouble_of_our_own(self) -> str:
        """Why a message to our public address does not arrive, "" where it does; one to a wrong secret must not."""
        kind, body = self._connector.sample
        found = self._sent(self._url, kind, body)
        if found != 200:
            return f"our public address answers {found}" if found else "our public address does not answer"
        return ELSEWHERE if self._sent(self._ours + secrets.token_urlsafe(32), kind, body) == 200 else ""

    def _sent(self, url: str, kind: str, body: bytes) -> int:
        try:
            return self._there.http.call(
                "POST", url, template=_TEMPLATE, headers={"Content-Type": kind}, body=body
            ).status
        except (NoAnswer, ProcessorError):
            return 0

    def _is_stopped(self) -> bool:
        chosen = select(t.account.c.stopped).where(t.account.c.id == self._account)
        return bool(self._there.read(lambda connection: connection.execute(chosen).scalar()))

    def _unknown(self, why: str) -> OurHook:
        return OurHook(self._name, "", "", HookState.UNKNOWN, why)


def is_good(found: Sequence[OurHook]) -> bool:
    """Whether it is registered wherever there can be one, and no test says otherwise."""
    wanted = [one for one in found if one.state is not HookState.NONE]
    return all(one.state is HookState.REGISTERED and one.arrived is not False for one in wanted)


def _is_wanted(one: OurHook) -> bool:
    return one.state in (HookState.DEAF, HookState.OUTDATED, HookState.MISSING)
