"""The controller's own outgoing mail, over SMTP: one connection a message, a certificate that is checked, one deadline.

A 250 proves that the *next* host took the message (RFC 5321 section 6.1), not that anybody read it. What is kept of it
is a status (5.1.1: no such user), a queue id and a keyed digest; never the reply's text, which may repeat the address.
"""

import hmac
import ipaddress
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from threading import Timer
from typing import Literal

from dpsync.connector import Evidence
from dpsync.connector_services import Clock, MailRefused, NoAnswer, Posted
from dpsync.errors import ConfigurationError, CredentialsRejected, Fault, MailHostRefused, ProcessorUnreachable
from dpsync.mail_status import ADVICE, BEFORE_ANY_LETTER, ENHANCED, About, Phase, about

Tls = Literal["starttls", "tls", "none"]

# 990 leaves long links and headers whole: RFC 5322 allows 998 octets a line, and folding is where injections hide.
POLICY = SMTP.clone(cte_type="7bit", max_line_length=990)

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILABLE = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*@{_LABEL}(?:\.{_LABEL})*")
# Postfix "queued as 4ZbX1", Exim "OK id=1tDx-0007-Xy". No dot and no @: what looks like a name must not pass for an id.
_QUEUE_ID = re.compile(r"(?:queued as |\bid=)(?=[0-9A-Za-z-]*[0-9])([0-9A-Za-z-]{5,40})(?=[\s.;)]|$)")


def is_mailable(address: str) -> bool:
    """Whether an address can stand in an SMTP command and a header as it is: ASCII, no quoting, no control character.

    Stricter than RFC 5321 on purpose: an address that needs quoting is where a second command would be hidden.
    """
    local, _, _ = address.rpartition("@")
    return len(address) <= 254 and len(local) <= 64 and _MAILABLE.fullmatch(address) is not None


def bare(address: str) -> str:
    """The address alone of `Name <address>`."""
    # Not parseaddr: what it makes of a name with an @ in it differs from one release of Python to the next.
    found = re.search(r"<([^<>]*)>$", address)
    return found[1] if found else address


def domain_of(address: str) -> str:
    """The domain of an address or of `Name <address>`: the right-hand side of our Message-IDs."""
    return bare(address).rpartition("@")[2]


def bounce_address(sender: str, tag: str) -> str:
    """The envelope sender of a letter: what comes back of it, comes back under its tag."""
    return f"bounce+{tag}@{domain_of(sender)}"


def begin(*, sender: str, to: str, subject: str, message_id: str, at: datetime) -> EmailMessage:
    """The head of a message that a machine sends (RFC 3834), `message_id` without angle brackets.

    Raises ValueError where a value would make a second header.
    """
    if not is_mailable(bare(sender)) or not is_mailable(to):
        raise ValueError("not an address that a mail can go to")
    message = EmailMessage(policy=POLICY)
    address = bare(sender)
    name = sender.removesuffix(f"<{address}>").strip(' "') if sender != address else ""
    message["From"] = Address(name, addr_spec=address)
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def compose(*, sender: str, to: str, subject: str, text: str, message_id: str, at: datetime) -> bytes:
    """A plain text mail to our own people. Raises ValueError where a value would make a second header."""
    message = begin(sender=sender, to=to, subject=subject, message_id=message_id, at=at)
    message.set_content(text)
    return message.as_bytes()


def xtext(value: str) -> str:
    """`value` as RFC 3461 section 4 writes it: printable ASCII but "+" and "=", all else as +HH."""
    return "".join(chr(b) if 33 <= b <= 126 and b not in b"+=" else f"+{b:02X}" for b in value.encode())


