"""What one message of the monitored mailbox is. Pure: bytes in, a value out, whatever the bytes are.

Everybody may write to that mailbox, so nothing of a text decides: only the form of a report (RFC 3464), where it comes
from, the marks of a machine (RFC 3834), and the tags that our own letters carried, in this order. A machine's mark says
nothing of what it wrote: only a known note of an absence, or a bare read receipt, is left unread. All else a person
reads. Only the beginning of a message is looked at.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser, HeaderParser
from email.policy import compat32
from email.utils import parseaddr

from dpsync.intake.automatic import is_absence, is_plain_receipt
from dpsync.propagation.correspondence.incoming import Incoming, MailKind

LOOKED_AT = 64 * 1024
"""Bytes. A report with the head of a letter (RET=HDRS) has a few kilobytes, and its report stands before that head."""

MOST_BOUNDARIES = 16
"""Parts in parts: each line is compared with the boundary of every part around it (measured: 300 parts took 3.4 s)."""

MOST_TAGS = 50
"""Each is looked up; a long message can repeat more of them than anybody could have been sent."""

_TAG = re.compile(r"[a-z2-7]{32}")
_TAGGED = re.compile(r"(?<![A-Za-z0-9._-])[A-Za-z0-9._-]{1,31}\+([A-Za-z2-7]{32})@")
_MESSAGE_ID = re.compile(r"<([A-Za-z2-7]{32})@[A-Za-z0-9.-]{1,255}>")
# What mail systems call themselves, as far as it stands before any number or host, without its signs.
_MAIL_SYSTEMS = (
    "mailerdaemon", "maildaemon", "mdaemon", "postmaster", "maildelivery", "mailsystem", "mailadmin", "mailrouter",
    "systemadmin", "doublebounce", "mailerror", "smtpdaemon", "bouncehandler", "internetmaildelivery",
    "microsoftexchange", "notesmailrouter", "gwia",
)  # fmt: skip
_PATHS = ("return-path", "x-envelope-from", "envelope-from")
_RETURNED = frozenset(
    {"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers", "message/feedback-report"}
)
_ONE_SENDER = re.compile(r"[^@]*?<?[^\s@<>,;]{1,64}@([A-Za-z0-9.-]{1,255})>?\s*")
_STATUS = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}")
_TO = ("to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")

# What each action says of the recipients, the worst first, and which class of status goes with it (RFC 3463).
_ACTIONS = {
    "failed": (MailKind.FAILED, "45"),
    "delayed": (MailKind.DELAYED, "4"),
    "expanded": (MailKind.EXPANDED, "2"),
    "relayed": (MailKind.RELAYED, "2"),
    "delivered": (MailKind.DELIVERED, "2"),
}


def read(start: bytes, digest: str) -> Incoming:
    """What a message is. Never raises: what cannot be read is `unclear`, and a person reads it.

    `start`: its first `LOOKED_AT` bytes; `digest`: SHA-256 (hex) of all of it.
    """
    if start.lower().count(b"boundary") > MOST_BOUNDARIES:
        return _unclear(digest, [start])
    try:
        found = _read(BytesParser(policy=compat32).parsebytes(start), digest)
    except Exception:  # noqa: BLE001 - because the library fails in ways that nobody foresaw, and no mail may be lost by it
        return _unclear(digest, [start])
    if found.kind is MailKind.AUTOMATIC and len(start) >= LOOKED_AT:
        found = replace(found, kind=MailKind.UNCLEAR)  # somebody may have written into what was not looked at
    return found if found.kind is not MailKind.UNCLEAR else _unclear(digest, [start, *_bodies(start)], found)


def _unclear(digest: str, texts: Iterable[bytes], found: Incoming | None = None) -> Incoming:
    """For a person. Its tags are looked for everywhere: they decide nothing here but beside which letter it is read."""
    tags = list(found.tags) if found else []
    for text in texts:
        plain = text.decode("ascii", "replace")
        tags += [*_tagged(plain), *_ids(plain)]
    known = tuple(dict.fromkeys(tags))[:MOST_TAGS]
    return replace(found or Incoming(MailKind.UNCLEAR, digest), tags=known)


def _bodies(start: bytes) -> Iterator[bytes]:
    """What stands in base64 or quoted-printable."""
    for part in _parts(BytesParser(policy=compat32).parsebytes(start)):
        if part.get("content-transfer-encoding") and isinstance(decoded := part.get_payload(decode=True), bytes):
            yield decoded


def _read(message: Message, digest: str) -> Incoming:
    to = [tag for name in _TO for text in _texts(message, name) for tag in _tagged(text)]
    parts = list(_parts(message))
    if _kinds_of_report(message) == ["delivery-status"] or any(_is_status(part) for part in parts):
        return _report(message, parts, to, digest)
    answered = [tag for name in ("in-reply-to", "references") for text in _texts(message, name) for tag in _ids(text)]
    senders = _texts(message, "from")
    sender = _ONE_SENDER.fullmatch(senders[0]) if len(senders) == 1 else None
    vouched = any("dmarc=pass" in text.lower() for text in _texts(message, "authentication-results")[:1])
    return Incoming(
        _kind(message, parts),
        digest,
        tuple(dict.fromkeys([*to, *answered, *(tag for part in parts for tag in _returned(part))])),
        domain=sender[1].lower() if sender else "",
        vouched=vouched,
    )


def _kind(message: Message, parts: list[Message]) -> MailKind:
    """A person's, a machine's, or what a person must look at. `Auto-Submitted` says that a machine wrote, not what."""
    if receipt := _receipt(message, parts):
        return receipt
    if _kinds_of_report(message) or _is_from_mail_system(message) or not message.get("from"):
        return MailKind.UNCLEAR
    if not _is_automatic(message):
        return MailKind.REPLY
    # Who is only away sends no letter back.
    back = any(part.get_content_type() in _RETURNED for part in parts)
    subject = " ".join(_decoded(text) for text in _texts(message, "subject"))
    name = " ".join(parseaddr(_decoded(text))[0] for text in _texts(message, "from"))
    return MailKind.AUTOMATIC if not back and is_absence(subject, name, parts) else MailKind.UNCLEAR


def _parts(message: Message) -> Iterator[Message]:
    """The message's own parts, not those of a message in it: what somebody forwards is not what happened here."""
    yield message
    if message.get_content_maintype() == "multipart" and isinstance(payload := message.get_payload(), list):
        for part in payload:
            if isinstance(part, Message):
                yield from _parts(part)


