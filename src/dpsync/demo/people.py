"""Whom the imitated processors hold in the demo, and what the people do who get dpsync's letters and tasks."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from dpsync.demo.installation import INBOX_DESK, OPERATOR, Place
from dpsync.sandbox.recipient import Letter
from dpsync.sandbox.server import RunningSandbox

ADA, NEW, BEN = "ada@example.org", "ada.new@example.org", "ben@example.org"
CLEO, DORA, NEIGHBOUR = "cleo@example.org", "dora@example.org", "neighbour@example.org"
PEOPLE = (
    (ADA, "Ada", "Byron"),
    (BEN, "Ben", "Miller"),
    (CLEO, "Cleo", "Hart"),
    (DORA, "Dora", "Finch"),
    (NEIGHBOUR, "Nell", "Neighbour"),
)
OLD_TALK = "Olga Old"
MONTHS_AGO = timedelta(days=130)


def move_in(sandbox: RunningSandbox) -> None:
    """Everybody is held by every processor that has an interface."""
    for address, first, last in PEOPLE:
        for audience in sandbox.audiences():
            sandbox.add(address, merge_fields={"FNAME": first, "LNAME": last}, list_id=audience)
        sandbox.campaign_monitor.add(address, client="Example Gardens", title="Donors", name=f"{first} {last}")
        sandbox.eventbrite.add(address, first, last, event="Open day")


def talk(sandbox: RunningSandbox, place: Place) -> None:
    """Everybody has written to the organisation, and each conversation is resolved: that is what write-back tells.

    One of them began months ago and is still there, which the retention rule must notice.
    """
    inbox = sandbox.hootsuite
    inbox.hear(place.write_back_url, place.environ["DPSYNC_DEMO_WEBHOOK"])
    talks = [(address, f"{first} {last}", first, last, datetime.now(UTC)) for address, first, last in PEOPLE]
    talks.append(("olga@example.org", OLD_TALK, "Olga", "Old", datetime.now(UTC) - MONTHS_AGO))
    for number, (address, name, first, last, since) in enumerate(talks):
        attributes = {"email": address, "first_name": first, "last_name": last}
        handle, texts = f"+4477009001{number:02}", ["When do you open?"]
        contact = inbox.add(handle, name, medium="whatsapp", attributes=attributes, texts=texts, created=since)
        inbox.act(contact, "resolve")


def trouble(sandbox: RunningSandbox, *, broken: bool) -> None:
    """What goes wrong on the way; `broken`: Mailchimp says yes to an erasure and does nothing."""
    sandbox.fault("status", status=503, method="GET", template="/lists")
    sandbox.fault("status", status=429, retry_after="1", nth=3)
    sandbox.campaign_monitor.fault("reset_before", method="GET", template="/clients")
    sandbox.eventbrite.fault("status", status=429, retry_after="1", template="/users/me/organizations/")
    sandbox.hootsuite.fault("status", status=429, method="PUT")
    if broken:
        erase = "/lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent"
        sandbox.fault("says_yes_does_nothing", method="POST", template=erase, times=None)


class Staff:
    """Those who read letters and tasks: they do what is asked, then answer "done" by the link."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox
        self.hints: list[str] = []
        """The references that tasks named, of whose deletions they are the hint."""
        self.read: list[str] = []
        """The right of every letter and task that was read, by who read it."""

    def start_work(self) -> None:
        """From now on every mail is read. Whoever has no desk here answers and does nothing, as far as anybody sees."""
        self._sandbox.rule(None, "confirm_contact", "answer_by_link")
        self._sandbox.desk(self._sandbox.addresses.eventbrite_desk, self.at_eventbrite)
        self._sandbox.desk(OPERATOR, self.as_operator)
        self._sandbox.desk(INBOX_DESK, lambda letter: self._note("hootsuite", letter))

    def at_eventbrite(self, letter: Letter) -> None:
        """Eventbrite's privacy desk: its API lets nobody else change anything."""
        right, address = self._note("eventbrite", letter)
        changes = _part(letter.data, "changes")
        act = self._sandbox.eventbrite.vendor.act
        match right:
            case "erasure":
                act(address=address, act="anonymise")
            case "rectification":
                act(address=address, act="rectify", to=changes["email"], last_name=changes["last_name"])
            case "opt_out":
                act(address=address, act="unsubscribe")

    def as_operator(self, letter: Letter) -> None:
        """Our own operator, in the web apps: what an API could not do is asked for in words."""
        right, address = self._note("operator", letter)
        if "Campaign Monitor" in letter.words:
            self._in_campaign_monitor(right, address, letter)
        elif right == "erasure":
            self._in_hootsuite(letter)

    def _in_campaign_monitor(self, right: str, address: str, letter: Letter) -> None:
        act = self._sandbox.campaign_monitor.vendor.act
        if right == "erasure":
            act(address=address, act="erase")
        else:
            to = _part(letter.data, "changes")["email"]
            act(address=to, act="rename", name=_of_subject(letter, "name"))

    def _in_hootsuite(self, letter: Letter) -> None:
        hint, vendor = str(letter.data["reference"]), self._sandbox.hootsuite.vendor
        self.hints.append(hint)
        references = letter.data["references"]
        for contact in references if isinstance(references, list) else []:
            vendor.act(address=contact, act="delete", hint=hint)

    def _note(self, reader: str, letter: Letter) -> tuple[str, str]:
        right = str(letter.data["right"])
        self.read.append(f"{reader} {right}")
        return right, _of_subject(letter, "email")


def _of_subject(letter: Letter, kind: str) -> str:
    """The first identifier of a kind in the attached notice."""
    subject = letter.data["subject"]
    return next(one["value"] for one in subject if one["type"] == kind) if isinstance(subject, list) else ""


def _part(data: Mapping[str, object], name: str) -> Mapping[str, str]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}
