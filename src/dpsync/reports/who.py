"""Whom a request is about, and what it changes: for a person who must decide, never for a report of a period."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dpsync.model import Request


@dataclass(frozen=True, slots=True)
class Who:
    """The subject as the main database named it, under the names of the request's body; nothing where it is not known.

    `changes`: what a rectification puts right, by field.
    """

    id: str | None = field(repr=False)
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    other_emails: tuple[str, ...] = field(repr=False)
    phone: str | None = field(repr=False)
    references: Mapping[str, tuple[str, ...]] = field(repr=False)
    changes: Mapping[str, str] = field(repr=False)


def who_of(request: Request) -> Who:
    """Who it is about, and what it changes."""
    subject, changes = request.subject, request.changes
    own = {} if changes is None else {"email": changes.email, "first_name": changes.first_name}
    own |= {} if changes is None else {"last_name": changes.last_name}
    return Who(
        id=subject.id,
        name=subject.name,
        email=subject.email,
        other_emails=subject.other_emails,
        phone=subject.phone,
        references=subject.references,
        changes={name: value for name, value in own.items() if value is not None}
        | ({name: _said(value) for name, value in changes.fields.items()} if changes else {}),
    )


def who_rows(who: Who) -> tuple[tuple[str, str], ...]:
    """The same as label and value, one line each; a value that is cleared says so."""
    return tuple(_rows(who))


def _rows(who: Who) -> Iterable[tuple[str, str]]:
    known = (("id", who.id), ("name", who.name), ("email", who.email))
    yield from ((label, value) for label, value in known if value)
    yield from (("other email", address) for address in who.other_emails)
    if who.phone:
        yield "phone", who.phone
    yield from _references(who.references)
    yield from ((f"changes {name}", value or "(cleared)") for name, value in who.changes.items())


def _references(references: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for name, ids in references.items():
        yield from ((f"reference {name}", one) for one in ids)


def _said(value: str | Mapping[str, str]) -> str:
    return value if isinstance(value, str) else ", ".join(f"{part}: {text}" for part, text in value.items())
