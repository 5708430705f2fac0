"""Merge fields of an audience: their types, what each takes, in which form it is kept, and in what words it is refused.

Source: the vendor's page "Merge Fields", specification 3.0.55, and refusals that the Grouparoo project and public
issues recorded (mc-magento2 987 and 2135, mailchimp-for-wordpress 662, craft-freeform 2615), as read in November 2026.
Where they leave open what is taken, it is decided against the caller.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

from dpsync.sandbox.asked import Json

LONGEST_TEXT = 255
MergeFieldType = Literal[
    "text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip"
]
TYPES = get_args(MergeFieldType)


class Rejected(Exception):
    """A value that a field does not take; the text is the vendor's."""


@dataclass(slots=True)
class MergeField:
    """One field. `options`: as the API shows them, such as `date_format`, `phone_format` and `choices`."""

    merge_id: int
    tag: str
    type: str = "text"
    name: str = ""
    required: bool = False
    options: Json = field(default_factory=dict)

    def body(self, list_id: str) -> Json:
        """In the vendor's shape."""
        return {
            "merge_id": self.merge_id,
            "tag": self.tag,
            "name": self.name or self.tag,
            "type": self.type,
            "required": self.required,
            "default_value": "",
            "public": True,
            "display_order": self.merge_id + 1,
            "options": {**_USUAL.get(self.type, {}), **self.options},
            "help_text": "",
            "list_id": list_id,
            "_links": [],
        }

    def kept(self, value: object) -> object:
        """What the vendor keeps of a value. Raises `Rejected`; "" empties a field of any type."""
        if isinstance(value, bool) or not isinstance(value, str | int | float | dict):
            raise Rejected("Schema describes string, boolean found instead")
        if value == "":
            return ""
        return _KEEPS[self.type](self, value)


_USUAL: Mapping[str, Json] = {
    "text": {"size": 25},
    "date": {"date_format": "MM/DD/YYYY"},
    "birthday": {"date_format": "MM/DD"},
    "phone": {"phone_format": "none"},
    "address": {"default_country": 164},
    "radio": {"choices": []},
    "dropdown": {"choices": []},
}


def _text(_: MergeField, value: object) -> object:
    if isinstance(value, dict):
        raise Rejected("Schema describes string, object found instead")
    # cut in the middle of a character, the rest of it is lost
    return str(value).encode()[:LONGEST_TEXT].decode(errors="ignore")


def _number(_: MergeField, value: object) -> object:
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", str(value).strip()):
        raise Rejected("Please enter a number")
    number = float(str(value))
    return int(number) if number.is_integer() else number


_DATES = (
    (re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"), (1, 2, 3)),
    (re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})"), (1, 2, 3)),
    (re.compile(r"([0-9]{1,2})-([0-9]{1,2})-([0-9]{4})"), (3, 2, 1)),
    (re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})"), (3, 1, 2)),
)


def _date(_: MergeField, value: object) -> object:
    """Four forms are taken, whatever the field's own setting; one is kept."""
    for form, places in _DATES:
        if found := form.fullmatch(str(value).strip()):
            try:
                return date(*(int(found[place]) for place in places)).isoformat()
            except ValueError:
                break
    raise Rejected("Please enter the date")


def _birthday(one: MergeField, value: object) -> object:
    """Two digits each; which of them comes first is the field's own setting."""
    found = re.fullmatch(r"([0-9]{2})/([0-9]{2})", str(value))
    month, day = (int(found[1]), int(found[2])) if found else (0, 0)
    if str(one.options.get("date_format", "")).startswith("DD"):
        month, day = day, month
    try:
        date(2000, month, day)
    except ValueError:
        raise Rejected("Please enter a month (01-12) and a day (01-31)") from None
    return value


def _address(_: MergeField, value: object) -> object:
    whole = value if isinstance(value, dict) else {}
    named = all(isinstance(whole.get(part), str) for part in ("addr1", "city", "state", "zip"))
    filled = all(whole.get(part) for part in ("addr1", "city", "zip"))
    if not named or not filled or not all(isinstance(text, str) for text in whole.values()):
        raise Rejected("Please enter a complete address")
    return {"addr2": "", "country": "US", **whole}


def _phone(one: MergeField, value: object) -> object:
    if one.options.get("phone_format") != "US":
        return _text(one, value)
    digits = re.sub("[^0-9]", "", str(value))[-10:]
    if len(digits) != 10:
        raise Rejected("Please enter a phone number (ex 555-555-5555)")
    return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"


def _zip(_: MergeField, value: object) -> object:
    if not re.fullmatch("[0-9]{5}", str(value)):
        raise Rejected("Please enter a zip code (5 digits)")
    return str(value)


def _url(one: MergeField, value: object) -> object:
    if not re.fullmatch(r"https?://[^\s/]+\.[^\s]+", str(value)):
        raise Rejected("Please enter a valid URL")
    return _text(one, value)


def _choice(one: MergeField, value: object) -> object:
    choices = one.options.get("choices")
    if not isinstance(choices, list) or value not in choices:
        raise Rejected("Please select one of the choices")
    return value


_KEEPS: Mapping[str, Callable[[MergeField, object], object]] = {
    "text": _text,
    "number": _number,
    "address": _address,
    "phone": _phone,
    "date": _date,
    "url": _url,
    "imageurl": _url,
    "radio": _choice,
    "dropdown": _choice,
    "birthday": _birthday,
    "zip": _zip,
}
