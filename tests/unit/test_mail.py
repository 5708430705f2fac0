"""The controller's outgoing mail against real SMTP: what counts as taken, what as refused, what as unknown."""

import hmac
import socket
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dpsync.connector import Evidence
from dpsync.connector_services import Mail, MailRefused, NoAnswer, Posted
from dpsync.errors import ConfigurationError, CredentialsRejected, MailHostRefused, ProcessorUnreachable
from dpsync.mail import compose, domain_of, is_mailable
from dpsync.smtp import Mailer, Tls, xtext
from tests.certificates import certificate_for
from tests.faults.counting import Counted
from tests.mailhost import NOON, MailHost, TestClock, mail_host, only_password, scripted

KEY = b"k" * 32
TO = "privacy@processor.example.org"
RAW = b"From: dp@example.org\r\nSubject: x\r\n\r\nOne\r\n.\r\n..two\r\nend\r\n"


def mailer(port: int, *, host: str = "127.0.0.1", tls: Tls = "none", timeout: float = 60.0, **more: Any) -> Mailer:
    user, password = more.pop("user", None), more.pop("password", None)
    return Mailer(host, port, tls, user, password, "Data protection <dp@example.org>", TestClock(), timeout=timeout)


def post(mail: Mail, raw: bytes = RAW, *, to: str = TO, sender: str = "bounce+DPS-1@example.org") -> Posted:
    return mail.post(raw, to=to, envelope_sender=sender, envelope_id="DPS-1", digest_key=KEY)


def test_a_message_that_is_taken_leaves_queue_id_status_and_digest() -> None:
    with mail_host() as host:
        posted = post(mailer(host.port))
    assert [(letter.sender, letter.to, letter.raw) for letter in host.taken] == [
        ("bounce+DPS-1@example.org", (TO,), RAW)
    ]
    assert posted == Posted(
        evidence=Evidence(
            endpoint="SMTP DATA",
            status=250,
            at=NOON,
            request_id="4ZbX1kQ2",
            digest=hmac.new(KEY, RAW, sha256).hexdigest(),
            note="127.0.0.1 no TLS 2.0.0",
        ),
        dsn=False,
    )


@pytest.mark.parametrize(
    ("reply", "queue_id"),
    [
        ("250 2.0.0 Ok: queued as 4ZbX1kQ2", "4ZbX1kQ2"),
        ("250 OK id=1tDxQ2-0007Xy-3C", "1tDxQ2-0007Xy-3C"),
        ("250 OK", ""),
        ("250 queued as ada.lovelace1@example.org", ""),
        ("250 2.0.0 message for <ada1@example.org> queued", ""),
        ("250 queued as lovelace", ""),
    ],
)
def test_of_the_reply_only_what_is_surely_a_queue_id_is_kept(reply: str, queue_id: str) -> None:
    with mail_host(MailHost(replies={"DATA": reply})) as host:
        evidence = post(mailer(host.port)).evidence
    assert evidence.request_id == queue_id
    assert "@" not in repr(evidence)


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    ("said", "note"),
    [
        (f"5.7.1 <{TO}> refused", "127.0.0.1 no TLS 5.7.1"),
        ("5.1.1", "127.0.0.1 no TLS 5.1.1"),
        (f"<{TO}> 5.1.1", "127.0.0.1 no TLS"),
        ("5.1.1.1@example.org", "127.0.0.1 no TLS"),
    ],
)
def test_the_status_code_of_a_refusal_is_kept_and_nothing_else_of_its_text(step: str, said: str, note: str) -> None:
    with mail_host(MailHost(replies={step: f"550 {said}"})) as host:
        try:
            post(mailer(host.port))
        except MailRefused as refused:
            evidence, text = refused.evidence, str(refused)
        except MailHostRefused as refused:
            (evidence,), text = refused.evidence, str(refused)
    assert (evidence.note, evidence.request_id) == (note, "")
    assert TO not in text


def test_a_host_that_takes_no_other_sender_gets_the_mailbox_itself() -> None:
    with mail_host(MailHost(dsn=True)) as host:
        sender = "Data protection <dp@example.org>"
        post(Mailer("127.0.0.1", host.port, "none", None, None, sender, TestClock(), timeout=60.0, tagged=False))
    assert (host.senders, host.taken[0].mail_options) == (["dp@example.org"], "RET=HDRS ENVID=DPS-1")


