"""The one polite HTTP client: pooled, https only, no redirects, a hard total deadline, a size cap, evidence kept.

Two times bound a call, and they are not one: none *begins* after the deadline of its instruction (the lease), and one
that has begun may take the hard total, which whoever takes the lease over waits for.
"""

import hashlib
import hmac
import json
import logging
import re
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, Self
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, SSLError

from dpsync import strict_json
from dpsync.connector import Evidence, Reply
from dpsync.connector_services import CALL_SECONDS, CALLS_AT_ONCE, Clock, Kit, NoAnswer
from dpsync.errors import ConfigurationError, Fault, PayloadInvalid, ProcessorError
from dpsync.http_deadline import Adapter, Reach, Timed, Watchdog, current
from dpsync.urls import is_loopback, may_be_called

# urllib3 writes whole URLs into its messages, and Mailchimp's are the MD5 of an address.
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)

TOO_LATE: Final = "no call begins after the deadline"
TOO_SLOW: Final = "no complete answer within the deadline"
STOPPED: Final = "dpsync was stopped before the answer was complete"
TOO_BIG: Final = "the answer is larger than is accepted"
BAD_ENCODING: Final = "the answer cannot be decompressed"
UNREACHABLE: Final = "no connection could be made"
TLS_FAILED: Final = "the processor's certificate or TLS version was not accepted"
BARRED: Final = "the host is inside a network that is not called"
CUT: Final = "the connection ended before the answer was complete"

