"""Hootsuite's calls: under a token of the app or of a member, and with three shapes of an error on one host."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Unpack
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr

from dpsync.connector import Instruction, Kit, Reply, Retryable
from dpsync.connector_services import NoAnswer
from dpsync.http import api_root, json_of, retry_after
from dpsync.vendor.calls import Parts, Secret
from dpsync.vendor.connector import VendorSettings
from dpsync.vendor.errors import BUSY, Ended, Error, Meaning, refused, unreadable
from dpsync.vendor.pace import until_tomorrow
from dpsync.vendor.token import RenewableToken, Token, TokenCall, TokenCalls, basic, token_in

VENDOR: Final = "https://platform.hootsuite.com"
TRACE = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")

_TOKEN: Final = "/oauth2/token"
_ATTRIBUTES: Final = "/inbox/v2/contact/{contactProfileId}/contact-attributes"

# besides the documented codes, what the token service of the same host calls it
_DEAD = frozenset({"1000", "1001", "1036", "token_expired", "token_inactive", "invalid_token", "request_unauthorized"})
_OVER_LIMIT = frozenset({"1003", "1004", "1043"})

MALFORMED: Final = "the processor rejected the attributes"
PARTLY: Final = "the processor said yes, and named errors beside it"
NOT_OURS: Final = "the contact belongs to another organisation"
NO_RIGHT: Final = "the app or its member lacks the permission; the token itself is good"
REVOKED: Final = "the app is not linked to the organisation any more"


GONE: Final = Error((404,), (), Meaning.LEFT)
ERRORS: Final[tuple[Error, ...]] = (
    Error((403,), ("1202",), Meaning.NO, NOT_OURS),
    Error((401, 403), ("request_forbidden",), Meaning.REJECTED, REVOKED),
    Error((401, 403), ("invalid_client", *_DEAD), Meaning.REJECTED),
    Error((401, 403), (), Meaning.REJECTED, NO_RIGHT),
    Error((400,), (), Meaning.NO, MALFORMED),
    GONE,
)


def _hexadecimal(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2}){16,}", secret.get_secret_value()):
        raise ValueError("must be 32 or more hexadecimal digits")
    return secret


class HootsuiteSettings(VendorSettings):
    """`webhook_secret`: as Inbox shows it, in hexadecimal. `attributes`: what the CRM-managed ones are called there."""

    client_id: str = Field(pattern=r"^[!-9;-~]+$")
    client_secret: Secret
    organization_id: str = Field(pattern=r"^[0-9]{1,20}$")
    refresh_token: Secret | None = None
    webhook_secret: Annotated[SecretStr, AfterValidator(_hexadecimal)] | None = None
    attributes: Mapping[Literal["email", "first_name", "last_name"], str] = Field(default_factory=dict)
    base_url: Annotated[str, AfterValidator(api_root)] | None = None


def _errors(reply: Reply) -> list[object]:
    """The errors of an answer in whichever shape: REST and Inbox (`errors`), OAuth (`error`), SCIM (`schemas`)."""
    match json_of(reply):
        case {"errors": list(errors)}:
            return errors
        case {"error": str()} | {"schemas": list(), "status": str()} as said:
            return [said]
    return []


def _codes(reply: Reply) -> frozenset[str]:
    return frozenset(str(one.get("code", one.get("error"))) for one in _errors(reply) if isinstance(one, dict))


def _wait(reply: Reply, now: datetime) -> timedelta | None:
    """How long to wait. No Retry-After is documented: the next second, or the next day where the quota is used up."""
    if "retry-after" in reply.headers or reply.status != 429:
        return retry_after(reply, now)
    quota, used = (str(reply.headers.get(name)) for name in ("x-account-quota", "x-account-quota-used"))
    if re.fullmatch(r"[0-9]{1,15}", quota) and re.fullmatch(r"[0-9]{1,15}", used) and int(used) >= int(quota):
        return until_tomorrow(now)  # in whose time zone their day ends is not documented
    return timedelta(seconds=1)


def token_of(settings: HootsuiteSettings, base: str, kit: Kit) -> RenewableToken:
    """What a member of the organisation allowed, whose refresh token is good once only; or what the app itself may."""
    refresh = settings.refresh_token.get_secret_value() if settings.refresh_token else ""
    of_the_app = {"grant_type": "organization_app", "organization_id": settings.organization_id}
    form = {"grant_type": "refresh_token"} if refresh else of_the_app
    # whose app it is: the vendor refuses these two in a body
    header = basic(settings.client_id, settings.client_secret.get_secret_value())
    call = TokenCall(base + _TOKEN, _TOKEN, form, {"Authorization": header})
    place = kit.pseudonym(refresh or f"{settings.client_id}/{settings.organization_id}")
    return RenewableToken(kit, f"token/{place}", call, Token(refresh=refresh))


class HootsuiteCalls(TokenCalls):
    """The calls of one instruction."""

    errors = ERRORS
    marks = frozenset({"data", "access_token"})

    def __init__(self, kit: Kit, base: str, token: RenewableToken, order: Instruction | None) -> None:
        super().__init__(kit, order)
        self._base = base
        self._token = token

    def data(self, template: str) -> list[dict[str, object]]:
        """The list in a read's envelope; clean only without errors beside it. Raises `Ended`."""
        reply = self._tell("GET", template)
        match json_of(reply):
            case {"data": list(rows)} if reply.status == 200 and not _errors(reply):
                return [row for row in rows if isinstance(row, dict)]
        raise unreadable() if reply.status == 200 else refused()

    def put_attributes(self, contact: str, whole: Mapping[str, str | None]) -> bool:
        """Write the complete set: whoever is not in it is deleted. Whether the contact is there. Raises `Ended`."""
        rows = [{"attribute": name, "value": value} for name, value in whole.items()]
        body = json.dumps({"autoConfirm": True, "contactAttributes": rows}).encode()
        reply = self._tell("PUT", _ATTRIBUTES, contact, body)
        if self.no(reply, GONE):
            return False
        if _errors(reply):
            raise refused(PARTLY)
        if reply.status != 200 or not isinstance(json_of(reply), dict):
            raise unreadable(doubtful=True)
        return True

    def granted(self, reply: Reply) -> Token:
        """The token in the answer to the token call. Raises `Ended`, `CredentialsRejected`."""
        self._demand_passable(reply, writing=False)
        if reply.status == 400 and self.shaped(reply, error=str):
            raise self.rejected(reply)
        self.no(reply)
        return token_in(reply, self._kit.clock.now())

    def code(self, reply: Reply) -> str | None:
        """Of several codes, one that means something here."""
        codes = _codes(reply)
        known = {str(code) for row in self.errors for code in row.codes}
        return next(iter(sorted(codes & known) or sorted(codes)), None)

    def speaks(self, reply: Reply) -> bool:
        """In one of the three shapes that an error has on its host."""
        return bool(_errors(reply)) and (self.shaped(reply, error_description=str) or not self.shaped(reply, error=str))

    def call(self, method: str, url: str, **parts: Unpack[Parts]) -> Reply:
        """Make one call, and keep the id that the vendor gives an error: no header is documented for it."""
        reply = super().call(method, url, **parts)
        ids = [str(one.get("id", "")) for one in _errors(reply) if isinstance(one, dict)]
        if ids and TRACE.fullmatch(ids[0]) and not reply.evidence.request_id:
            reply = replace(reply, evidence=replace(reply.evidence, request_id=ids[0]))
            self.evidence[-1] = reply.evidence
        return reply

    def _tell(self, method: str, template: str, place: str = "", body: bytes | None = None) -> Reply:
        """Make one call, and once more with a fresh token where the answer calls ours dead.

        Raises `Ended`, `CredentialsRejected`. What was answered 401 was not done, so it may be repeated.
        """
        writing = method != "GET"
        url = self._base + re.sub(r"\{\w+\}", quote(place), template)
        kind = {} if body is None else {"Content-Type": "application/json"}

        def make(token: str) -> Reply:
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", **kind}
            try:
                return self.call(method, url, template=template, headers=headers, body=body)
            except NoAnswer as failure:
                raise Ended(self.unheard(failure, writing=writing)) from None

        token = self._token.access(self)
        reply = make(token)
        # the Inbox documents no code for a dead token, so a 401 without any is taken for one
        if reply.status == 401 and (not _errors(reply) or _codes(reply) & _DEAD):
            reply = make(self._token.access(self, refused=token))
        self._demand_passable(reply, writing=writing)
        self.note_touch(reply, writing=writing)
        return reply

    def _demand_passable(self, reply: Reply, *, writing: bool) -> None:
        """Let through what the caller must understand; end what speaks of us, of the account or of a fault there."""
        self.demand_own(reply, writing=writing)
        wait = _wait(reply, self._kit.clock.now())
        if 400 <= reply.status < 500 and _codes(reply) & _OVER_LIMIT:
            raise Ended(Retryable(reason=BUSY, busy=True, retry_after=wait))
        self.demand_sense(reply, writing=writing, wait=wait)
