"""What is mailed to contacts by the clock, and what came back by mail, each in a transaction of its own."""

from datetime import datetime
from functools import partial

from dpsync.connector_services import Mail, MailRefused
from dpsync.errors import CredentialsRejected
from dpsync.installation import Installation
from dpsync.intake import mail_directory
from dpsync.propagation import contacts
from dpsync.propagation.correspondence import acknowledgement, answer_receipts, incoming, undelivered
from dpsync.store.writer import Unit


def read_incoming(there: Installation, now: datetime) -> None:
    """Read what came in by mail, where the settings name its folder."""
    folder = there.settings.mail.incoming if there.settings.mail else None
    if folder is None:
        return

    def take(one: incoming.Incoming) -> bool:
        return there.write(lambda unit: incoming.take(unit, there.controller, one, now))

    mail_directory.take_in(folder, take)
    read = mail_directory.put_right(folder, there.read(incoming.unread))
    if read:
        there.write(lambda unit: incoming.mark_read(unit, read, now))


def send_answer_receipts(there: Installation, now: datetime) -> None:
    """Mail the contacts what was answered in their name."""
    if there.mail is None:
        return
    for one in there.read(lambda connection: answer_receipts.owed(connection, now)):
        try:
            to = there.read(partial(answer_receipts.address_of, controller=there.controller, one=one))
            if not answer_receipts.send(there.controller, there.mail, there.log.signer, one, to, now):
                return  # the mail host takes nothing just now
        except CredentialsRejected as refused:
            _tell_of_mail_host(there, refused, now)
            return
        there.write(lambda unit, one=one: answer_receipts.mark_sent(unit, one, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default


def ask_contacts(there: Installation, now: datetime) -> None:
    """Ask the contacts that letters wait for whether they are the right ones."""
    if there.mail is None or not there.controller.public_url:
        return
    for name, address in there.read(lambda c: acknowledgement.contacts_to_ask(c, there.controller)):
        _ask_contact(there, there.mail, name, address, now)


def _ask_contact(there: Installation, mail: Mail, name: str, address: str, now: datetime) -> None:
    refused = False
    try:
        number = 1 + there.read(lambda connection: contacts.times_asked_anew(connection, name))
        if not acknowledgement.ask_contact(there.controller, mail, name, address, now, number):
            return
    except CredentialsRejected as error:
        _tell_of_mail_host(there, error, now)
        return  # it is asked again: nobody there has said no
    except MailRefused:
        refused = True  # asked once a minute for ever, it would be refused as often: a person must hear of it

    def work(unit: Unit) -> None:
        contacts.mark_asked(unit.connection, there.controller, name, address, now)
        if refused:
            undelivered.tell_of_contact(unit, there.controller, name, now)

    there.write(work)


def _tell_of_mail_host(there: Installation, refused: CredentialsRejected, now: datetime) -> None:
    there.write(lambda unit: undelivered.tell_of_mail_host(unit, there.controller, refused, now))
