"""Custom fields of a list: their tags, what each takes, and how an update changes them.

Source: the reference of API v3.3 and its official clients, as read in August 2026. What becomes of a value that is none
of the field's type is documented nowhere: here it is passed over without a word, so that a caller who believes a yes is
found out.
"""

import re
from collections.abc import Mapping, Sequence

LONGEST_VALUE = 250
Values = list[tuple[str, str]]


def tag_of(name: str) -> str:
    """The personalisation tag of a field, by which an update knows it, without its brackets."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def kept(kind: str, options: Sequence[str], value: str) -> str:
    """What is kept of a value, "" where it is passed over."""
    match kind:
        case "Date":
            return value.replace("/", "-") if re.fullmatch(r"\d{4}([/-])\d{2}\1\d{2}", value) else ""
        case "Number":
            return value.strip() if re.fullmatch(r"[+-]?\d+(\.\d+)?", value.strip()) else ""
        case "MultiSelectOne" | "MultiSelectMany" if options:
            return value if value in options else ""
        case _:
            return value[:LONGEST_VALUE]


def changed(
    values: Values, body: Mapping[str, object], types: Mapping[str, str], options: Mapping[str, Sequence[str]]
) -> Values:
    """The fields after an update. One that is named is replaced as a whole; unknown names are passed over."""
    entries = body.get("CustomFields")
    names = {tag_of(name): name for name in types}
    named: dict[str, list[Mapping[str, object]]] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and (name := names.get(str(entry.get("Key", "")).strip("[]").lower())):
            named.setdefault(name, []).append(entry)
    for name, given in named.items():
        cleared = [entry for entry in given if entry.get("Clear") is True]
        taken_out = {str(entry["Value"]) for entry in cleared if entry.get("Value")}
        if taken_out:
            values = [(key, value) for key, value in values if key != name or value not in taken_out]
            continue
        said = [kept(types[name], options.get(name, ()), str(entry.get("Value") or "")) for entry in given]
        if cleared or any(said):
            values = [(key, value) for key, value in values if key != name] + [(name, one) for one in said if one]
    return values
