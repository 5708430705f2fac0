"""How a contact leaves a part of a Brevo account alone: one list, or email or SMS.

Source: reference of API v3, update-contact: `unlinkListIds`, `emailBlacklisted`, `smsBlacklisted`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from dpsync.connectors.brevo.calls import Contact

PARTS: Final[Mapping[str, str]] = {"list": "[1-9][0-9]{0,17}", "channel": "email|sms"}
_BLOCKS: Final = {"email": "emailBlacklisted", "sms": "smsBlacklisted"}


def change_of(part: str, held: Contact) -> dict[str, object]:
    """What must be sent so that a contact has left a part; nothing where it has.

    A list is named also where the contact is not on it: only so the account says whether it has such a list.
    """
    kind, _, own_id = part.partition("=")
    if kind == "list":
        return {"unlinkListIds": [int(own_id)]}
    return {_BLOCKS[own_id]: True} if is_in(part, held) else {}


def is_in(part: str, held: Contact) -> bool:
    """Whether a contact can be mailed in a part: by SMS only where it has a number."""
    kind, _, own_id = part.partition("=")
    if kind == "list":
        return int(own_id) in held.lists
    return _BLOCKS[own_id] in held.unblocked


def still_in(held: Iterable[Contact], part: str) -> str:
    """Why a part is not as asked, "" where it is."""
    if not any(is_in(part, one) for one in held):
        return ""
    return "the contact is still on the list" if part.startswith("list=") else "the contact is not on the blocklist"
