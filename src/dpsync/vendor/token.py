"""The access token of an account, and how a new one is come by (OAuth 2, RFC 6749).

A refresh token may be good once only, and whoever spends it twice is locked out until a person authorises anew. So
nobody spends one before the shelf says so to every other process, and no new one is used before the shelf has it.
"""

import base64
import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from dpsync.connector import Kit, Reply, Retryable
from dpsync.connector_services import NoAnswer
from dpsync.errors import CredentialsRejected
from dpsync.http import json_of, says_json
from dpsync.vendor.calls import Calls, part_of
from dpsync.vendor.errors import Ended, refused, unreadable

RENEWING: Final = "another process is renewing the token"
ANEW: Final = "authorise the app anew and put the new refresh_token in the settings; the old one is used up"

_LOST: Final = "lost"
_IN_FLIGHT: Final = timedelta(minutes=5)  # longer than any call lasts
_SAYS_ERROR: Final = frozenset({200, 400, 401, 403, 429})  # besides faults; a 404 is about the place, and anybody's
_EARLY: Final = timedelta(minutes=1)  # a token must not end under way


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and, where there is one, what renews it.

    `ends`: when it is over, as `instant` writes it, "" where nobody says. `begun`: since when a renewal is under way,
    or that the answer to one was lost.
    """

    access: str = field(default="", repr=False)
    ends: str = ""
    refresh: str = field(default="", repr=False)
    begun: str = ""


@dataclass(frozen=True, slots=True)
class TokenCall:
    """How a token is asked for: `form` is all that is sent besides the refresh token. `template` as of `Calls.call`."""

    url: str
    template: str
    form: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class TokenCalls(Calls, ABC):
    """Calls that bear a token. The connector says what the answer to a token call means."""

    @abstractmethod
    def granted(self, reply: Reply) -> Token:
        """The token that this answer gives; see `token_in`. Raises `Ended`, `CredentialsRejected`."""

    @staticmethod
    def speaks_oauth(reply: Reply) -> bool:
        """Whether the answer to a token call is an error as OAuth has it (section 5.2): one of its words."""
        word = part_of(reply, "error")
        spoken = isinstance(word, str) and re.fullmatch(r"[a-z_]+", word) is not None
        return spoken and (reply.status in _SAYS_ERROR or reply.status >= 500)


class RenewableToken:
    """The token of one account: shared by threads, and through the shelf by processes and restarts.

    `first`: what the settings give. Without a refresh token in it, whatever asks for a token stays good, so it may be
    asked for as often as one likes. With one it is spent by one process at a time, and what becomes of it where the
    answer is lost is said by `once`: it is never sent a second time, so that a person is called (`anew` says what for);
    or it is tried again, for a vendor that does not say whether it may be, because then nothing is left to lose.

    `place`: the shelf's key. It must depend on what the settings give: what somebody configures anew then has a place
    of its own, and an old token never wins over it.
    """

    def __init__(
        self, kit: Kit, place: str, call: TokenCall, first: Token = Token(), *, once: bool = True, anew: str = ANEW
    ) -> None:
        self._shelf = kit.shelf
        self._clock = kit.clock
        self._place = place
        self._call = call
        self._first = first
        self._once = once
        self._anew = anew
        self._lock = threading.Lock()
        self._token = Token()

    def access(self, calls: TokenCalls, refused: str = "", *, over: bool = True) -> str:
        """An access token that is not past its end; another than the `refused` one, where there can be one.

        A refused one is renewed where `over`: the vendor's answer says that its time is over. Else only where a renewal
        is under way or was lost, for that may have made the old token any kind of dead; without one the refused token
        itself is given back. Raises `Ended`, `CredentialsRejected`.
        """
        with self._lock:
            if refused or self._ended(self._token):
                self._read()
                dead = self._token.access == refused and (over or bool(self._token.begun))
                if dead or self._ended(self._token):
                    self._renew(calls)
            return self._token.access

    def renewed(self, calls: TokenCalls) -> str:
        """A new access token, whatever is kept: to try out what asks for it. Raises as `access`."""
        with self._lock:
            self._renew(calls)
            return self._token.access

    def lasts(self) -> bool:
        """Whether there is a token that was not asked for just now and is not past its end."""
        with self._lock:
            if self._ended(self._token):
                self._read()
            return not self._ended(self._token)

    def _ended(self, token: Token) -> bool:
        soon = instant(self._clock.now() + _EARLY)
        return not token.access or ("" < token.ends <= soon)

    def _read(self) -> str | None:
        kept = self._shelf.get(self._place)
        self._token = _token(kept) if kept else self._first
        return kept

    def _renew(self, calls: TokenCalls) -> None:
        kept = self._read()
        try:
            self._token = self._renewed(calls, kept, self._token)
        except Ended as end:
            raise Ended(end.outcome, stop=True) from None  # without a token every call would meet the same

    def _renewed(self, calls: TokenCalls, kept: str | None, token: Token) -> Token:
        if not self._first.refresh:
            fresh = calls.granted(self._asked(calls, {}))
            self._shelf.put(self._place, _text(fresh))
            return fresh
        marked = self._marked(calls, kept, token)
        try:
            fresh = self._spent(calls, token.refresh)
        except Exception as failure:
            unspent = self._once and isinstance(failure, Ended)
            self._shelf.swap(self._place, marked, _text(token if unspent else replace(token, begun=_LOST)))
            raise
        # durable before it is used: the old pair may be worth nothing any more
        if not self._shelf.swap(self._place, marked, _text(fresh)) and self._once:
            self._shelf.put(self._place, _text(fresh))
        return fresh

    def _marked(self, calls: TokenCalls, kept: str | None, token: Token) -> str:
        """Keep every other process from spending it. If we crash after this, nobody knows whether it was spent."""
        now = self._clock.now()
        lost = token.begun == _LOST or bool(token.begun and now - datetime.fromisoformat(token.begun) > _IN_FLIGHT)
        if lost and self._once:
            raise self._lost(calls)
        marked = _text(replace(token, begun=instant(now)))
        if (token.begun and not lost) or not self._shelf.swap(self._place, kept, marked):
            raise Ended(Retryable(reason=RENEWING, busy=True, retry_after=timedelta(seconds=5)))
        return marked

    def _spent(self, calls: TokenCalls, refresh: str) -> Token:
        """A new token for a refresh token. Of one that is good once, `Ended` says that it surely was not taken."""
        reply = self._asked(calls, {"refresh_token": refresh})
        # turned away at the door, or before it; after any other answer it may be spent
        perhaps = reply.status >= 500 or (reply.status < 300 and says_json(reply))
        taken = reply.status != 429 and (perhaps or calls.is_own(reply, writing=False))
        try:
            fresh = calls.granted(reply)
        except (Ended, CredentialsRejected):
            if self._once and taken:
                raise calls.rejected(reply, self._anew) from None
            raise
        if self._once and not fresh.refresh:
            raise calls.rejected(reply, self._anew)
        return replace(fresh, refresh=fresh.refresh or refresh)

    def _asked(self, calls: TokenCalls, spent: Mapping[str, str]) -> Reply:
        asked = self._call
        headers = {"Content-Type": "application/x-www-form-urlencoded", **asked.headers}
        body = urlencode({**asked.form, **spent}).encode()
        try:
            return calls.call("POST", asked.url, template=asked.template, headers=headers, body=body)
        except NoAnswer as failure:
            if failure.sent and spent and self._once:
                raise self._lost(calls) from None
            raise Ended(calls.unheard(failure, writing=False)) from None

    def _lost(self, calls: TokenCalls) -> CredentialsRejected:
        """That nobody knows whether the refresh token was spent."""
        at = f"POST {self._call.template}"
        return CredentialsRejected(at, None, evidence=calls.kept, doubtful=calls.touched, advice=self._anew)


def token_in(reply: Reply, now: datetime) -> Token:
    """The token in an answer as RFC 6749 has it (section 5.1); only a 200 gives one. Raises `Ended`."""
    match json_of(reply) if reply.status == 200 else None:
        case {"access_token": str(access), **more} if access:
            refresh, seconds = more.get("refresh_token"), more.get("expires_in")
            if seconds is None or isinstance(seconds, int | float):
                lasts = None if seconds is None else timedelta(seconds=min(max(float(seconds), 0.0), 1e7))
                ends = "" if lasts is None else instant(now + lasts)
                return Token(access, ends, refresh if isinstance(refresh, str) else "")
    raise unreadable() if 200 <= reply.status < 300 else refused()


def basic(user: str, password: str) -> str:
    """The value of `Authorization` by name and password (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def instant(moment: datetime) -> str:
    """One spelling, so that texts compare as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _text(token: Token) -> str:
    return json.dumps(asdict(token))


def _token(text: str) -> Token:
    kept = json.loads(text)
    # Campaign Monitor's stood as a list before the others
    return Token(**kept) if isinstance(kept, dict) else Token(kept[0], "", *kept[1:])
