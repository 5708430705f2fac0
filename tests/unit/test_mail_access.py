"""Login by token at our own mail host: a real SMTP server that speaks XOAUTH2, a real token endpoint."""

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from dpsync.connector_services import NoAnswer
from dpsync.errors import MailAccessRefused, ProcessorUnreachable
from dpsync.mail_access import EARLY, JUST_NOW, MailAccess
from dpsync.settings.sections import OAuthSection
from dpsync.settings.values import Environment
from dpsync.smtp import Mailer, Tls
from tests.builders import TurnableClock
from tests.certificates import certificate_for
from tests.mailhost import MailHost, scripted, token_endpoint, token_mail_host
from tests.unit.test_mail import HELLO, post

USER = "privacy@example.org"
ID, SECRET, REFRESH = "app-4711", "canary-client-secret", "canary-refresh-token"
SCOPE = "https://outlook.office365.com/.default"
LASTS = 3600
GOOGLE = {"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"}


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def endpoint() -> Iterator[Any]:
    with token_endpoint(LASTS) as made:
        yield made


def access(endpoint: Any, clock: TurnableClock, *, longest: float = 10.0, **more: Any) -> MailAccess:
    here = Environment({"SECRET": SECRET, "REFRESH": REFRESH}, Path("/"))
    given = {"token_url": endpoint.url, "client_id": ID, "client_secret": {"env": "SECRET"}, "scope": SCOPE, **more}
    section = OAuthSection.model_validate({key: value for key, value in given.items() if value}, context=here)
    return MailAccess(section, clock, rehearsal=True, longest=longest)


def mailer(
    host: MailHost, access: MailAccess, clock: TurnableClock, *, name: str = "127.0.0.1", tls: Tls = "none"
) -> Mailer:
    return Mailer(name, host.port, tls, USER, None, USER, clock, timeout=20.0, rehearsal=True, access=access)


# --- how a token is asked for


def test_client_credentials_are_asked_for_as_microsoft_describes_it(endpoint: Any, clock: TurnableClock) -> None:
    assert access(endpoint, clock).token() == "token-1"
    (asked,) = endpoint.asked
    assert parse_qs(asked) == {
        "grant_type": ["client_credentials"], "client_id": [ID], "client_secret": [SECRET], "scope": [SCOPE],
    }  # fmt: skip


def test_a_refresh_token_is_spent_as_google_describes_it(endpoint: Any, clock: TurnableClock) -> None:
    assert access(endpoint, clock, scope=None, refresh_token={"env": "REFRESH"}).token() == "token-1"
    (asked,) = endpoint.asked
    assert parse_qs(asked) == {
        "grant_type": ["refresh_token"], "refresh_token": [REFRESH], "client_id": [ID], "client_secret": [SECRET],
    }  # fmt: skip


def test_a_token_is_kept_until_shortly_before_its_end(endpoint: Any, clock: TurnableClock) -> None:
    kept = access(endpoint, clock)
    clock.advance(timedelta(seconds=5))
    first = kept.token()
    clock.advance(timedelta(seconds=LASTS - EARLY - 1))
    assert kept.token() == first
    clock.advance(timedelta(seconds=1))
    assert kept.token() == "token-2"


@pytest.mark.parametrize("lasts", [None, "3600", 0, -5])
def test_a_token_whose_end_is_not_known_is_used_once(lasts: object, endpoint: Any, clock: TurnableClock) -> None:
    endpoint.answer = lambda number: (200, {"access_token": f"token-{number}", "expires_in": lasts})
    kept = access(endpoint, clock)
    assert [kept.token(), kept.token()] == ["token-1", "token-2"]


def test_a_refused_token_is_renewed_unless_it_is_new(endpoint: Any, clock: TurnableClock) -> None:
    kept = access(endpoint, clock)
    first = kept.token()
    assert kept.token(refused=first) == first, "a new one would meet the same"
    clock.advance(timedelta(seconds=JUST_NOW))
    assert kept.token(refused=first) == "token-2"
    assert kept.token(refused=first) == "token-2", "somebody else renewed it already"
    assert len(endpoint.asked) == 2


# --- the conversation


