"""Google Analytics' calls: deletions asked for, and the tokens for them."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from dpsync.connector import Instruction, Kit, Reply
from dpsync.http import api_root, json_of, retry_after
from dpsync.vendor.calls import Secret
from dpsync.vendor.connector import VendorSettings
from dpsync.vendor.errors import BUSY, Error, Meaning, refused, unreadable
from dpsync.vendor.pace import Pace, until_tomorrow
from dpsync.vendor.token import RenewableToken, Token, TokenCall, TokenCalls, token_in

_API: Final = "https://www.googleapis.com"
_TOKENS: Final = "https://oauth2.googleapis.com"
_TOKEN: Final = "/token"
_SCOPE: Final = "https://www.googleapis.com/auth/analytics.user.deletion"
_UPSERT: Final = "/analytics/v3/userDeletion/userDeletionRequests:upsert"
_A_DAY: Final = 500  # queries, of the calling project and of each property
_GAP: Final = 0.7  # seconds between two calls to one property, of which 1.5 a second are allowed
_PACIFIC: Final = ZoneInfo("America/Los_Angeles")

WRONG: Final = "the processor does not know the property, or the kind of id"
NO_RIGHT: Final = "who gave the refresh token may not delete users in this property, or it is there no longer"
QUOTA: Final = "quota"
ERRORS: Final[tuple[Error, ...]] = (
    Error((403,), (QUOTA,), Meaning.BUSY, BUSY),
    Error((401, 403), (), Meaning.REJECTED),
)


def _property(written: str) -> str:
    if written.upper().startswith("UA-"):
        raise ValueError("is a Universal Analytics property: its interface ended in July 2024")
    if not re.fullmatch(r"[0-9]{1,20}", written):
        raise ValueError("must be the number of a Google Analytics 4 property")
    return written


class GoogleAnalyticsSettings(VendorSettings):
    """An OAuth client, and the refresh token by which somebody who may edit the properties let it delete users.

    `properties`: the numbers of the Analytics 4 properties. `user_id`: the site sends the subject's id as its USER_ID.
    """

    client_id: str = Field(pattern=r"^[!-~]{1,256}$")
    client_secret: Secret
    refresh_token: Secret
    properties: tuple[Annotated[str, AfterValidator(_property)], ...] = Field(min_length=1, max_length=100)
    user_id: bool = False
    base_url: Annotated[str, AfterValidator(api_root)] | None = None


def token_of(settings: GoogleAnalyticsSettings, kit: Kit) -> RenewableToken:
    """The token of the account. The refresh token stays good, so it is a part of the form like any other."""
    refresh, secret = settings.refresh_token.get_secret_value(), settings.client_secret.get_secret_value()
    form = {"grant_type": "refresh_token", "client_id": settings.client_id, "client_secret": secret}
    call = TokenCall((settings.base_url or _TOKENS) + _TOKEN, _TOKEN, {**form, "refresh_token": refresh})
    return RenewableToken(kit, f"token/{kit.pseudonym(refresh)}", call)


def pace_of(kit: Kit, sleep: Callable[[float], None]) -> Pace:
    """As its page on quotas says; the days are Google's. Which of them it counts, the page does not say."""
    return Pace(kit, gap=_GAP, a_day=_A_DAY, zone=_PACIFIC, sleep=sleep)


class Calls(TokenCalls):
    """The calls of one instruction."""

    errors = ERRORS
    marks = frozenset({"deletionRequestTime", "propertyId", "access_token"})

    def __init__(
        self, kit: Kit, base: str | None, token: RenewableToken, pace: Pace, order: Instruction | None
    ) -> None:
        super().__init__(kit, order)
        self._url = (base or _API) + _UPSERT
        self._token = token
        self._pace = pace

    def speaks(self, reply: Reply) -> bool:
        """As Google's interfaces say it; at the token call as OAuth does."""
        match json_of(reply):
            case {"error": {"code": int()}}:
                return True
        return reply.evidence.endpoint == f"POST {_TOKEN}" and self.speaks_oauth(reply)

    def code(self, reply: Reply) -> str:
        """Why it said no. Which words it has for a used-up quota is not documented for this interface: all are one."""
        reason = _reason(reply)
        return QUOTA if "limit" in reason or "quota" in reason else reason

    def delete(self, place: str, kind: str, value: str) -> datetime:
        """Ask for one deletion, and again with a new token where one that was good is over or was ended early.

        Until when Google deletes what it collected. Raises `Ended`, `CredentialsRejected`.
        """
        sent = {"kind": "analytics#userDeletionRequest", "id": {"type": kind, "userId": value}, "propertyId": place}
        good = self._token.lasts()
        token = self._token.access(self)
        reply = self._ask(token, place, sent)
        if good and reply.status == 401:
            reply = self._ask(self._token.access(self, refused=token), place, sent)
        # a 403 and a 400 say something else at the token call
        if reply.status == 403 and self.code(reply) != QUOTA:
            raise self.rejected(reply, NO_RIGHT)
        self._demand_sense(reply, writing=True)
        if reply.status == 400 and self.code(reply):
            raise refused(WRONG)
        self.no(reply)
        until = _queued(reply, place, kind, value)
        if until is None:
            raise unreadable(doubtful=True)
        return until

    def granted(self, reply: Reply) -> Token:
        """A token whose scope is the one that deletes. Raises `Ended`, `CredentialsRejected`."""
        self.demand_own(reply, writing=False, counts=False)  # of another host than the deletions
        self._demand_sense(reply, writing=False)
        match json_of(reply):
            case {"error": str()} if reply.status == 400:
                raise self.rejected(reply)
            case {"scope": str(scope)} if reply.status == 200:
                if _SCOPE not in scope.split():
                    raise self.rejected(reply)
                return token_in(reply, self._kit.clock.now())
        raise unreadable() if 200 <= reply.status < 300 else refused()

    def _ask(self, token: str, place: str, sent: Mapping[str, object]) -> Reply:
        self._pace.take(place, "project")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps(sent).encode()
        return self.ask("POST", self._url, template=_UPSERT, headers=headers, body=body, scope=place)

    def _demand_sense(self, reply: Reply, *, writing: bool) -> None:
        """A quota that says neither that it is of the moment nor how long is that of the day."""
        now = self._kit.clock.now()
        wait = retry_after(reply, now)
        if wait is None and self.code(reply) == QUOTA and not _reason(reply).endswith("ratelimitexceeded"):
            wait = until_tomorrow(now, _PACIFIC)
        self.demand_sense(reply, writing=writing, wait=wait)


def _reason(reply: Reply) -> str:
    match json_of(reply):
        case {"error": {"errors": [{"reason": str(reason)}, *_]}}:
            return reason.lower()
    return ""


def _queued(reply: Reply, place: str, kind: str, value: str) -> datetime | None:
    """The moment up to which data is deleted, None where the answer is not the one to this request."""
    found = json_of(reply)
    if reply.status != 200 or not isinstance(found, dict) or found.get("id") != {"type": kind, "userId": value}:
        return None
    if found.get("propertyId") != place:
        return None
    try:
        until = datetime.fromisoformat(str(found.get("deletionRequestTime")))
    except ValueError:
        return None
    return until if until.tzinfo is not None and until.year <= 9998 else None  # days are counted from it
