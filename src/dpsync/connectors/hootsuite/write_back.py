"""What is known of Hootsuite's contacts: what write-back has shown, and what we did ourselves.

It is kept sealed on the shelf; the text of messages is dropped unread.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from dpsync.address import normalised
from dpsync.connector import Conversation, Exported, Instruction, Kit
from dpsync.errors import PayloadInvalid
from dpsync.model import Right
from dpsync.vendor.deliveries import identifier, moment, part
from dpsync.vendor.token import instant

COLUMNS: Final = ("conversation id", "contact profile id", "created at")
WATCH: Final = timedelta(minutes=15)  # no time is documented in which an import fails; the note's suggestion

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_id = partial(identifier, form=_ID)
_IDENTIFIERS: Final = ("primaryIdentifier", "secondaryIdentifier")
_PHONE = re.compile(r"\+?[0-9]{7,15}")
_SLACK: Final = timedelta(minutes=2)  # between the vendor's clock and ours

Attributes = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Profile:
    """A contact as its last conversation showed it.

    `at`, `event`: which conversation. `crm`: the CRM-managed attributes, None where they are not known; the only
    personal data here. `put_at`: when we wrote that set ourselves, where no conversation has shown it since. `sure`:
    pseudonyms of what medium and CRM call the person, `copies` of each value that the CRM does not manage; `by_hand`:
    attributes that staff typed. `erased`: an erasure was asked for, so no value is kept any more.
    """

    at: str = ""
    event: str = ""
    crm: Attributes | None = None
    sure: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    put_at: str = ""
    erased: bool = False

    def then(self, new: "Profile") -> "Profile":
        """The later of two, in whichever order they came. What is older than our own writing has older values too."""
        if (new.at, new.event) <= (self.at, self.event):
            return self
        # the vendor's clock is not ours, and how soon it takes a set over is not documented
        older = bool(self.put_at) and new.at <= instant(datetime.fromisoformat(self.put_at) + _SLACK)
        crm = None if self.erased else self.crm if older else new.crm
        return replace(new, crm=crm, put_at=self.put_at if older else "", erased=self.erased)


def _is_telling(value: str) -> bool:
    """Whether it is an address or a telephone number: a name tells two people apart no more than a colour does."""
    return bool(re.search("[^@]@+[^@]", value) or _PHONE.fullmatch(_written(value)))


def _written(value: str) -> str:
    """One spelling of an address or telephone number; a national number stays what it is."""
    plain = normalised(value.encode(errors="replace").decode())
    digits = re.sub(r"[\s()./-]", "", plain)
    digits = f"+{digits[2:]}" if digits.startswith("00") else digits
    return digits if _PHONE.fullmatch(digits) else plain


def _minute(at: datetime) -> str:
    return instant(at)[:16]


class Memory:
    """The shelf, with a name for each thing on it. Keys are read by whoever reads the database: they name nobody."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._shelf = kit.shelf

    def pseudonym(self, value: str) -> str:
        """Of an address, a number or any other value, in one spelling."""
        return self._kit.pseudonym(_written(value))

    def key_of(self, contact: str) -> str:
        """Of a contact: its id is of a person."""
        return self._kit.pseudonym(contact)

    def people(self, order: Instruction) -> tuple[str, ...]:
        """Pseudonyms of every address and telephone number of the person, the new address of a change included."""
        named = [*order.spellings, order.phone or ""]
        return tuple(dict.fromkeys(self.pseudonym(value) for value in named if value.strip()))

    # --- contacts

    def profile(self, contact: str) -> Profile:
        """As it was seen last, and changed by us since."""
        return _profile(self._shelf.get(f"profile/{self.key_of(contact)}"))

    def change(self, contact: str, changed: Callable[[Profile], Profile]) -> None:
        """Replace a profile; two deliveries at once both count."""
        key = f"profile/{self.key_of(contact)}"
        while True:
            kept = self._shelf.get(key)
            old = _profile(kept)
            new = changed(old)
            if new == old or self._shelf.swap(key, kept, json.dumps(asdict(new))):
                return

    def see(self, contact: str, new: Profile, people: Iterable[str]) -> None:
        """Take in what a conversation showed."""
        if self._shelf.get("since") is None:
            self._shelf.swap("since", None, new.at)
        if contact:
            # the index first: if we crash between, the vendor sends it again
            self._shelf.put_all({f"person/{who}/{self.key_of(contact)}": contact for who in people})
            self.change(contact, lambda old: old.then(new))

    def located(self, order: Instruction) -> dict[str, bool]:
        """The contacts of the person; False where a person must look first.

        So it is where only staff typed the address, or the last conversation shows it no more: a slip of the pen that
        was put right since must not have somebody else deleted or overwritten.
        """
        people = self.people(order)
        known = [contact for who in people for contact in self._shelf.find(f"person/{who}/").values()]
        found = {contact: bool(set(self.profile(contact).sure) & set(people)) for contact in known}
        return found | {name: True for name in order.references.get("hootsuite", ()) if _ID.fullmatch(name)}

    def since(self) -> str:
        """What whoever searches must know of what we have seen."""
        seen = self._shelf.get("since")
        if seen is None:
            return "No conversation has come in by write-back yet."
        return f"Write-back has shown conversations since {seen[:10]} only."

    # --- attributes that were not taken over

    def note_import_error(self, moments: Iterable[datetime]) -> None:
        """That an import failed in these minutes; the error names no contact."""
        self._shelf.put_all({f"import_error/{_minute(at)}": "" for at in moments})

    def failed(self, put_at: str) -> bool:
        """Whether an import error came within the watch window of a change."""
        at = datetime.fromisoformat(put_at)
        first, last = _minute(at - _SLACK), _minute(at + WATCH)
        hours = {f"import_error/{one[:13]}" for one in (first, last)}
        return any(first <= key.removeprefix("import_error/") <= last for one in hours for key in self._shelf.find(one))

    def known(self, profile: Profile) -> Attributes | None:
        """The complete CRM-managed set as it stands there, None where nobody knows it."""
        return None if profile.put_at and self.failed(profile.put_at) else profile.crm

    # --- our own block-list

    def block(self, order: Instruction) -> None:
        """Each entry is one person's: who shares a telephone stays blocked when the other's restriction is lifted."""
        who = self._kit.pseudonym(order.subject_id) if order.subject_id else "-"
        entry = "yes" if order.lifted is None else "lifted"
        self._shelf.put_all({f"blocked/{order.right}/{one}/{who}": entry for one in self.people(order)})

    def blocked(self, right: Right, people: Sequence[str]) -> bool:
        """Whether our own block-list names all of these."""
        return all("yes" in self._shelf.find(f"blocked/{right}/{who}/").values() for who in people)


