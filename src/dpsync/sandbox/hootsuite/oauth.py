"""Hootsuite's tokens: four grants, single use of codes and refresh tokens, and what a second use destroys.

Source: the vendor notes, section 1. Client id and secret come as HTTP Basic and in no other way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dpsync.sandbox.asked import Json, made_id
from dpsync.sandbox.hootsuite.inbox import Refusal

LIVES = timedelta(seconds=3_599)
CODE_LIVES = timedelta(minutes=10)


class OAuthRefusal(Refusal):
    """A no of the token endpoint."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(status, 0, description)
        self.error = error


@dataclass(slots=True)
class Token:
    """One access token. `organization` for an app's own, `member` for a person's; `code`: what it came from."""

    until: datetime
    client: str
    organization: str = ""
    member: str = ""
    code: str = ""
    revoked: bool = False


@dataclass(slots=True)
class Code:
    """One authorisation code."""

    client: str
    member: str
    redirect_uri: str
    until: datetime
    offline: bool = True
    used: bool = False


@dataclass(slots=True)
class Refresh:
    """One refresh token, good for one use and for ever until then."""

    client: str
    member: str
    code: str
    used: bool = False
    revoked: bool = False


@dataclass(slots=True)
class Tokens:
    """Everything that was given out."""

    clients: dict[str, str] = field(default_factory=dict)
    access: dict[str, Token] = field(default_factory=dict)
    refresh: dict[str, Refresh] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    counted: int = 0

    def client_of(self, basic: tuple[str, str]) -> str:
        """Whose name and secret these are. Raises `OAuthRefusal` 401."""
        name, secret = basic
        if self.clients.get(name) != secret:
            raise OAuthRefusal(401, "invalid_client", "Client authentication failed")
        return name

    def granted(
        self, client: str, form: Mapping[str, str], linked: Mapping[str, tuple[str, ...]], now: datetime
    ) -> Json:
        """A token for a grant; `linked`: the apps of each organisation. Raises `OAuthRefusal`."""
        match form.get("grant_type"):
            case "organization_app":
                home = form.get("organization_id", "")
                if client not in linked.get(home, ()):
                    raise OAuthRefusal(403, "request_forbidden", "A validator returned an error: not linked")
                return self._issue(Token(now + LIVES, client, organization=home))
            case "member_app" if form.get("member_id"):
                return self._issue(Token(now + LIVES, client, member=form["member_id"]))
            case "authorization_code":
                return self._by_code(client, form, now)
            case "refresh_token":
                return self._by_refresh(client, form, now)
            case "member_app":
                raise OAuthRefusal(400, "invalid_request", "A parameter is missing")
        raise OAuthRefusal(400, "unsupported_grant_type", "The grant type is not supported")

    def open_code(self, client: str, member: str, redirect_uri: str, now: datetime, *, offline: bool = True) -> str:
        """The code that a member's consent in the browser gives."""
        name = self._made("code")
        self.codes[name] = Code(client, member, redirect_uri, now + CODE_LIVES, offline)
        return name

    def _by_code(self, client: str, form: Mapping[str, str], now: datetime) -> Json:
        name = form.get("code", "")
        code = self.codes.get(name)
        if code is not None and code.used:
            for token in self.access.values():
                token.revoked = token.revoked or token.code == name
            for refresh in self.refresh.values():
                refresh.revoked = refresh.revoked or refresh.code == name
        known = code is not None and not code.used and code.client == client
        if code is None or not known or now >= code.until or form.get("redirect_uri") != code.redirect_uri:
            raise OAuthRefusal(400, "invalid_grant", "The authorization code is invalid, expired or was used")
        code.used = True
        return self._pair(Token(now + LIVES, client, member=code.member, code=name), offline=code.offline)

    def _by_refresh(self, client: str, form: Mapping[str, str], now: datetime) -> Json:
        held = self.refresh.get(form.get("refresh_token", ""))
        if held is None or held.used or held.revoked or held.client != client:
            raise OAuthRefusal(400, "invalid_grant", "The refresh token is invalid or was used")
        held.used = True
        return self._pair(Token(now + LIVES, client, member=held.member, code=held.code), offline=True)

    def _pair(self, token: Token, *, offline: bool) -> Json:
        body = self._issue(token)
        if offline:
            name = self._made("refresh")
            self.refresh[name] = Refresh(token.client, token.member, token.code)
            body |= {"refresh_token": name, "scope": "offline"}
        return body

    def _issue(self, token: Token) -> Json:
        name = self._made("access")
        self.access[name] = token
        # The vendor's file spells it so; nothing may depend on it.
        return {"access_token": name, "expires_in": int(LIVES.total_seconds()), "token_Type": "bearer"}

    def _made(self, kind: str) -> str:
        self.counted += 1
        return made_id(kind, self.counted)[:40]