class _Line(smtplib.SMTP):
    """One SMTP connection that ends when its seconds are over, dripping bytes or not: a timer shuts the socket."""

    def __init__(
        self, host: str, port: int, *, hello: str, seconds: float, clock: Clock, tls: ssl.SSLContext | None
    ) -> None:
        self._clock = clock
        self._ends = clock.monotonic() + seconds
        self._wrap = tls
        self._cut = False
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()
        try:
            super().__init__(host, port, local_hostname=hello, timeout=seconds)
        except BaseException:
            self._timer.cancel()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        del timeout  # it would begin anew with each address of the host
        trouble: OSError | None = None
        for family, kind, proto, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, proto)
            try:
                connection.settimeout(self._left())
                connection.connect(where)
            except OSError as error:
                connection.close()
                trouble = error
                continue
            self.sock = self._wrap.wrap_socket(connection, server_hostname=host) if self._wrap else connection
            self._left()
            return self.sock
        raise trouble or OSError("the host has no address")

    def secure(self, context: ssl.SSLContext) -> None:
        """STARTTLS. The handshake is bounded by the socket's own timeout: the timer cannot reach that socket."""
        self.starttls(context=context)
        self._left()

    def end(self) -> None:
        """Close, whatever the other side does."""
        self._timer.cancel()
        self.close()

    def _left(self) -> float:
        left = self._ends - self._clock.monotonic()
        if self._cut or left <= 0:
            raise TimeoutError
        return left

    def _end(self) -> None:
        self._cut = True
        if self.sock is not None:
            with suppress(OSError):
                # Not SSLSocket.shutdown: it drops the TLS object while another thread reads through it.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


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
    comes on top. Raises `ConfigurationError`.
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
    ) -> None:
        faults = []
        if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", host):
            faults.append(Fault("mail.host", "is not the name or address of a host"))
        if not is_mailable(bare(sender)) or not sender.isprintable():
            faults.append(Fault("mail.from", "is not an address that a mail can come from"))
        if tls == "none" and not (_is_this_machine(host) or rehearsal):
            faults.append(Fault("mail.tls", "must not be none: identifiers would cross the network in the clear"))
        if tls == "none" and user and not _is_this_machine(host):
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
        self.rehearsal = rehearsal

    @property
    def sender(self) -> str:
        """The monitored address that notices come from."""
        return self._sender

    def post(self, raw: bytes, *, to: str, envelope_sender: str, envelope_id: str, digest_key: bytes) -> Posted:
        """Hand one complete RFC 5322 message to the mail host; ask for delivery reports (RFC 3461) if it offers them.

        Raises `NoAnswer` (no reply, a 4xx, no trusted TLS: later; `sent` only where the reply to the whole message was
        lost), `MailRefused` (a 5xx about the recipient, or an address that is none: never), `MailHostRefused` (any
        other 5xx: ours, see `mail_status.about`) and `CredentialsRejected` (our password).
        ValueError for bytes with a bare CR or LF, with which one message could pose as two (SMTP smuggling).
        """
        if re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw) or not raw.endswith(b"\r\n"):
            raise ValueError("the lines of a message end with CR and LF, the last one too")
        at = _Progress("SMTP MAIL", hmac.new(digest_key, raw, sha256).hexdigest())
        if not (is_mailable(to) and is_mailable(envelope_sender)):
            raise MailRefused(self._evidence(at, None))
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
        except NoAnswer as error:
            raise ProcessorUnreachable(f"mail.host: {error.reason}") from None
        except MailHostRefused as error:
            raise ProcessorUnreachable(f"mail.host: {error.brief}") from None
        return f"{self._host}, {at.tls}"

    @contextmanager
    def _conversation(self, at: _Progress) -> Iterator[_Line]:
        line: _Line | None = None
        try:
            context = None if self._tls == "none" else ssl.create_default_context()
            line = self._connect(context)
            self._greet(line, at, context)
            yield line
        except ssl.SSLCertVerificationError:
            raise self._no_answer(at, "the certificate of the mail host is not trusted") from None
        except smtplib.SMTPAuthenticationError as error:
            if 400 <= error.smtp_code < 500:
                raise self._no_answer(at, "the mail host asks to try later", error.smtp_code) from None
            raise CredentialsRejected("SMTP AUTH", error.smtp_code) from None
        except smtplib.SMTPResponseException as error:
            # Later on it is the library's own word for a line without an end: the message may have been taken.
            if at.phase in BEFORE_ANY_LETTER and 500 <= error.smtp_code < 600:
                at.endpoint = f"SMTP {at.phase.value}"
                raise self._ours(at, error.smtp_code, b"", about(at.phase, error.smtp_code, "")) from None
            raise self._no_answer(at, "the mail host does not speak with us", error.smtp_code) from None
        except OSError:
            raise self._no_answer(at, "the mail host did not answer") from None
        finally:
            if line is not None:
                line.end()

    def _connect(self, tls: ssl.SSLContext | None) -> _Line:
        return _Line(
            self._host,
            self._port,
            hello=domain_of(self._sender),
            seconds=self._timeout,
            clock=self._clock,
            tls=tls if self._tls == "tls" else None,
        )

    def _greet(self, line: _Line, at: _Progress, tls: ssl.SSLContext | None) -> None:
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
        at.phase = Phase.AUTH
        if self._user:
            self._log_in(line, at)

    def _log_in(self, line: _Line, at: _Progress) -> None:
        try:
            line.login(self._user or "", self._password or "")
        except smtplib.SMTPNotSupportedError:
            raise self._no_answer(at, "the mail host offers no login that we know") from None

    def _say(self, line: _Line, at: _Progress, verb: str, rest: str, *, good: int = 250) -> None:
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
        if concerned is About.RECIPIENT:
            return MailRefused(self._evidence(at, code, text), status)
        return self._ours(at, code, text, concerned)

    def _ours(self, at: _Progress, code: int, text: bytes, concerned: About) -> CredentialsRejected:
        if concerned is About.PASSWORD:
            return CredentialsRejected(at.endpoint, code)
        kept = (self._evidence(at, code, text),)
        return MailHostRefused(at.endpoint, code, evidence=kept, advice=ADVICE[concerned])

    def _no_answer(self, at: _Progress, reason: str, code: int | None = None, text: bytes = b"") -> NoAnswer:
        return NoAnswer(reason, self._evidence(at, code, text), sent=at.handed_over)

    def _evidence(self, at: _Progress, code: int | None, text: bytes = b"") -> Evidence:
        enhanced = _enhanced(text)
        return Evidence(
            endpoint=at.endpoint,
            status=code,
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


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
