"""What Mailchimp holds: accounts, audiences and contacts, and the rules by which a contact may change.

Source: the Marketing API 3.0 as documented and recorded, read in August 2026. What nobody documents is decided against
the caller here, so that a connector which only works by luck is found out.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dpsync.sandbox.mailchimp.merge_fields import MergeField, MergeFieldType, Rejected
from dpsync.sandbox.vendor import Refusal

STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
DEFAULT_FIELDS: Mapping[str, MergeFieldType] = {
    "FNAME": "text",
    "LNAME": "text",
    "PHONE": "phone",
    "BIRTHDAY": "birthday",
    "CITY": "text",
    "ADDRESS": "address",
}
MERGE = Mapping[str, object]


class Problem(Refusal):
    """A refusal in the vendor's own words, sent as application/problem+json."""

    def __init__(
        self, status: int, title: str, detail: str, errors: list[dict[str, str]] | None = None, allow: str = ""
    ) -> None:
        super().__init__(status, title, *([("allow", allow)] if allow else []))
        self.detail, self.errors = detail, errors


def invalid(field_name: str, message: str) -> Problem:
    """400 Invalid Resource about one field."""
    detail = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
    return Problem(400, "Invalid Resource", detail, [{"field": field_name, "message": message}])


def made_fields(types: Mapping[str, str | Mapping[str, object]], required: Iterable[str] = ()) -> dict[str, MergeField]:
    """Merge fields by tag: each a type, or a type with `options`."""
    fields = {}
    for number, (tag, said) in enumerate(types.items(), 1):
        given: Mapping[str, object] = {"type": said} if isinstance(said, str) else said
        options = given.get("options", {})
        kept = dict(options) if isinstance(options, dict) else {}
        fields[tag] = MergeField(number, tag, str(given["type"]), tag, tag in required, kept)
    return fields


def not_found() -> Problem:
    """404 Resource Not Found: the same words for an unknown audience and an unknown contact."""
    return Problem(404, "Resource Not Found", "The requested resource could not be found.")


def digest(address: str) -> str:
    """The subscriber hash: MD5 of the trimmed, lower-cased address; a plus tag is part of the address."""
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class GroupCategory:
    """A question of the sign-up form, whose answers are interest groups."""

    id: str
    title: str
    kind: str = "checkboxes"


@dataclass(frozen=True, slots=True)
class Group:
    """One interest group. `category`: the id of its category."""

    id: str
    category: str
    name: str


