"""What one message of the monitored mailbox is. Pure: bytes in, a value out, whatever the bytes are.

Everybody may write to that mailbox, so nothing of a text decides: only the form of a report (RFC 3464), the marks of a
machine (RFC 3834), and the tags that our own letters carried. Only the beginning of a message is looked at.
"""

import re
from collections.abc import Iterator
from email.errors import MessageError
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser, HeaderParser
from email.policy import compat32

from dpsync.propagation.incoming import Incoming, Kind

LOOKED_AT = 64 * 1024
"""Bytes. A report with the head of a letter (RET=HDRS) has a few kilobytes, and its report stands before that head."""

MOST_BOUNDARIES = 16
"""Parts in parts: each line is compared with the boundary of every part around it (measured: 300 parts took 3.4 s)."""

_TAG = re.compile(r"[a-z2-7]{32}")
_TAGGED = re.compile(r"(?<![A-Za-z0-9._-])[A-Za-z0-9._-]{1,31}\+([A-Za-z2-7]{32})@")
_MESSAGE_ID = re.compile(r"<([A-Za-z2-7]{32})@[A-Za-z0-9.-]{1,255}>")
_ONE_SENDER = re.compile(r"[^@]*?<?[^\s@<>,;]{1,64}@([A-Za-z0-9.-]{1,255})>?\s*")
_STATUS = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}")
_TO = ("to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")

# What each action says of the recipients, the worst first, and which class of status goes with it (RFC 3463).
_ACTIONS = {
    "failed": (Kind.FAILED, "45"),
    "delayed": (Kind.DELAYED, "4"),
    "expanded": (Kind.EXPANDED, "2"),
    "relayed": (Kind.RELAYED, "2"),
    "delivered": (Kind.DELIVERED, "2"),
}


def read(start: bytes, digest: str) -> Incoming:
    """What a message is. Never raises: what cannot be read is `unclear`, and a person reads it.

    `start`: its first `LOOKED_AT` bytes; `digest`: SHA-256 (hex) of all of it.
    """
    if start.lower().count(b"boundary") > MOST_BOUNDARIES:
        return Incoming(Kind.UNCLEAR, digest)
    try:
        return _read(BytesParser(policy=compat32).parsebytes(start), digest)
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # The library meets what nobody foresaw in many ways; none of them is a reason to stop reading the others.
        return Incoming(Kind.UNCLEAR, digest)


def _read(message: Message, digest: str) -> Incoming:
    to = [tag for name in _TO for text in _texts(message, name) for tag in _tagged(text)]
    if _is_report(message, "delivery-status"):
        return _report(message, to, digest)
    answered = [tag for name in ("in-reply-to", "references") for text in _texts(message, name) for tag in _ids(text)]
    kind = Kind.AUTOMATIC if _is_automatic(message) else Kind.REPLY
    if kind is Kind.AUTOMATIC and _texts(message, "x-failed-recipients"):
        kind = Kind.UNCLEAR  # a host that reports a failure in a form of its own
    senders = _texts(message, "from")
    sender = _ONE_SENDER.fullmatch(senders[0]) if len(senders) == 1 else None
    vouched = any("dmarc=pass" in text.lower() for text in _texts(message, "authentication-results")[:1])
    return Incoming(
        kind,
        digest,
        tuple(dict.fromkeys([*to, *answered])),
        domain=sender[1].lower() if sender else "",
        vouched=vouched,
    )


def _is_report(message: Message, kind: str) -> bool:
    told = str(message.get_param("report-type", "") or "").lower()
    return message.get_content_type() == "multipart/report" and told == kind


def _is_automatic(message: Message) -> bool:
    """Whether a machine sent it, by any of the marks that are in use. A read receipt (RFC 8098) is one too."""
    marked = [text.strip().lower() for text in _texts(message, "auto-submitted")]
    precedence = {text.strip().lower() for text in _texts(message, "precedence")}
    return (
        any(not text.startswith("no") for text in marked)
        or bool(precedence & {"bulk", "junk", "list", "auto_reply"})
        or any(_texts(message, name) for name in ("x-auto-response-suppress", "x-autoreply", "x-autorespond"))
        or _is_report(message, "disposition-notification")
    )


# --- a report of delivery


def _report(message: Message, to: list[str], digest: str) -> Incoming:
    parts = message.get_payload()
    parts = parts if isinstance(parts, list) else []
    blocks = next((_blocks(part) for part in parts if isinstance(part, Message) and _is_status(part)), [])
    if len(blocks) < 2:
        return Incoming(Kind.UNCLEAR, digest, tuple(to))
    envelope = [text.strip().lower() for text in _texts(blocks[0], "original-envelope-id")]
    tags = [tag for tag in envelope if _TAG.fullmatch(tag)]
    tags += [*to, *(tag for part in parts[1:] if isinstance(part, Message) for tag in _returned(part))]
    kind, status = _worst(blocks[1:])
    return Incoming(kind, digest, tuple(dict.fromkeys(tags)), status=status)


def _is_status(part: Message) -> bool:
    return part.get_content_type() in {"message/delivery-status", "message/global-delivery-status"}


def _blocks(part: Message) -> list[Message]:
    """The fields of the message, then those of each recipient."""
    payload = part.get_payload()
    found = [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []
    if part.get_content_type() == "message/global-delivery-status" and found:
        # The library parses this newer type (RFC 6533) as one message, of which the recipients are the text.
        rest = re.split(r"(?:\r?\n){2,}", str(found[0].get_payload()))
        found = [found[0], *(HeaderParser(policy=compat32).parsestr(f"{text}\n\n") for text in rest)]
    return [one for one in found if one.keys()]


def _worst(recipients: list[Message]) -> tuple[Kind, str]:
    """The worst of all recipients: an alias stands for several, and one that failed is one that was not told."""
    found: list[tuple[Kind, str]] = []
    for one in recipients:
        action = "".join(_texts(one, "action")).strip().lower()
        status = _STATUS.match("".join(_texts(one, "status")).strip())
        kind, classes = _ACTIONS.get(action, (Kind.UNCLEAR, ""))
        if status is None or status[1] not in classes:
            return Kind.UNCLEAR, ""  # "delivered" with 5.1.1 is nobody's report
        found.append((kind, status[0]))
    order = [kind for kind, _ in _ACTIONS.values()]
    return min(found, key=lambda one: order.index(one[0]))


def _returned(part: Message) -> Iterator[str]:
    """The tag of the letter that the report is about, as far as its head came back."""
    content = part.get_content_type()
    payload = part.get_payload()
    if content in {"message/rfc822", "message/global"} and isinstance(payload, list):
        heads = [one for one in payload[:1] if isinstance(one, Message)]
    elif content in {"text/rfc822-headers", "message/global-headers"}:
        decoded = part.get_payload(decode=True)
        heads = [BytesHeaderParser(policy=compat32).parsebytes(decoded)] if isinstance(decoded, bytes) else []
    else:
        heads = []
    for head in heads:
        for text in _texts(head, "message-id"):
            yield from _ids(text)


# --- headers


def _texts(message: Message, name: str) -> list[str]:
    # str(): bytes that are no ASCII come as an object that decodes to marks of replacement.
    return [str(value) for value in message.get_all(name, [])]


def _tagged(text: str) -> Iterator[str]:
    """The tags of addresses, in the one case that ours have."""
    for found in _TAGGED.finditer(text):
        yield found[1].lower()


def _ids(text: str) -> Iterator[str]:
    for found in _MESSAGE_ID.finditer(text):
        yield found[1].lower()
