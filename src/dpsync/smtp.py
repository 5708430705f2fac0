"""The controller's own outgoing mail, over SMTP: one connection a message, a certificate that is checked, one deadline.

A 250 proves that the *next* host took the message (RFC 5321 section 6.1), not that anybody read it. What is kept of it
is a status (5.1.1: no such user), a queue id and a keyed digest; never the reply's text, which may repeat the address.
"""

import hmac
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from typing import Literal

from dpsync.connector import Evidence
from dpsync.connector_services import Clock, MailRefused, NoAnswer, Posted
from dpsync.errors import (
    ConfigurationError,
    CredentialsRejected,
    Fault,
    MailAccessRefused,
    MailHostRefused,
    ProcessorUnreachable,
)
from dpsync.mail import bare, domain_of, is_mailable
from dpsync.mail_status import ADVICE, BEFORE_ANY_LETTER, ENHANCED, MailRefusal, Phase, about
from dpsync.smtp_connection import Access, Connection, TokenRefused
from dpsync.urls import is_loopback

Tls = Literal["starttls", "tls", "none"]

# Postfix "queued as 4ZbX1", Exim "OK id=1tDx-0007-Xy". No dot and no @: what looks like a name must not pass for an id.
_QUEUE_ID = re.compile(r"(?:queued as |\bid=)(?=[0-9A-Za-z-]*[0-9])([0-9A-Za-z-]{5,40})(?=[\s.;)]|$)")


def xtext(value: str) -> str:
    """`value` as RFC 3461 section 4 writes it: printable ASCII but "+" and "=", all else as +HH."""
    return "".join(chr(b) if 33 <= b <= 126 and b not in b"+=" else f"+{b:02X}" for b in value.encode())


class _Progress:
    """How far a conversation has come: what evidence says if it ends here, and whether the message may be taken."""

    def __init__(self, endpoint: str, digest: str) -> None:
        self.endpoint = endpoint
        self.phase = Phase.CONNECT
        self.digest = digest
        self.tls = "no TLS"
        self.handed_over = False


