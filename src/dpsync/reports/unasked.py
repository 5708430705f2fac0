"""Whom our own mail host does not let us ask: what waits for their answer waits for us, and not for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from dpsync.installation import Installation
from dpsync.model import Cause, Role, State
from dpsync.propagation.contacts import NamedState, named_for
from dpsync.propagation.decisions import ROLES
from dpsync.propagation.mail_host_texts import ABOUT_US
from dpsync.reports.status import StatusRow
from dpsync.reports.words import together
from dpsync.settings import ProcessorSection
from dpsync.store import tables as t
from dpsync.store.question_tables import question

_TOLD_AGAIN = timedelta(days=2)
"""The alert comes each day for as long as the mail host refuses: an older one is about what is over."""


@dataclass(frozen=True, slots=True)
class Unasked:
    """Titles of the processors whose contact has not got our question, by name; since when and why, as our own mail
    host last said. `requests`: which request waits for which of them. `roles`: our own people who have not got the
    question that they should decide.
    """

    titles: dict[str, str]
    since: datetime
    why: str
    requests: frozenset[tuple[str, str]]
    roles: tuple[str, ...] = ()

    @property
    def whom(self) -> str:
        """Who has not got a question, in words."""
        contacts = [f"the contact of {together(self.titles.values())}"] if self.titles else []
        return together([*contacts, *(f"the {role}" for role in self.roles)])

    @property
    def sentence(self) -> str:
        """What `status` says of them."""
        contacts = "what goes to a contact only once it has confirmed its address" if self.titles else ""
        decisions = f"what the {' and the '.join(self.roles)} should decide" if self.roles else ""
        waits = together(filter(None, [contacts, decisions]))
        return (
            f"Our own mail host has not taken our question to {self.whom}: {waits} waits for our operator "
            "(DP-303: dpsync check --send-test)."
        )


def unasked(there: Installation) -> Unasked | None:
    """Who has not been asked because our own mail host did not take the question; None where it has refused nothing.

    A question that nobody has tried to mail yet is none of these.
    """
    sections = there.settings.processors
    if there.settings.mail is None or not there.settings.intake.public_url:
        return None  # nobody is asked then, and `check` says so
    waiting, questions = there.read(_waiting), there.read(_questions)
    refused = there.read(_refused) if waiting or questions else None
    if refused is None or refused[0] < there.clock.now() - _TOLD_AGAIN:
        return None
    desks = there.read(lambda connection: _desks(connection, there))
    at, why = refused
    begun = {one: since for one, since in waiting.items() if one in desks and since <= at}
    asked = {role: since for role, since in questions.items() if since <= at}
    if not begun and not asked:
        return None
    titles = {name: sections[name].title or name for name in sorted({name for name, _ in begun})}
    held = there.read(lambda connection: _held(connection, sorted({one[0] for one in begun if desks[one]})))
    return Unasked(titles, min([*begun.values(), *asked.values()]), why, held, tuple(ROLES[role] for role in asked))


def waiting_for_us(there: Installation) -> frozenset[tuple[str, str]]:
    """Which request waits for which processor because our own mail host did not take the question to its contact."""
    found = unasked(there)
    return found.requests if found else frozenset()


def _desks(connection: Connection, there: Installation) -> dict[tuple[str, str], bool]:
    """Processor and pseudonym of every address that is asked to confirm itself; whether letters about people wait for
    it. What somebody named counts beside what the settings name, until one of them has confirmed itself.
    """
    found: dict[tuple[str, str], bool] = {}
    for name, section in there.settings.processors.items():
        one = named_for(connection, there.keys, name, section.contact)
        instead = one.address if one and one.state is not NamedState.OVERRULED else None
        for address in (*_of_lists(section), section.backup_contact, section.contact, instead):
            if address:
                letters = address in {section.contact, section.backup_contact, instead}
                found[name, there.keys.pseudonym("address", address)] = letters
    return found


def _of_lists(section: ProcessorSection) -> tuple[str | None, ...]:
    """Who gets the work lists of conversations."""
    return (section.retention.admin, section.retention.deputy) if section.retention else ()


def for_our_operator(rows: Sequence[StatusRow], found: Unasked | None) -> list[StatusRow]:
    """The same rows; what waits for a contact that we could not ask waits for our operator."""
    if found is None:
        return list(rows)
    told: list[StatusRow] = []
    for row in rows:
        ours = {title for name, title in found.titles.items() if (row.request_id, name) in found.requests}
        waits = ("the operator" if one in ours else one for one in row.waits_for)
        told.append(replace(row, waits_for=tuple(dict.fromkeys(waits))))
    return told


def _waiting(connection: Connection) -> dict[tuple[str, str], datetime]:
    c = t.contact.c
    rows = connection.execute(
        select(c.processor, c.pseudonym, c.created_at).where(c.asked_at.is_(None), c.confirmed_at.is_(None))
    )
    return {(row.processor, row.pseudonym): row.created_at for row in rows}


def _questions(connection: Connection) -> dict[Role, datetime]:
    """Since when each role has not got a question that is open."""
    c = question.c
    open_ = c.mailed_at.is_(None) & c.closed_at.is_(None)
    rows = connection.execute(select(c.role, func.min(c.created_at)).where(open_).group_by(c.role).order_by(c.role))
    return {Role(role): since for role, since in rows}


def _refused(connection: Connection) -> tuple[datetime, str] | None:
    """When our own mail host last was told of, and what it said."""
    a, c = t.alert.c, t.alert_concern.c
    last = select(func.max(a.id)).where(a.cause.in_(sorted(ABOUT_US))).scalar_subquery()
    of_it = (
        select(a.created_at, c.about).join(t.alert_concern, c.alert_id == a.id).where(a.id == last).order_by(c.about)
    )
    row = connection.execute(of_it).first()
    return (row.created_at, row.about) if row else None


def _held(connection: Connection, names: Sequence[str]) -> frozenset[tuple[str, str]]:
    p = t.propagation.c
    unverified = p.causes.contains(Cause.CONTACT_UNVERIFIED.value)
    rows = connection.execute(
        select(p.request_id, p.processor).where(p.state == State.HELD, unverified, p.processor.in_(names))
    )
    return frozenset((row.request_id, row.processor) for row in rows)