@dataclass(slots=True)
class Member:
    """One contact of one audience. `left_by_link`: the person unsubscribed, so only the person can come back."""

    contact_id: str
    web_id: int
    unique_email_id: str
    email_address: str
    status: str
    last_changed: str
    merge_fields: dict[str, object] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    left_by_link: bool = False
    language: str = ""
    vip: bool = False
    notes: dict[int, str] = field(default_factory=dict)
    events: list[dict[str, object]] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The subscriber hash of the address as it is now."""
        return digest(self.email_address)


@dataclass(slots=True)
class Audience:
    """One list: its contacts by subscriber hash, and the hashes it refuses to take back."""

    id: str
    name: str
    web_id: int
    created: str
    fields: dict[str, MergeField] = field(default_factory=lambda: made_fields(DEFAULT_FIELDS))
    members: dict[str, Member] = field(default_factory=dict)
    contacts: dict[str, Member] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    fake: set[str] = field(default_factory=set)
    categories: dict[str, GroupCategory] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    added: int = 0

    def find(self, reference: str) -> Member:
        """The contact by hash, address or contact id.

        Raises:
            Problem: 404, for whoever is not here.
        """
        if "@" in reference:
            reference = digest(reference)
        found = self.members.get(reference) or self.contacts.get(reference)
        if found is None:
            raise not_found()
        return found

    def find_by_hash(self, reference: str) -> Member:
        """The contact by hash only, as delete-permanent and tags document it."""
        found = self.members.get(reference)
        if found is None:
            raise not_found()
        return found

    def add(self, address: str, status: str, merge_fields: MERGE, now: str, *, skip_validation: bool = True) -> Member:
        """A new contact.

        Raises:
            Problem: 400, where the address is no address, was erased earlier, or is here already.
        """
        self.check_new_address(address)
        self.added += 1
        seed = f"{self.id}/{self.added}"
        member = Member(
            contact_id=hashlib.sha256(f"contact/{seed}".encode()).hexdigest()[:32],
            web_id=self.web_id * 1_000_000 + self.added,
            unique_email_id=hashlib.sha256(f"email/{seed}".encode()).hexdigest()[:10],
            email_address=address.strip(),
            status=check_status(status),
            last_changed=now,
            merge_fields=dict.fromkeys(self.fields, ""),
        )
        self.merge(member, merge_fields, skip_validation=skip_validation)
        self.members[member.id] = member
        self.contacts[member.contact_id] = member
        return member

    def check_new_address(self, address: str) -> None:
        """Raises Problem unless the address could be added to this audience."""
        wanted = address.strip()
        if wanted.count("@") != 1 or wanted.startswith("@") or wanted.endswith("@") or " " in wanted:
            raise invalid("email address", "Please enter a valid email address.")
        if wanted.lower() in self.fake:
            raise invalid("email address", f"{wanted} looks fake or invalid, please enter a real email address.")
        if digest(wanted) in self.forgotten:
            raise Problem(
                400,
                "Forgotten Email Not Subscribed",
                f"{wanted} was permanently deleted and cannot be re-imported. "
                "The contact must re-subscribe to get back on the list.",
            )
        if digest(wanted) in self.members:
            # An archived holder of the address refuses it just the same.
            raise Problem(
                400,
                "Member Exists",
                f"{wanted} is already a list member. Use PUT to insert or update list members.",
            )

    def merge(self, member: Member, fields: MERGE, *, skip_validation: bool) -> None:
        """Sets the given merge fields; the others stay, and tags this audience does not know are ignored.

        Raises:
            Problem: 400, about each field that does not take its value; nothing has been changed then.
        """
        known: dict[str, object] = {}
        refused: list[dict[str, str]] = []
        for tag, value in fields.items():
            if tag in self.fields:
                try:
                    known[tag] = self.fields[tag].kept(value)
                except Rejected as no:
                    refused.append({"field": tag, "message": str(no)})
        if not skip_validation and not refused:
            after = {**member.merge_fields, **known}
            empty = [tag for tag, one in self.fields.items() if one.required and after.get(tag, "") == ""]
            refused = [{"field": tag, "message": "Please enter a value"} for tag in sorted(empty)]
        if refused:
            raise Problem(400, "Invalid Resource", "Your merge fields were invalid.", refused)
        member.merge_fields.update(known)

    def asked_groups(self, given: object) -> Mapping[str, bool]:
        """The interest groups that a call names, each with whether the contact is to be in it; the others stay.

        Raises:
            Problem: 400, where it names one that the audience has not.
        """
        if not isinstance(given, dict) or not all(isinstance(one, bool) for one in given.values()):
            raise invalid("interests", "Schema describes object, array found instead")
        for name in given:
            if name not in self.groups:
                raise Problem(400, "Invalid Resource", f"Invalid interest ID: '{name}'.")
        return given

    def check_move(self, member: Member, address: str) -> None:
        """Raises Problem unless this contact may take that address. Another spelling of its own is no move."""
        if digest(address) == member.id:
            return
        if member.status != "subscribed":
            raise invalid(
                "email address",
                f'This member\'s status is "{member.status}." You can only update email addresses for members '
                'with a status of "subscribed."',
            )
        self.check_new_address(address)

    def move(self, member: Member, address: str) -> None:
        """Gives the contact another address; `contact_id` and `web_id` stay."""
        del self.members[member.id]
        member.email_address = address.strip()
        self.members[member.id] = member

    def archive(self, member: Member) -> None:
        """Archives.

        Raises:
            Problem: 405, for a contact that is cleaned, pending or archived already.
        """
        if member.status in {"cleaned", "pending", "archived"}:
            raise Problem(
                405,
                "Method Not Allowed",
                "This list member cannot be removed. Can not archive a contact that is bounced, pending or archived",
                allow="GET, PUT, PATCH",
            )
        member.status = "archived"

    def regroup(self, member: Member, asked: Mapping[str, bool]) -> None:
        """Put a contact into interest groups, or take it out of them."""
        member.groups |= {name for name, inside in asked.items() if inside}
        member.groups -= {name for name, inside in asked.items() if not inside}

    def forget(self, member: Member) -> None:
        """Erases for good: nothing is left but the hash that refuses a re-import."""
        del self.members[member.id]
        del self.contacts[member.contact_id]
        self.forgotten.add(member.id)


def check_status(status: object) -> str:
    """The status, where it is one a caller may set."""
    if not isinstance(status, str) or status not in STATUSES:
        raise invalid("status", "The value must be one of: " + ", ".join(STATUSES))
    return status


def check_return(member: Member, status: str) -> None:
    """Raises Problem where somebody else would subscribe a person who left by the link, bounced or complained."""
    if status == "subscribed" and (member.status == "cleaned" or member.left_by_link):
        raise Problem(
            400,
            "Member In Compliance State",
            f"{member.email_address} is in a compliance state due to unsubscribe, bounce, or compliance review "
            "and cannot be subscribed.",
        )


@dataclass(slots=True)
class Account:
    """One user at the vendor: its keys and audiences; `search`: what a search finds while it lags behind."""

    name: str
    keys: tuple[str, ...]
    audiences: dict[str, Audience] = field(default_factory=dict)
    search: list[dict[str, object]] | None = None

    def audience(self, list_id: str) -> Audience:
        """The audience, or Problem 404."""
        found = self.audiences.get(list_id)
        if found is None:
            raise not_found()
        return found
