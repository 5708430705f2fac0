"""Access tokens for the controller's own mail host: OAuth 2 where it accepts no password (Microsoft 365, Google).

Two grants. Client credentials (RFC 6749, 4.4), for Microsoft 365:
learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow. And a refresh token (section 6), for
Google: developers.google.com/identity/protocols/oauth2/web-server#offline. What the errors mean is in section 5.2; the
numbers that Microsoft adds (`error_codes`) are those of its AADSTS codes.

Trouble here is ours and no processor's: letters wait. A secret, a token or a sentence of the endpoint is never kept.
"""

import threading
from typing import Any, Final
from urllib.parse import urlencode

from dpsync.connector_services import Clock, NoAnswer, Reply
from dpsync.errors import DpsyncError, MailAccessRefused
from dpsync.http import TLS_FAILED, HttpClient, json_of
from dpsync.settings.sections import OAuthSection

LONGEST: Final = 10.0
"""Seconds for one call of the token endpoint. Two of them and one conversation with the mail host stay below the minute
that whoever takes an account over waits for (`CALL_SECONDS`)."""

EARLY: Final = 120.0
"""A token must not end under way: by so many seconds before its end there is a new one."""

JUST_NOW: Final = 60.0
"""A token that is no older and is refused was not refused for its age: a new one would meet the same."""

_ENDPOINT: Final = "SMTP AUTH (token endpoint)"
_LATER: Final = frozenset({408, 425, 429})
_ADVICE: Final = {
    "invalid_client": "client_id or client_secret in [mail.oauth] is wrong, or the secret has expired",
    "invalid_grant": "refresh_token in [mail.oauth] is wrong, revoked or expired: authorise the app anew",
    "invalid_scope": "scope in [mail.oauth] is wrong",
    "unauthorized_client": "the app with this client_id does not exist there, or may not get tokens in this way",
    "unsupported_grant_type": "the token endpoint gives no tokens in this way",
}
_NOT_KNOWN: Final = "the token endpoint rejects what we ask: compare token_url, client_id and scope in [mail.oauth]"
_NOT_ONE: Final = "token_url in [mail.oauth] does not answer as a token endpoint does: is it right?"
_CHANGES: Final = (
    "the token endpoint changes the refresh token with each use, and dpsync does not keep the new one: use client "
    "credentials (leave out refresh_token, and set scope)"
)


class MailAccess:
    """Gives access tokens, shared by threads and kept in memory until shortly before their end.

    `longest`: seconds for one call of the token endpoint. Raises `ConfigurationError` for a secret that is not set.
    """

    def __init__(self, section: OAuthSection, clock: Clock, *, rehearsal: bool, longest: float = LONGEST) -> None:
        self._url = section.token_url
        self._refresh = section.refresh_token.get_secret_value() if section.refresh_token else ""
        grant = (
            {"grant_type": "refresh_token", "refresh_token": self._refresh}
            if self._refresh
            else {"grant_type": "client_credentials"}
        )
        secret = section.client_secret.get_secret_value()
        asked = {**grant, "client_id": section.client_id, "client_secret": secret, "scope": section.scope or ""}
        self._form = urlencode({name: value for name, value in asked.items() if value}).encode()
        self._clock = clock
        self._rehearsal = rehearsal
        self._longest = longest
        self._lock = threading.Lock()
        self._token = ""
        self._since = self._ends = float("-inf")
        self._failures = 0
        self._trouble: DpsyncError | None = None

    def token(self, refused: str = "") -> str:
        """A token that is not past its end; another than the `refused` one, unless that one is new.

        Raises `NoAnswer` (the token endpoint does not answer: later) and `MailAccessRefused` (a person must look).
        """
        failures = self._failures
        with self._lock:
            if self._trouble and self._failures > failures:
                raise self._trouble  # it met somebody while we waited: asking once more would only take as long
            if not self._is_good(refused):
                try:
                    self._renew()
                except (NoAnswer, MailAccessRefused) as trouble:
                    self._failures, self._trouble = self._failures + 1, trouble
                    raise
            return self._token

    def _is_good(self, refused: str) -> bool:
        now = self._clock.monotonic()
        if refused and refused == self._token:
            return now < self._since + JUST_NOW
        return now < self._ends - EARLY

    def _renew(self) -> None:
        asked = self._clock.monotonic()
        reply = self._answer()
        said = json_of(reply)
        match said if reply.status == 200 else None:
            case {"access_token": str(token), **more} if token and token.isascii() and token.isprintable():
                if self._refresh and more.get("refresh_token", self._refresh) != self._refresh:
                    raise self._refused(reply, _CHANGES)
                lasts = more.get("expires_in")
                self._token, self._since = token, asked
                self._ends = asked + (lasts if isinstance(lasts, int | float) else 0)
            case _:
                raise self._no_token(reply, said)

    def _answer(self) -> Reply:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            # A client of its own: once an hour there is nothing to pool, and a letter must not wait a minute for it.
            with HttpClient(self._clock, rehearsal=self._rehearsal, longest=self._longest, cap=100_000) as http:
                return http.call("POST", self._url, template="token", headers=headers, body=self._form)
        except NoAnswer as failure:
            said = "the certificate of the token endpoint is not trusted"
            reason = said if failure.reason == TLS_FAILED else "the token endpoint did not answer"
            raise NoAnswer(reason, failure.evidence, sent=False) from None

    def _no_token(self, reply: Reply, said: object) -> NoAnswer | MailAccessRefused:
        if reply.status in _LATER or reply.status >= 500:
            return NoAnswer("the token endpoint asks to try later", reply.evidence, sent=False)
        match said:
            case {"error": str(error), **more} if 400 <= reply.status < 500:
                return self._refused(reply, _ADVICE.get(error, _NOT_KNOWN) + _number(more.get("error_codes")))
        return self._refused(reply, _NOT_ONE)

    def _refused(self, reply: Reply, advice: str) -> MailAccessRefused:
        return MailAccessRefused(_ENDPOINT, reply.status, evidence=(reply.evidence,), advice=advice)


def _number(codes: Any) -> str:
    """Microsoft's own number of an error, by which its pages explain it."""
    match codes:
        case [int(code), *_] if 0 < code < 10**9:
            return f" (AADSTS{code})"
    return ""
