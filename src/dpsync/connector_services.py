"""What a connector works with: the calls it may make, what is kept of each, its memory and its clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from dpsync.errors import ProcessorError

CALL_SECONDS: Final = 60.0
"""The hard total of one call that has begun, whatever it waits for. Mailchimp cuts its own calls off at 120 s
(mailchimp.com/developer/marketing/docs/fundamentals, read 2026-11); a minute without an answer is in doubt. A worker
that takes an account over waits for the heartbeat's end and for this."""

CALLS_AT_ONCE: Final = 256
"""How many calls one process has under way at most, at all accounts together; each is a thread and a connection."""

# --- what is kept of an answer


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is kept of one call: never a URL, a body or an address.

    `endpoint` is the method and the path *template*; `scope` the vendor's own id of the list; `status` the HTTP or
    SMTP status, None where no answer came; `request_id` the vendor's id for the call (or the mail server's queue id);
    `digest` the HMAC-SHA256 (hex) of the body under the instruction's `digest_key`; `note` a fixed phrase of ours.
    """

    endpoint: str
    status: int | None
    at: datetime
    request_id: str = ""
    digest: str = ""
    scope: str = ""
    note: str = ""


# --- what a connector is given


class Clock(Protocol):
    """The time: UTC and aware; and seconds that never jump."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...


class Shelf(Protocol):
    """A connector's memory: scoped to one processor, sealed, durable when the call returns."""

    def put(self, key: str, value: str) -> None: ...
    def note(self, key: str, value: str) -> None:
        """The same in the transaction that records the outcome of the instruction that this thread carries out.

        Only for what is noted *after* the call that it tells of, and is not read again before the outcome: a crash in
        between loses both, and the attempt is in doubt.
        """

    def put_all(self, entries: Mapping[str, str]) -> None:
        """The same for many, in one commit: all of them stand, or none."""

    def swap(self, key: str, old: str | None, new: str) -> bool:
        """Replace `old` (None: nothing stands there) by `new`; False, and nothing changed, where it is another.

        Of two processes that try the same swap at once, one succeeds.
        """

    def get(self, key: str) -> str | None: ...
    def find(self, prefix: str) -> Mapping[str, str]: ...


class Pseudonym(Protocol):
    """The keyed pseudonym of a text, to the letter, as it may stand in a Shelf key; see `address.normalised`."""

    def __call__(self, value: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer to one HTTP call. `headers` have lower-case names; `body` is decompressed and capped."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    evidence: Evidence


class NoAnswer(ProcessorError):
    """No complete answer came: refused, cut, too slow, too big. Read by the connector.

    `sent`: whether the request may have reached the processor; then its effect is in doubt.
    """

    def __init__(self, reason: str, evidence: Evidence, *, sent: bool) -> None:
        self.reason = reason
        self.evidence = evidence
        self.sent = sent
        super().__init__(reason)


class Http(Protocol):
    """The one polite HTTP client: pooled, https, no redirects, a hard total deadline, a size cap."""

    def call(
        self,
        method: str,
        url: str,
        *,
        template: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        digest_key: bytes = b"",
        scope: str = "",
        deadline: float = float("inf"),
        reach: Callable[[str, str], bool] | None = None,
        longest: float = CALL_SECONDS,
    ) -> Reply:
        """Make one call. `template` is what evidence keeps instead of `url`; none begins after `deadline`. `reach`:
        whether a host may be reached at an address that its name stands for just now. `longest`: seconds that it may
        take, where they are fewer than its own. Raises `NoAnswer`.
        """


@dataclass(frozen=True, slots=True)
class Posted:
    """That the next mail host took a message: its 250, with the queue id it gave. Nobody need have read it."""

    evidence: Evidence
    dsn: bool


class Mail(Protocol):
    """The controller's own outgoing mail."""

    @property
    def sender(self) -> str:
        """The monitored address that notices come from."""

    def post(self, raw: bytes, *, to: str, envelope_sender: str, envelope_id: str, digest_key: bytes) -> Posted:
        """Hand one complete RFC 5322 message to the mail host.

        Raises `NoAnswer` (no reply, or a 4xx: later), `MailRefused` (nobody is reached there: never) and
        `CredentialsRejected` (our own mail host takes nothing from us, or not this: later, and our own trouble).
        """


class MailRefused(ProcessorError):
    """The mail host said for good that nobody is reached under this address. Read by the connector.

    `status`: its enhanced status code, such as 5.1.1, or "".
    """

    def __init__(self, evidence: Evidence, status: str = "") -> None:
        self.evidence = evidence
        self.status = status
        super().__init__(f"the mail host refused the message ({evidence.status})")


@dataclass(frozen=True, slots=True)
class Kit:
    """What the service lends a connector. `mail` is None where no mail host is configured. `inbound_url`: where the
    processor's own messages come in, "" where nowhere; whoever knows it may send some.
    """

    http: Http
    clock: Clock
    pseudonym: Pseudonym
    shelf: Shelf
    mail: Mail | None = None
    rehearsal: bool = False
    inbound_url: str = field(default="", repr=False)