_CHUNK = 65_536
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")
_LONGEST_WAIT = timedelta(hours=24)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: a redirect is an answer like any other. `requests` would read its whole body to prepare a next call."""
        del resp
        return None


class _TooBig(Exception):
    pass


class HttpClient:
    """Makes calls for connectors, by many threads at once; nothing here raises anything but `NoAnswer`.

    `longest`: seconds for one whole call, name look-up to last byte. `cap`: bytes of body after decompression. Kept per
    host are as many connections as a worker calls by at most: one more would be made anew for each call. `rehearsal`
    allows plain http to loopback. `reach` says at which addresses a host may be reached; without it, at all of them.
    Times in evidence come from `clock`; the watchdog counts real seconds, because a socket does not live in a test's
    clock. A name look-up cannot be interrupted: there the system resolver's own limits apply, and a call whose time
    they used up sends nothing.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        rehearsal: bool = False,
        longest: float = CALL_SECONDS,
        cap: int = 5_000_000,
        reach: Reach | None = None,
    ) -> None:
        self._clock = clock
        self._rehearsal = rehearsal
        self._longest = longest
        self._cap = cap
        self._reach = reach
        self._watchdog = Watchdog()
        self._session = _Session()
        self._session.trust_env = False  # no .netrc, no proxy and no CA bundle from the environment
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # never sent; kept neither
        for prefix in ("https://", "http://"):
            self._session.mount(prefix, Adapter(pool_connections=16, pool_maxsize=CALLS_AT_ONCE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every pooled connection."""
        self._session.close()
        self._watchdog.stop()

    def abort(self) -> None:
        """End every call that is under way, and begin none any more: for an orderly stop that has waited long enough.

        What was sent is in doubt; it is read back by whoever goes on.
        """
        self._watchdog.abort()

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
        reach: Reach | None = None,
        longest: float = CALL_SECONDS,
    ) -> Reply:
        """Make one call and return the complete answer, whatever its status; a redirect too is an answer.

        `template` is what evidence keeps instead of `url`; after `deadline`, in the clock's monotonic seconds, no call
        begins. No call that has begun is aborted by it: a vendor that needs 12 s would never succeed under a lease of
        10 s. `reach` stands in for the client's own; `longest` where it is shorter than the client's own.
        Raises `NoAnswer`; `ProcessorError` where the URL may not be called at all (RFC 9110 4.2.4: no user in a URL).
        """
        _allowed(url, self._rehearsal)
        endpoint = template if template.startswith(f"{method} ") else f"{method} {template}"
        if self._watchdog.closed or self._clock.monotonic() >= deadline:
            raise NoAnswer(TOO_LATE, Evidence(endpoint, None, self._clock.now(), scope=scope), sent=False)
        request = requests.PreparedRequest()
        sent_headers = {"Accept-Encoding": "gzip", "User-Agent": "dpsync", **(headers or {})}
        request.prepare(method=method, url=url, headers=sent_headers, params=dict(params or {}), data=body)
        call = Timed(min(longest, self._longest), reach or self._reach)
        try:
            status, names, content = self._exchange(request, call)
        except (requests.RequestException, HTTPError, OSError, UnicodeError, zlib.error, _TooBig) as error:
            # `from None`: the text of the cause is a URL, and a traceback prints it
            evidence = Evidence(endpoint, None, self._clock.now(), scope=scope)
            raise NoAnswer(_reason(error, call), evidence, sent=_was_sent(error, call)) from None
        at, request_id, digest = self._clock.now(), _request_id(names), _digest(digest_key, content)
        return Reply(status, names, content, Evidence(endpoint, status, at, request_id, digest, scope=scope))

    def _exchange(self, request: requests.PreparedRequest, call: Timed) -> tuple[int, dict[str, str], bytes]:
        current.call = call
        with self._watchdog.over(call):
            return self._received(request, call)

    def _received(self, request: requests.PreparedRequest, call: Timed) -> tuple[int, dict[str, str], bytes]:
        answer = self._session.send(
            request, stream=True, timeout=(call.left, call.left), allow_redirects=False, proxies={}
        )
        try:
            names = {name.lower(): value for name, value in answer.headers.items()}
            content = _body(answer.raw, names.get("content-encoding", "").strip().lower(), self._cap)
        finally:
            answer.close()
        if call.aborted:
            raise TimeoutError
        return answer.status_code, names, content


def _digest(key: bytes, content: bytes) -> str:
    # without a key a digest of a short answer could be guessed back
    return hmac.new(key, content, hashlib.sha256).hexdigest() if key else ""


def _body(raw: Any, encoding: str, cap: int) -> bytes:
    """The whole body, decompressed. Done here because urllib3 takes a gzip stream that was cut for a whole one."""
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise zlib.error
    content = bytearray()
    unzip = zlib.decompressobj(31) if "gzip" in encoding else None
    while chunk := raw.read(_CHUNK, decode_content=False):
        if unzip is None:
            content += chunk
        while unzip is not None and chunk:
            content += unzip.decompress(chunk, cap + 1 - len(content))
            chunk = unzip.unconsumed_tail
            if len(content) > cap or unzip.unused_data:
                break
        if len(content) > cap:
            raise _TooBig
    if unzip is not None and content and (not unzip.eof or unzip.unused_data):
        raise zlib.error
    return bytes(content)


def _reason(error: Exception, call: Timed) -> str:
    reason = CUT
    if isinstance(error, _TooBig):
        reason = TOO_BIG
    elif call.aborted or isinstance(error, TimeoutError | requests.Timeout):
        reason = STOPPED if call.aborted and time.monotonic() < call.ends else TOO_SLOW
    elif isinstance(error, zlib.error):
        reason = BAD_ENCODING
    elif isinstance(error, requests.exceptions.SSLError | SSLError) and not call.sent:
        reason = TLS_FAILED
    elif call.barred:
        reason = BARRED
    elif not _was_sent(error, call):
        reason = UNREACHABLE
    return reason


def _was_sent(error: Exception, call: Timed) -> bool:
    if call.link is not None:
        return call.sent
    # an adapter that shows us no connection: only errors that speak of an answer prove that something was sent
    return not isinstance(error, requests.ConnectionError | requests.ConnectTimeout)


def _request_id(headers: Mapping[str, str]) -> str:
    named = headers.get("x-request-id", "")
    return named if _REQUEST_ID.fullmatch(named) else ""


def _allowed(url: str, rehearsal: bool) -> None:
    if not may_be_called(url, rehearsal=rehearsal):
        raise ProcessorError("only https is called (plain http on loopback in a rehearsal), without a user in the URL")


def api_root(base_url: str, path: str = "") -> str:
    """A configured `base_url` without a slash at its end, and with `path` where it names none.

    Raises ValueError (for pydantic): https only, plain http on loopback, no user, query or fragment.
    """
    parts = urlsplit(base_url)
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if (parts.scheme != "https" and not plain) or not parts.hostname:
        raise ValueError("must be https (plain http on loopback only)")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must have no user, query or fragment")
    return base_url.rstrip("/") + ("" if parts.path.strip("/") else path)


def demand_own_address(kit: Kit, vendor: str, *, own: bool) -> None:
    """Refuse an address that is not the vendor's own outside a rehearsal: our credential, and people, would go there.

    Raises `ConfigurationError`.
    """
    if not own and not kit.rehearsal:
        problem = f"is not {vendor}'s own; any other needs [controller] rehearsal = true"
        raise ConfigurationError([Fault("base_url", problem)])


# --- what connectors read out of a reply


def says_json(reply: Reply) -> bool:
    """Whether a reply calls its body JSON."""
    kind = reply.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() in ("application/json", "application/problem+json")


def json_of(reply: Reply) -> object | None:
    """The JSON of a reply, or None where it is not JSON throughout (RFC 8259).

    None for an HTML page, a cut or empty body, another charset, a lone surrogate, and what `strict_json` refuses.
    """
    if not says_json(reply):
        return None
    named = re.search(r"charset\s*=\s*\"?([^\s\";]+)", reply.headers["content-type"], re.IGNORECASE)
    if named and named.group(1).lower() not in ("utf-8", "utf8", "us-ascii"):
        return None
    try:
        value = strict_json.load(reply.body, quoting=True)
        if b"\\ud" in reply.body.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except (PayloadInvalid, UnicodeEncodeError):
        return None
    return value


def retry_after(reply: Reply, now: datetime) -> timedelta | None:
    """How long the processor asks us to wait (RFC 9110 10.2.3): 0 to 24 h, None where it says nothing readable.

    Ten years, or a date long past, must not decide when a person's right is carried out.
    """
    said = reply.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[+-]?[0-9]{1,18}", said):
        return max(timedelta(), min(_LONGEST_WAIT, timedelta(seconds=min(int(said), 10**6))))
    try:
        date = parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(timedelta(), min(_LONGEST_WAIT, date - now))