class Mailer:
    """The `Mail` of the connector contract, over SMTP.

    `tls`: "starttls" (port 587), "tls" (465) or "none", the last only to this machine or in a rehearsal. `sender`: the
    monitored address, bare or with a name. `timeout`: seconds for the whole conversation; only the resolver's own wait
    comes on top, and `access`, which gives the tokens of `user` in place of a password. `tagged`: the host accepts
    envelope senders of ours that are no mailbox; else each message goes from `sender`. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: Tls,
        user: str | None,
        password: str | None,
        sender: str,
        clock: Clock,
        *,
        timeout: float = 30.0,
        rehearsal: bool = False,
        access: Access | None = None,
        tagged: bool = True,
    ) -> None:
        faults = []
        if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", host):
            faults.append(Fault("mail.host", "is not the name or address of a host"))
        if not is_mailable(bare(sender)) or not sender.isprintable():
            faults.append(Fault("mail.from", "is not an address that a mail can come from"))
        if tls == "none" and not (is_loopback(host) or rehearsal):
            faults.append(Fault("mail.tls", "must not be none: identifiers would cross the network in the clear"))
        if tls == "none" and user and not is_loopback(host):
            faults.append(Fault("mail.user", "cannot be used without TLS: the password would cross in the clear"))
        if not (user or "").isascii() or not (password or "").isascii():
            faults.append(Fault("mail.password", "has characters that SMTP AUTH cannot carry"))
        if faults:
            raise ConfigurationError(faults)
        self._host = host
        self._port = port
        self._tls = tls
        self._user = user
        self._password = password
        self._sender = sender
        self._clock = clock
        self._timeout = timeout
        self._access = access
        self._tagged = tagged
        self.rehearsal = rehearsal

    @property
    def sender(self) -> str:
        """The monitored address that notices come from."""
        return self._sender

    def post(self, raw: bytes, *, to: str, envelope_sender: str, envelope_id: str, digest_key: bytes) -> Posted:
        """Hand one complete RFC 5322 message to the mail host; ask for delivery reports (RFC 3461) if it offers them.

        Raises `NoAnswer` (no reply, a 4xx, no trusted TLS: later; `sent` only where the reply to the whole message was
        lost), `MailRefused` (a 5xx about the recipient, or an address that is none: never), `MailHostRefused` (any
        other 5xx: ours, see `mail_status.about`; of our token `MailAccessRefused`) and `CredentialsRejected` (our
        password).
        ValueError for bytes with a bare CR or LF, with which one message could pose as two (SMTP smuggling).
        """
        if re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw) or not raw.endswith(b"\r\n"):
            raise ValueError("the lines of a message end with CR and LF, the last one too")
        at = _Progress("SMTP MAIL", hmac.new(digest_key, raw, sha256).hexdigest())
        if not (is_mailable(to) and is_mailable(envelope_sender)):
            raise MailRefused(self._evidence(at, None))
        if not self._tagged:
            envelope_sender = bare(self._sender)
        with self._conversation(at) as line:
            dsn = line.has_extn("dsn")
            self._say(line, at, "MAIL", f"FROM:<{envelope_sender}>{f' RET=HDRS ENVID={xtext(envelope_id)}' * dsn}")
            wish = f" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;{xtext(to)}"
            self._say(line, at, "RCPT", f"TO:<{to}>{wish * dsn}")
            self._say(line, at, "DATA", "", good=354)
            # The last thing sent is the dot that ends the message: if sending breaks, the host has not seen it.
            line.send(re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n")
            at.handed_over, at.phase = True, Phase.END
            code, text = line.getreply()
            evidence = self._judge(at, code, text)
            with suppress(OSError):  # the message is theirs; whether they say goodbye is nobody's concern
                line.quit()
            return Posted(evidence=evidence, dsn=dsn)

    def probe(self) -> str:
        """Greet, secure, log in and take leave; nothing is sent. Gives host and TLS version, for people.

        Raises `CredentialsRejected` or `ProcessorUnreachable`.
        """
        at = _Progress("SMTP NOOP", "")
        try:
            with self._conversation(at) as line:
                self._say(line, at, "NOOP", "")
                with suppress(OSError):
                    line.quit()
        except MailAccessRefused as error:
            raise ProcessorUnreachable(f"mail.oauth: {error.brief}") from None
        except NoAnswer as error:
            key = "mail.host" if error.evidence.endpoint.startswith("SMTP ") else "mail.oauth"
            raise ProcessorUnreachable(f"{key}: {error.reason}") from None
        except MailHostRefused as error:
            raise ProcessorUnreachable(f"mail.host: {error.brief}") from None
        return f"{self._host}, {at.tls}"

    @contextmanager
    def _conversation(self, at: _Progress) -> Iterator[Connection]:
        lines = ExitStack()
        try:
            yield self._logged_in(at, lines)
        except ssl.SSLCertVerificationError:
            raise self._no_answer(at, "the certificate of the mail host is not trusted") from None
        except smtplib.SMTPAuthenticationError as error:
            if 400 <= error.smtp_code < 500:
                raise self._no_answer(at, "the mail host asks to try later", error.smtp_code) from None
            raise self._login_refused(at, error) from None
        except smtplib.SMTPResponseException as error:
            # Later on it is the library's own word for a line without an end: the message may have been taken.
            if at.phase in BEFORE_ANY_LETTER and 500 <= error.smtp_code < 600:
                at.endpoint = f"SMTP {at.phase.value}"
                raise self._ours(at, error.smtp_code, b"", about(at.phase, error.smtp_code, "")) from None
            raise self._no_answer(at, "the mail host does not speak with us", error.smtp_code) from None
        except OSError:
            raise self._no_answer(at, "the mail host did not answer") from None
        finally:
            lines.close()

    def _logged_in(self, at: _Progress, lines: ExitStack) -> Connection:
        """A connection that the next command can go to. Where a token is refused, a second one with a new token."""
        token = self._access.token() if self._access else ""
        ends = self._clock.monotonic() + self._timeout
        try:
            return self._greeted(at, lines, token, self._timeout)
        except TokenRefused as refused:
            if self._access is None or refused.smtp_code != 535:
                raise
            refusal = refused
        renewed = self._access.token(refused=token)
        if renewed == token:
            raise refusal
        return self._greeted(at, lines, renewed, ends - self._clock.monotonic())

    def _greeted(self, at: _Progress, lines: ExitStack, token: str, seconds: float) -> Connection:
        at.phase = Phase.CONNECT
        context = None if self._tls == "none" else ssl.create_default_context()
        line = Connection(
            self._host,
            self._port,
            hello=domain_of(self._sender),
            seconds=max(0.0, seconds),
            clock=self._clock,
            tls=context if self._tls == "tls" else None,
        )
        lines.callback(line.end)
        self._greet(line, at, context)
        at.phase = Phase.AUTH
        if self._user:
            self._log_in(line, at, token)
        return line

    def _greet(self, line: Connection, at: _Progress, tls: ssl.SSLContext | None) -> None:
        at.phase = Phase.EHLO
        line.ehlo_or_helo_if_needed()
        if tls and self._tls == "starttls":
            # Never without: whoever sits on the line could have taken the offer out of the EHLO.
            if not line.has_extn("starttls"):
                raise self._no_answer(at, "the mail host offers no TLS")
            at.phase = Phase.STARTTLS
            line.secure(tls)
            at.phase = Phase.EHLO
            line.ehlo_or_helo_if_needed()
        if isinstance(line.sock, ssl.SSLSocket):
            at.tls = line.sock.version() or "TLS"

    def _log_in(self, line: Connection, at: _Progress, token: str) -> None:
        try:
            if token:
                line.log_in_by_token(self._user or "", token)
            else:
                line.login(self._user or "", self._password or "")
        except smtplib.SMTPNotSupportedError:
            known = "by token (XOAUTH2)" if token else "that we know"
            raise self._no_answer(at, f"the mail host offers no login {known}") from None

    def _login_refused(self, at: _Progress, error: smtplib.SMTPAuthenticationError) -> CredentialsRejected:
        if not isinstance(error, TokenRefused):
            return CredentialsRejected("SMTP AUTH", error.smtp_code)
        at.endpoint, text = "SMTP AUTH", error.smtp_error if isinstance(error.smtp_error, bytes) else b""
        code, kept = _enhanced(text), (self._evidence(at, error.smtp_code, text),)
        told = f"the mail host does not accept our access token{f' ({code})' if code else ''}: {error.advice}"
        return MailAccessRefused(at.endpoint, error.smtp_code, evidence=kept, advice=told)

    def _say(self, line: Connection, at: _Progress, verb: str, rest: str, *, good: int = 250) -> None:
        at.endpoint = f"SMTP {verb}"
        at.phase = at.phase if verb == "NOOP" else Phase(verb)
        code, text = line.docmd(verb, rest)
        if code != good and not (good == 250 and code == 251):
            self._judge(at, code, text, good=None)

    def _judge(self, at: _Progress, code: int, text: bytes, *, good: int | None = 250) -> Evidence:
        if code == good:
            return self._evidence(at, code, text)
        if 500 <= code < 600:
            raise self._refused(at, code, text)
        if 400 <= code < 500:
            at.handed_over = False  # a whole reply came: it was not taken
            raise self._no_answer(at, "the mail host asks to try later", code, text)
        raise self._no_answer(at, "the mail host gave an undocumented reply", code)

    def _refused(self, at: _Progress, code: int, text: bytes) -> MailRefused | CredentialsRejected:
        at.handed_over = False  # a whole reply came: it was not taken
        status = _enhanced(text)
        concerned = about(at.phase, code, status)
        if concerned is MailRefusal.RECIPIENT:
            return MailRefused(self._evidence(at, code, text), status)
        return self._ours(at, code, text, concerned)

    def _ours(self, at: _Progress, code: int, text: bytes, concerned: MailRefusal) -> CredentialsRejected:
        if concerned is MailRefusal.PASSWORD:
            return CredentialsRejected(at.endpoint, code)
        kept = (self._evidence(at, code, text),)
        return MailHostRefused(at.endpoint, code, evidence=kept, advice=ADVICE[concerned])

    def _no_answer(self, at: _Progress, reason: str, code: int | None = None, text: bytes = b"") -> NoAnswer:
        return NoAnswer(reason, self._evidence(at, code, text), sent=at.handed_over)

    def _evidence(self, at: _Progress, code: int | None, text: bytes = b"") -> Evidence:
        enhanced = _enhanced(text)
        return Evidence(
            endpoint=at.endpoint,
            # The library's own number for a reply without one is -1, and int() takes "-12": neither is a reply code.
            status=code if code is not None and code >= 200 else None,
            at=self._clock.now(),
            request_id=_queue_id(text) if code == 250 else "",
            digest=at.digest,
            note=" ".join([self._host, at.tls, *([enhanced] if enhanced else [])]),
        )


def _enhanced(reply: bytes) -> str:
    found = ENHANCED.match(reply.decode("ascii", "replace"))
    return found[0] if found else ""


def _queue_id(reply: bytes) -> str:
    found = _QUEUE_ID.search(reply.decode("ascii", "replace"))
    return found[1] if found else ""
