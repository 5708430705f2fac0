"""A named person says which address is a processor's contact, where the settings name another one.

Letters about persons would go to whoever has that address. So it counts only once it has confirmed itself, both the
operator and the data protection officer hear of it before that, and a link is trusted less than a shell: by link only
an address at a domain is taken at which the processor is reached already. Whoever reads somebody's mailbox, and so
gets the code, can then still not lead letters to a mailbox of their own.
"""

import json
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, insert

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.connector import Processor
from dpsync.errors import DecisionRefused, NotFound
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.mail import domain_of, is_mailable
from dpsync.propagation import contacts
from dpsync.propagation.contacts import NAMED, NamedState
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.store.contact_tables import contact_named
from dpsync.store.writer import Unit

FOR_EVERYBODY: Final = frozenset(
    {
        *("aol.com", "btinternet.com", "gmail.com", "googlemail.com", "gmx.com", "gmx.de", "gmx.net", "hotmail.co.uk"),
        *("hotmail.com", "icloud.com", "live.co.uk", "live.com", "mac.com", "mail.com", "me.com", "msn.com", "sky.com"),
        *("outlook.com", "proton.me", "protonmail.com", "talktalk.net", "virginmedia.com", "web.de", "yahoo.co.uk"),
        *("yahoo.com", "ymail.com", "zoho.com"),
    }
)
"""Where anybody has a mailbox within a minute: such a domain says nothing of who is behind the address."""

SETTINGS: Final = "dpsync contact PROCESSOR ADDRESS --by NAME --reason WHY"


def name_contact(
    unit: Unit, controller: Controller, name: str, address: str, person: Person, now: datetime, *, link: bool = False
) -> None:
    """Record which address is the contact, and have it asked to confirm itself; the settings' own takes it back.

    `link`: it was typed on a page. Raises `NotFound`, `UsageError` without a name or a reason, `DecisionRefused`.
    """
    person.demand(reason=True)
    processor = controller.processors.get(name)
    if processor is None:
        raise NotFound(f"there is no processor {name}")
    address = address.strip()
    _demand(unit.connection, controller, processor, address, link=link)
    said = {"by": person.by.strip(), "reason": person.reason.strip(), "contact": address}
    row = {
        "processor": name,
        "instead_of": controller.keys.pseudonym("address", processor.contact),
        "pseudonym": controller.keys.pseudonym("address", address),
        "sealed": controller.keys.seal(NAMED, json.dumps(said).encode(), name.encode()),
        "os_user": person.os_user,
        "at": now,
    }
    unit.connection.execute(insert(contact_named).values(row))
    key = rows.own_key(controller.keys)
    kept = {**person.author.said(key), "rows": rows.item(key, "contact_named", row)}
    unit.append(None, entry.encode(EntryKind.DECIDED, now, kind=NAMED, dest=name, **kept))
    contacts.register(unit.connection, controller, processor, now)
    _tell(unit.connection, controller, processor, now)


def _demand(connection: Connection, controller: Controller, processor: Processor, address: str, *, link: bool) -> None:
    """Refuse what is no address, what is so already, and by link whatever is not at the processor's own domain."""
    if not is_mailable(address):
        raise DecisionRefused("this is no address that an email can go to")
    one = contacts.named(connection, controller, processor)
    stands = one.address if one and one.state is not NamedState.OVERRULED else processor.contact
    if controller.keys.pseudonym("address", stands) == controller.keys.pseudonym("address", address):
        raise DecisionRefused("this address is the contact already, or waits to confirm itself")
    known = {domain_of(one).lower() for one in (processor.contact, processor.backup_contact) if one} - FOR_EVERYBODY
    if link and domain_of(address).lower() not in known:
        raise DecisionRefused(
            "by link, only an address at the domain of the present contact is taken. For another one, ask whoever runs "
            f"dpsync: `{SETTINGS}`"
        )


def _tell(connection: Connection, controller: Controller, processor: Processor, now: datetime) -> None:
    for role in ("operator", "dpo"):
        raise_alert(
            connection,
            cause=AlertCause.CONTACT_NAMED,
            also=role != "operator",
            role=role,
            subject="Somebody named another contact of a processor",
            body="The address counts once somebody there has confirmed it. Until then the one in the settings counts. "
            "`dpsync contact PROCESSOR` shows both. If nobody of you did this: name the address of the settings again, "
            f"`{SETTINGS}`, and find out who reads your mail.",
            now=now,
            zone=controller.zone,
            concerns=[Concern(processor.name, processor.title, processor.title)],
            at_once=True,
        )


def tell_if_it_counts(unit: Unit, controller: Controller, name: str, pseudonym: str, now: datetime) -> None:
    """After an address has confirmed itself: tell the operator, if it is one that stands in place of the settings'."""
    processor = controller.processors.get(name)
    one = contacts.named(unit.connection, controller, processor) if processor else None
    if processor is None or one is None or one.state is not NamedState.COUNTS:
        return
    if controller.keys.pseudonym("address", one.address) != pseudonym:
        return
    raise_alert(
        unit.connection,
        cause=AlertCause.CONTACT_COUNTS,
        role="operator",
        subject="Another contact counts than the one in the settings",
        body="It was named, and has confirmed itself. Write it into the settings as `contact`, and restart: `dpsync "
        "contact PROCESSOR` shows the line.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(f"{name}/{pseudonym[:16]}", processor.title, processor.title)],
    )