def test_delivery_reports_are_asked_for_where_they_are_offered() -> None:
    with mail_host(MailHost(dsn=True)) as host:
        posted = post(mailer(host.port), to="a+b=c@example.org")
    assert posted.dsn
    assert host.taken[0].mail_options == "RET=HDRS ENVID=DPS-1"
    assert host.taken[0].rcpt_options == "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@example.org"


def test_xtext_writes_what_rfc_3461_wants_written() -> None:
    assert xtext("a+b=c d\r\né") == "a+2Bb+3Dc+20d+0D+0A+C3+A9"


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["451 4.3.0 later", "421 4.3.2 going down"])
def test_a_4xx_is_later_and_certainly_not_sent(step: str, reply: str) -> None:
    with mail_host(MailHost(replies={step: reply})) as host, pytest.raises(NoAnswer) as raised:
        post(mailer(host.port))
    assert raised.value.sent is False
    assert raised.value.evidence.status == int(reply[:3])
    assert host.taken == []


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_a_5xx_about_the_recipient_is_never(step: str) -> None:
    reply = f"550 5.1.1 <{TO}> no such user"
    with mail_host(MailHost(replies={step: reply})) as host, pytest.raises(MailRefused) as raised:
        post(mailer(host.port))
    assert raised.value.evidence.status == 550
    assert raised.value.evidence.endpoint == f"SMTP {step}"
    assert TO not in str(raised.value) + repr(raised.value.evidence)


@pytest.mark.parametrize(
    ("replies", "at"),
    [
        ([b"554 5.7.1 client host blocked\r\n"], "SMTP connect"),
        ([b"220 mail\r\n", b"550 no\r\n", b"550 no\r\n"], "SMTP EHLO"),
    ],
)
def test_a_host_that_will_not_speak_with_us_is_our_own_trouble(replies: list[bytes], at: str) -> None:
    with scripted(replies) as port, pytest.raises(MailHostRefused) as raised:
        post(mailer(port))
    assert (raised.value.endpoint, raised.value.code) == (at, "DP-303")


def test_a_lost_final_reply_may_have_been_sent() -> None:
    with mail_host(MailHost(lose_final_reply=True)) as host, pytest.raises(NoAnswer) as raised:
        post(mailer(host.port))
    assert raised.value.sent is True
    assert len(host.taken) == 1


HELLO = [b"220 mail\r\n", b"250 mail\r\n"]


@pytest.mark.parametrize(
    "replies",
    [
        [],
        [b"454 no service\r\n"],
        [b"220 mail\r\n"],
        HELLO,
        [*HELLO, b"250 ok\r\n"],
        [*HELLO, b"250 ok\r\n", b"250 ok\r\n"],
        [*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"250 not 354\r\n"],
        [*HELLO, b"hello\r\n"],
        [*HELLO, b"250" + b"x" * 9000],
        [b"HTTP/1.1 400 Bad Request\r\n"],
        [*HELLO, b"-12 what\r\n"],
    ],
)
def test_trouble_before_the_message_is_over_is_certainly_not_sent(replies: list[bytes]) -> None:
    with scripted(replies) as port, pytest.raises(NoAnswer) as raised:
        post(mailer(port))
    assert raised.value.sent is False
    assert can_be_kept(raised.value)


def can_be_kept(failure: NoAnswer) -> bool:
    """Whether the ledger takes its status: what is no reply code is none."""
    status = failure.evidence.status
    return status is None or 200 <= status <= 999


@pytest.mark.parametrize("last", [b"", b"2", b"hello\r\n", b"354 again\r\n", b"999 what\r\n", b"250-half\r\n"])
def test_any_final_reply_that_is_no_reply_leaves_it_open(last: bytes) -> None:
    replies = [*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", last]
    with scripted(replies) as port, pytest.raises(NoAnswer) as raised:
        post(mailer(port))
    assert raised.value.sent is True
    assert can_be_kept(raised.value)


def test_nobody_listening_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoAnswer) as raised:
        post(mailer(port))
    assert raised.value.sent is False
    assert raised.value.evidence.status is None