def _profile(text: str | None) -> Profile:
    return Profile(**json.loads(text)) if text else Profile()


# --- what comes in


def read(
    event: Mapping[str, object], data: Mapping[str, object], now: datetime, pseudonym: Callable[[str], str]
) -> tuple[Conversation, Profile]:
    """A conversation, and what it shows of its contact. Raises `PayloadInvalid`."""
    conversation, person, at = part(data, "conversation"), part(data, "contactProfile"), event.get("timestamp")
    seen = Conversation(
        id=_id(conversation.get("id"), "data.conversation.id", needed=True),
        contact=_id(person.get("id"), "data.contactProfile.id"),
        medium=_id(part(data, "medium").get("id"), "data.medium.id"),
        channel=_id(part(data, "channel").get("id"), "data.channel.id"),
        started_at=moment(conversation.get("createdAt"), "data.conversation.createdAt"),
        seen_at=moment(at, "timestamp"),
        open=conversation.get("currentStatus") != "resolved",
    )
    if seen.seen_at > now + timedelta(days=1):
        # it would stand as the newest for ever
        raise PayloadInvalid("timestamp", "lies in the future")

    def pseudonyms(values: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({pseudonym(value) for value in values}))

    crm, typed, shown = _values(data, seen.medium)
    named = [value for value in map(person.get, _IDENTIFIERS) if isinstance(value, str)]
    sure = pseudonyms(filter(_is_telling, [*named, *filter(None, (crm or {}).values())]))
    copies = [*named, *typed.values(), *shown]
    people = tuple(sorted({*sure, *pseudonyms(filter(_is_telling, copies))}))
    key = str(event.get("idempotencyKey", ""))
    profile = Profile(instant(seen.seen_at), key, crm, sure, pseudonyms(copies), tuple(sorted(typed)))
    return replace(seen, people=people), profile


def _values(data: Mapping[str, object], medium: str) -> tuple[Attributes | None, dict[str, str], list[str]]:
    """The attributes in a delivery that the CRM manages (None: not all are known), staff typed, the network shows."""
    rows = data.get("contactAttributes")
    crm: Attributes | None = {}
    typed: dict[str, str] = {}
    shown: list[str] = []
    for row in rows if isinstance(rows, list) else ():
        match row:
            case {"attribute": str(name), "source": "CRM_CONFIRMED", "value": str() | None as value}:
                # the same name with two values: which of them stands there nobody knows
                crm = {**crm, name: value} if crm is not None and crm.get(name, value) == value else None
            case {"attribute": str(name), "source": "AGENT", "value": str(text)}:
                typed[name] = text
            case {"source": "MEDIUM", "value": str(text)}:
                shown.append(text)
            case {"source": "AGENT" | "MEDIUM"}:
                pass
            case _:
                crm = None
    # of X (Twitter) the attributes are left out, so that none are shown does not mean that there are none
    return crm if isinstance(rows, list) and medium != "twit" else None, typed, shown


def exported(rows: Iterable[Mapping[str, str]]) -> Iterator[Exported]:
    """The rows of the export "Resolved conversations". Raises `PayloadInvalid`: the row, never its value."""
    for number, row in enumerate(rows, 1):
        where = f"row {number}"
        named = {re.sub(r"[^a-z]+", " ", str(name).lower()).strip(): value for name, value in row.items()}
        if missing := [name for name in COLUMNS if not isinstance(named.get(name), str)]:
            raise PayloadInvalid(where, f"lacks the column {missing[0]}")
        conversation, contact, created = (named[name].strip() for name in COLUMNS)
        yield Exported(_id(conversation, where, needed=True), _id(contact, where), moment(created, where))