@pytest.mark.parametrize("length", [20, 2500])
def test_a_letter_goes_by_token_through_starttls(
    length: int, endpoint: Any, clock: TurnableClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_for(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    token = "a1" * (length // 2)
    endpoint.answer = lambda _: (200, {"token_type": "Bearer", "expires_in": LASTS, "access_token": token})
    with token_mail_host({token: USER}, tls_context=certificate.server, require_starttls=True) as host:
        mail = mailer(host, access(endpoint, clock), clock, name="localhost", tls="starttls")
        assert post(mail).evidence.status == 250
        assert post(mail).evidence.status == 250
        assert mail.probe() == "localhost, TLSv1.3"
    assert [letter.tls for letter in host.taken] == [True, True]
    assert len(endpoint.asked) == 1


def test_a_host_without_tls_gets_no_token(endpoint: Any, clock: TurnableClock) -> None:
    with token_mail_host({"token-1": USER}) as host, pytest.raises(NoAnswer, match="no TLS"):
        post(mailer(host, access(endpoint, clock), clock, tls="starttls"))
    assert host.logins == []


def test_a_token_that_the_host_calls_over_is_renewed_once(endpoint: Any, clock: TurnableClock) -> None:
    with token_mail_host({"token-1": USER}, challenge={**GOOGLE, "status": "401"}) as host:
        mail = mailer(host, access(endpoint, clock), clock)
        post(mail)
        host.tokens = {"token-2": USER}
        clock.advance(timedelta(minutes=5))
        post(mail)
        assert host.logins == ["token-1", "token-1", "token-2"]
        host.tokens = {}
        clock.advance(timedelta(minutes=5))
        with pytest.raises(MailAccessRefused):
            post(mail)
        assert host.logins[3:] == ["token-2", "token-3"], "once, and no third time"
    assert len(host.taken) == 2


@pytest.mark.parametrize(
    ("challenge", "says"),
    [
        (GOOGLE, "it asks for the scope https://mail.google.com/"),
        ({"status": "400", "scope": "ada@example.org"}, "may the app send from it"),
        (["scope"], "may the app send from it"),
        (b"not base64 at all", "may the app send from it"),
        (None, "may the app send from it"),
    ],
)
def test_what_the_host_does_not_accept_of_a_token_is_our_own_trouble(
    challenge: Any, says: str, endpoint: Any, clock: TurnableClock
) -> None:
    with token_mail_host({}, challenge=challenge) as host, pytest.raises(MailAccessRefused) as raised:
        post(mailer(host, access(endpoint, clock), clock))
    refused = raised.value
    assert (refused.code, refused.by_mail_host, refused.alert) == ("DP-303", True, "mail_credential")
    assert refused.brief.startswith("535 to SMTP AUTH: the mail host does not accept our access token (5.7.3): ")
    assert says in refused.brief
    assert "ada@" not in refused.message
    assert [one.note for one in refused.evidence] == ["127.0.0.1 no TLS 5.7.3"]
    assert host.commands == []
    assert host.empty_answers == (challenge is not None), "the challenge is answered by an empty line, and only it"


def test_a_host_that_offers_no_login_by_token_is_named(endpoint: Any, clock: TurnableClock) -> None:
    with scripted([b"220 mail\r\n", b"250-mail\r\n250 AUTH PLAIN LOGIN\r\n"]) as port:
        host = MailHost(port=port)
        with pytest.raises(NoAnswer, match="no login by token") as raised:
            post(mailer(host, access(endpoint, clock), clock))
    assert raised.value.sent is False


def test_a_first_challenge_that_is_no_base64_is_a_challenge(endpoint: Any, clock: TurnableClock) -> None:
    replies = [b"220 mail\r\n", b"250-mail\r\n250 AUTH XOAUTH2\r\n", b"334 go on, please\r\n", b"235 ok\r\n"]
    with scripted([*replies, b"250 ok\r\n", b"221 bye\r\n"]) as port:
        assert mailer(MailHost(port=port), access(endpoint, clock), clock).probe() == "127.0.0.1, no TLS"


@pytest.mark.parametrize("last", [b"454 4.7.0 later\r\n", b"421 4.3.2 busy\r\n"])
def test_a_host_that_asks_to_try_later_is_tried_later(last: bytes, endpoint: Any, clock: TurnableClock) -> None:
    replies = [b"220 mail\r\n", b"250-mail\r\n250 AUTH XOAUTH2\r\n", b"334 \r\n", last]
    with scripted(replies) as port, pytest.raises(NoAnswer, match="later") as raised:
        post(mailer(MailHost(port=port), access(endpoint, clock), clock))
    assert raised.value.sent is False


def test_without_access_the_password_is_used_as_before(clock: TurnableClock) -> None:
    assert HELLO[1] == b"250 mail\r\n"
    with scripted(HELLO) as port, pytest.raises(NoAnswer, match="no login that we know"):
        post(Mailer("127.0.0.1", port, "none", USER, "password", USER, clock, timeout=20.0))


# --- trouble at the token endpoint


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {"error": "invalid_client", "error_codes": [7000222]}, "or the secret has expired (AADSTS7000222)"),
        (400, {"error": "invalid_grant", "error_description": "for ada@example.org"}, "authorise the app anew"),
        (400, {"error": "invalid_scope", "error_codes": ["ada@example.org"]}, "scope in [mail.oauth] is wrong"),
        (400, {"error": "unauthorized_client"}, "does not exist there"),
        (400, {"error": "ada@example.org"}, "compare token_url, client_id and scope"),
        (403, "<html>no</html>", "is it right?"),
        (404, {}, "is it right?"),
        (302, {}, "is it right?"),
        (200, "<html>sign in</html>", "is it right?"),
        (200, {"access_token": ""}, "is it right?"),
        (200, {"access_token": "a\r\nb", "expires_in": 3600}, "is it right?"),
        (201, {"access_token": "token"}, "is it right?"),
    ],
)
def test_what_the_token_endpoint_rejects_is_named_and_is_our_own_trouble(
    status: int, body: object, says: str, endpoint: Any, clock: TurnableClock
) -> None:
    endpoint.answer = lambda _: (status, body)
    with token_mail_host({"token-1": USER}) as host:
        mail = mailer(host, access(endpoint, clock), clock)
        with pytest.raises(MailAccessRefused) as raised:
            post(mail)
        with pytest.raises(ProcessorUnreachable, match=r"^mail\.oauth: ") as probed:
            mail.probe()
    assert says in raised.value.brief
    assert raised.value.brief.startswith(f"{status} to SMTP AUTH (token endpoint): ")
    assert raised.value.code == "DP-303"
    assert "@" not in raised.value.message + probed.value.message
    assert host.logins == [], "the mail host is not even called"