@pytest.mark.parametrize(
    ("replies", "drip", "sent"),
    [
        ([], b"2", False),
        ([], b"220-still here\r\n", False),
        (HELLO, b"250-more\r\n", False),
        ([*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"], b"250-wait\r\n", True),
    ],
)
def test_a_dripping_host_is_cut_at_the_deadline(replies: list[bytes], drip: bytes, sent: bool) -> None:
    with scripted(replies, drip=drip) as port, pytest.raises(NoAnswer) as raised:
        post(mailer(port, timeout=2.0))
    assert raised.value.sent is sent


def test_a_host_that_drips_through_tls_is_cut_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certificate_for(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with scripted(HELLO, drip=b"250-more\r\n", wrap=certificate.server) as port, pytest.raises(NoAnswer) as raised:
        post(mailer(port, host="localhost", tls="tls", timeout=2.0))
    assert raised.value.sent is False


def test_no_timer_is_left_behind() -> None:
    before = threading.active_count()
    with mail_host() as host:
        for _ in range(3):
            post(mailer(host.port))
    with scripted([b"554 no\r\n"]) as port, pytest.raises(MailHostRefused):
        post(mailer(port))
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(60)
    assert threading.active_count() <= before


# --- TLS


def test_starttls_with_a_trusted_certificate_carries_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_for(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with mail_host(tls_context=certificate.server, require_starttls=True) as host:
        posted = post(mailer(host.port, host="localhost", tls="starttls"))
        assert mailer(host.port, host="localhost", tls="starttls").probe() == "localhost, TLSv1.3"
    assert [letter.tls for letter in host.taken] == [True]
    assert posted.evidence.note == "localhost TLSv1.3 2.0.0"


def test_tls_from_the_start_carries_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certificate_for(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    replies = [*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 queued as 77AB12\r\n", b"221 bye\r\n"]
    with scripted(replies, wrap=certificate.server) as port:
        posted = post(mailer(port, host="localhost", tls="tls"))
    assert (posted.evidence.request_id, posted.evidence.note) == ("77AB12", "localhost TLSv1.3")


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize("fault", ["untrusted", "wrong name", "expired"])
def test_a_certificate_that_is_not_in_order_gets_no_message(
    tls: Tls, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "other.example.org" if fault == "wrong name" else "localhost"
    certificate = certificate_for(tmp_path, name, expired=fault == "expired")
    if fault != "untrusted":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    if tls == "starttls":
        with mail_host(tls_context=certificate.server) as host, pytest.raises(NoAnswer, match="not trusted") as raised:
            post(mailer(host.port, host="localhost", tls=tls))
        assert host.commands == []
    else:
        with scripted(HELLO, wrap=certificate.server) as port, pytest.raises(NoAnswer, match="not trusted") as raised:
            post(mailer(port, host="localhost", tls=tls))
    assert raised.value.sent is False


def test_a_host_that_offers_no_tls_gets_no_message() -> None:
    with mail_host() as host, pytest.raises(NoAnswer, match="no TLS"):
        post(mailer(host.port, tls="starttls"))
    assert host.commands == []


# --- our own password


def test_a_rejected_password_is_our_fault_and_nobodys_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certificate_for(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    there: dict[str, Any] = {"host": "localhost", "tls": "starttls"}
    asks = {"authenticator": only_password("right"), "auth_required": True, "tls_context": certificate.server}
    with mail_host(**asks) as host:
        assert post(mailer(host.port, user="dp", password="right", **there)).evidence.status == 250
        with pytest.raises(CredentialsRejected) as raised:
            post(mailer(host.port, user="dp", password="wrong", **there))
        assert (raised.value.endpoint, raised.value.status) == ("SMTP AUTH", 535)
        with pytest.raises(CredentialsRejected) as raised:
            post(mailer(host.port, **there))
        assert raised.value.status == 530
    assert len(host.taken) == 1


def test_a_host_that_asks_for_no_login_does_not_get_the_password() -> None:
    with mail_host() as host, pytest.raises(NoAnswer, match="no login"):
        post(mailer(host.port, user="dp", password="right"))
    assert host.taken == []


def test_the_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(mailer(25, user="dp", password="hunter2"))


# --- what may not be sent


HOSTILE = [
    "a@example.org\r\nRCPT TO:<b@example.org>",
    "a@example.org>\r\nDATA",
    "a@example.org\n",
    "a b@example.org",
    '"a\r\n"@example.org',
    "<a@example.org>",
    "a@example.org> NOTIFY=NEVER",
    "a@b@example.org",
    "ä@example.org",
    "a\0@example.org",
    "",
    "a" * 65 + "@example.org",
]


@pytest.mark.parametrize("address", HOSTILE)
def test_an_address_with_more_in_it_reaches_no_command(address: str) -> None:
    assert not is_mailable(address)
    with mail_host() as host:
        with pytest.raises(MailRefused):
            post(mailer(host.port), to=address)
        with pytest.raises(MailRefused):
            post(mailer(host.port), sender=address)
    assert host.commands == []


@pytest.mark.parametrize("raw", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\n\r\n", b"a\r\n.\r\r\n", b"a\0\r\n", b"no end"])
def test_a_message_that_could_pose_as_two_is_not_sent(raw: bytes) -> None:
    with mail_host() as host, pytest.raises(ValueError, match="CR and LF"):
        post(mailer(host.port), raw)
    assert host.commands == []


@pytest.mark.fault(36)
@pytest.mark.parametrize("field", ["to", "subject", "message_id", "sender"])
def test_no_value_makes_a_second_header(field: str, counted: Counted) -> None:
    good = {"to": "it@example.org", "subject": "s", "message_id": "1@example.org", "sender": "dp@example.org"}
    made = b""
    with pytest.raises(ValueError, match=r"."):
        made = compose(**{**good, field: good[field] + "\r\nBcc: all@example.org"}, text="x", at=NOON)
    counted(36, extra_headers=made.lower().count(b"\nbcc:"))


def test_a_plain_mail_says_that_a_machine_wrote_it() -> None:
    raw = compose(
        sender="DP <dp@example.org>", to="it@example.org", subject="s", text="Grüße\n", message_id="1@x.org", at=NOON
    )
    head = raw.decode("ascii").partition("\r\n\r\n")[0].split("\r\n")
    assert "Auto-Submitted: auto-generated" in head
    assert "Message-ID: <1@x.org>" in head
    assert "Date: Tue, 24 Nov 2026 12:00:00 +0000" in head
    with mail_host() as host:
        post(mailer(host.port), raw, to="it@example.org")
    assert host.taken[0].raw == raw


def test_the_domain_is_that_of_the_address_alone() -> None:
    assert domain_of("Data @ home <dp@example.org>") == domain_of("dp@example.org") == "example.org"
    raw = compose(
        sender="Data @ home <dp@example.org>", to="it@example.org", subject="s", text="x", message_id="1@x.org", at=NOON
    )
    assert b'From: "Data @ home" <dp@example.org>\r\n' in raw


# --- settings


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"host": "mail.example.org"}, "mail.tls"),
        ({"sender": "nobody"}, "mail.from"),
        ({"sender": "a@example.org\r\nBcc: b@example.org"}, "mail.from"),
        ({"host": "mail example"}, "mail.host"),
        ({"user": "dp", "password": "pass\u00e9"}, "mail.password"),
        ({"host": "mail.example.org", "rehearsal": True, "user": "dp", "password": "p"}, "mail.user"),
    ],
)
def test_settings_that_would_be_unsafe_are_refused(change: dict[str, Any], key: str) -> None:
    settings: dict[str, Any] = {
        "host": "127.0.0.1", "port": 25, "tls": "none", "user": None, "password": None, "sender": "dp@example.org",
    }  # fmt: skip
    with pytest.raises(ConfigurationError) as raised:
        Mailer(**{**settings, **change}, clock=TestClock())
    assert key in {fault.key for fault in raised.value.faults}


# --- the probe


def test_a_probe_sends_nothing() -> None:
    with mail_host() as host:
        assert mailer(host.port).probe() == "127.0.0.1, no TLS"
    assert host.commands == []


@pytest.mark.parametrize("replies", [[], [b"554 no\r\n"], [*HELLO, b"550 no\r\n"], [*HELLO, b"451 later\r\n"]])
def test_a_probe_of_a_host_that_does_not_answer_says_so(replies: list[bytes]) -> None:
    with scripted(replies) as port, pytest.raises(ProcessorUnreachable, match=r"mail\.host"):
        mailer(port).probe()