def _kinds_of_report(message: Message) -> list[str]:
    """What it reports, where it is a report: by its parameter, or by the part that it must have (RFC 6522)."""
    if message.get_content_type() != "multipart/report":
        return []
    if told := str(message.get_param("report-type", "") or "").lower():
        return [told]
    payload = message.get_payload()
    inner = [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []
    return [part.get_content_subtype() for part in inner[1:2]] or ["nothing"]


def _is_from_mail_system(message: Message) -> bool:
    """Whether it comes from where nobody is: no return path (RFC 5321, 4.5.5), or a name that mail systems write under.

    Exim says in a header of its own who did not get it, and Exchange that it is a report of non-delivery.
    """
    if any(message.get_all(name) for name in ("x-failed-recipients", "x-ms-exchange-message-is-ndr")):
        return True
    paths = [text for name in _PATHS for text in _texts(message, name)]
    if any(parseaddr(text)[1] in {"", "#@[]"} for text in paths):
        return True
    paths.append((message.get_unixfrom() or "").removeprefix("From "))
    names = [_decoded(text) for name in ("from", "sender") for text in _texts(message, name)]
    for text in (*paths, *names):
        name, _, address = text.rpartition("<")
        local = address.rpartition("@")[0] or address
        if any(_bare(one).startswith(_MAIL_SYSTEMS) for one in (name, local)):
            return True
    return False


def _decoded(text: str) -> str:
    """A header as it is read (RFC 2047)."""
    return str(make_header(decode_header(text)))


def _bare(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def _is_automatic(message: Message) -> bool:
    """Whether a machine says that it sent it by itself (RFC 3834).

    Not `X-Auto-Response-Suppress`, which asks others not to answer by machine, nor `Precedence: bulk` or `list`: help
    desks and lists put them on people's mail. An unread refusal costs more than an absence that somebody reads.
    """
    marked = [text.partition(";")[0].partition("(")[0].strip().lower() for text in _texts(message, "auto-submitted")]
    precedence = [text.strip().lower() for text in _texts(message, "precedence")]
    own = [text.strip().lower() for name in ("x-autoreply", "x-autorespond") for text in _texts(message, name)]
    return (
        any(text in {"auto-replied", "auto-generated"} for text in marked)
        or "auto_reply" in precedence
        or any(text not in {"", "no", "none", "false"} for text in own)
    )


def _receipt(message: Message, parts: list[Message]) -> MailKind | None:
    """A read receipt (RFC 8098) says that it was shown and no more; what was deleted unread a person looks at.

    So does a person with what somebody wrote into it.
    """
    inner = [part for part in parts if part.get_content_type() == "message/disposition-notification"]
    if not inner:
        return None
    fields = [one for part in inner for one in _blocks(part)]
    said = [text.rpartition(";")[2].strip().lower() for one in fields for text in _texts(one, "disposition")]
    shown = said == ["displayed"] and _kinds_of_report(message) == ["disposition-notification"]
    return MailKind.AUTOMATIC if shown and is_plain_receipt(parts) else MailKind.UNCLEAR


# --- a report of delivery


def _report(message: Message, parts: list[Message], to: list[str], digest: str) -> Incoming:
    reports = [_blocks(part) for part in parts if _is_status(part)]
    tags = [*to, *(tag for part in parts for tag in _returned(part))]
    if not reports or any(len(blocks) < 2 for blocks in reports):
        return Incoming(MailKind.UNCLEAR, digest, tuple(tags))
    envelope = [text.strip().lower() for blocks in reports for text in _texts(blocks[0], "original-envelope-id")]
    tags = [*(tag for tag in envelope if _TAG.fullmatch(tag)), *tags]
    kind, status = _worst([block for blocks in reports for block in blocks[1:]])
    if _kinds_of_report(message) != ["delivery-status"]:
        # OpenSMTPD sends it so, and nothing good is believed of it; a person may put a report beside an answer.
        bad = kind in {MailKind.FAILED, MailKind.DELAYED} and _is_from_mail_system(message)
        kind = kind if bad else MailKind.UNCLEAR
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


def _worst(recipients: list[Message]) -> tuple[MailKind, str]:
    """The worst of all recipients: an alias stands for several, and one that failed is one that was not told."""
    found: list[tuple[MailKind, str]] = []
    for one in recipients:
        action = "".join(_texts(one, "action")).partition("(")[0].strip().lower()
        status = _STATUS.match("".join(_texts(one, "status")).strip())
        kind, classes = _ACTIONS.get(action, (MailKind.UNCLEAR, ""))
        if status is None or status[1] not in classes:
            return MailKind.UNCLEAR, ""  # "delivered" with 5.1.1 is nobody's report
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