def test_a_refresh_token_that_changes_with_each_use_is_refused(endpoint: Any, clock: TurnableClock) -> None:
    token = {"access_token": "token", "expires_in": LASTS}
    endpoint.answer = lambda _: (200, {**token, "refresh_token": REFRESH})
    assert access(endpoint, clock, refresh_token={"env": "REFRESH"}).token() == "token"
    endpoint.answer = lambda _: (200, {**token, "refresh_token": "another"})
    with pytest.raises(MailAccessRefused, match="changes the refresh token"):
        access(endpoint, clock, refresh_token={"env": "REFRESH"}).token()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_token_endpoint_that_is_out_of_order_is_asked_later(status: int, endpoint: Any, clock: TurnableClock) -> None:
    endpoint.answer = lambda number: (status, {"error": "temporarily_unavailable"}) if number == 1 else None
    with token_mail_host({"token-2": USER}) as host:
        mail = mailer(host, access(endpoint, clock), clock)
        with pytest.raises(NoAnswer, match="the token endpoint asks to try later") as raised:
            post(mail)
        assert raised.value.sent is False
        assert raised.value.evidence.endpoint == "POST token"
        assert post(mail).evidence.status == 250


def test_a_token_endpoint_that_does_not_answer_is_left_in_time(endpoint: Any, clock: TurnableClock) -> None:
    endpoint.silent = True
    mail, began = mailer(MailHost(), access(endpoint, clock, longest=0.3), clock), time.monotonic()
    with pytest.raises(NoAnswer, match="the token endpoint did not answer") as raised:
        post(mail)
    assert time.monotonic() - began < 15, "a letter's account belongs to us for no longer than a minute"
    assert raised.value.sent is False
    with pytest.raises(ProcessorUnreachable, match=r"^mail\.oauth: the token endpoint did not answer"):
        mail.probe()


def test_whoever_waited_for_a_token_that_did_not_come_does_not_wait_again(endpoint: Any, clock: TurnableClock) -> None:
    endpoint.silent = True
    kept = access(endpoint, clock, longest=1.0)
    found: list[str] = []

    def ask() -> None:
        try:
            kept.token()
        except NoAnswer as failure:
            found.append(failure.reason)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert found == ["the token endpoint did not answer"] * 6
    assert len(endpoint.asked) < 3


def test_a_certificate_that_is_not_trusted_gets_no_secret(tmp_path: Path, clock: TurnableClock) -> None:
    with token_endpoint(LASTS, tls=certificate_for(tmp_path).server) as endpoint:
        with pytest.raises(NoAnswer, match="certificate of the token endpoint"):
            access(endpoint, clock).token()
        assert endpoint.asked == []


# --- secrets


def test_no_secret_is_in_a_repr_an_error_or_the_log(
    endpoint: Any, clock: TurnableClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kept = access(endpoint, clock, refresh_token={"env": "REFRESH"})
    said = [repr(kept)]
    answers: list[tuple[int, Mapping[str, object]] | None] = [None, (400, {"error": SECRET}), (200, {"x": REFRESH})]
    endpoint.answer = lambda number: answers[number - 1]
    with token_mail_host({}) as host:
        mail = mailer(host, kept, clock)
        for _ in answers:
            clock.advance(timedelta(hours=2))
            with pytest.raises(MailAccessRefused) as raised:
                post(mail)
            said += [repr(mail), raised.value.message, repr(raised.value.evidence)]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("mail.log")]
    for secret in (SECRET, REFRESH, "token-1"):
        assert secret not in json.dumps([*said, *ours])
