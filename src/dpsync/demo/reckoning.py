"""What the sandbox's own account bears out of dpsync's: each state, each figure, each receipt."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dpsync.demo.installation import FORMS_DESK, INBOX_DESK, TITLES
from dpsync.demo.people import ADA, BEN, CLEO, DORA, NEIGHBOUR, NEW, Staff
from dpsync.errors import DpsyncError
from dpsync.installation import Installation
from dpsync.ledger.receipt_folder import VERIFIER
from dpsync.reports.period import PeriodReport
from dpsync.sandbox.server import RunningSandbox

RIGHTS = ("rectification", "erasure", "restriction", "opt_out")
Key = tuple[str, str]
"""(right, processor)."""
WORD_ONLY: frozenset[Key] = frozenset(
    {
        *((right, "forms") for right in RIGHTS),  # nobody can look there
        ("restriction", "events"),  # no flag on any record
        ("erasure", "inbox"),  # no call lists or reads a contact
        ("restriction", "inbox"),
        ("opt_out", "inbox"),
    }
)
UNSEEN_YET: frozenset[Key] = frozenset({("rectification", "inbox")})
"""Accepted by an API whose yes may turn into an error minutes later; seen when the person writes again."""
TROUBLED = frozenset({"contradicted", "nothing_held", "refused", "escalated", "not_identifiable"})


class Disagreement(DpsyncError):
    """Read by whoever runs the demo: dpsync's account and the sandbox's own counters differ."""

    code = "DP-700"


def end_of(key: Key) -> str:
    """The state in which a propagation of the demo ends if everybody does what they say."""
    if key in UNSEEN_YET:
        return "accepted"
    return "declared_done" if key in WORD_ONLY else "verified"


@dataclass(frozen=True, slots=True)
class Account:
    """What dpsync says: the state of each propagation, and its report. `staff`: who did what by hand."""

    states: Mapping[Key, str]
    report: PeriodReport
    staff: Staff


def done_there(sandbox: RunningSandbox) -> dict[Key, bool]:
    """For each right, whether the vendor's own store shows it as carried out; nothing where there is no store."""
    return _at_mailchimp(sandbox) | _at_campaign_monitor(sandbox) | _at_eventbrite(sandbox) | _at_hootsuite(sandbox)


def _at_mailchimp(sandbox: RunningSandbox) -> dict[Key, bool]:
    named = [dict(one.merge_fields).get("LNAME") for one in sandbox.holdings(NEW)]

    def all_are(address: str, status: str) -> bool:
        return [state for _, state in sandbox.holds(address)] == [status] * 2

    return {
        ("rectification", "newsletter"): not sandbox.holds(ADA) and named == ["Lovelace", "Lovelace"],
        ("erasure", "newsletter"): not sandbox.holds(BEN) and sandbox.effects("deleted") == 2,
        ("restriction", "newsletter"): all_are(CLEO, "archived"),
        ("opt_out", "newsletter"): all_are(DORA, "unsubscribed"),
    }


def _at_campaign_monitor(sandbox: RunningSandbox) -> dict[Key, bool]:
    vendor = sandbox.campaign_monitor
    silent = {address: [state for _, state in vendor.holds(address)] for address in (CLEO, DORA)}
    return {
        ("rectification", "campaigns"): not vendor.holds(ADA) and vendor.names(NEW) == ["Ada Lovelace"],
        ("erasure", "campaigns"): not vendor.holds(BEN) and vendor.effects("erased") == 1,
        ("restriction", "campaigns"): "Suppressed" in silent[CLEO],
        ("opt_out", "campaigns"): silent[DORA] == ["Unsubscribed", "Suppressed"],
    }


def _at_eventbrite(sandbox: RunningSandbox) -> dict[Key, bool]:
    vendor = sandbox.eventbrite
    return {
        ("rectification", "events"): not vendor.holds(ADA) and vendor.names(NEW) == ["Ada Lovelace"] * 2,
        ("erasure", "events"): not vendor.holds(BEN) and vendor.effects("anonymised") == 2,
        ("opt_out", "events"): vendor.opted_in(DORA) == [False, False],
    }


def _at_hootsuite(sandbox: RunningSandbox) -> dict[Key, bool]:
    vendor = sandbox.hootsuite
    managed = {name: value for name, (value, source) in vendor.attributes(NEW).items() if source == "CRM_CONFIRMED"}
    return {
        ("rectification", "inbox"): managed == {"email": NEW, "first_name": "Ada", "last_name": "Lovelace"},
        ("erasure", "inbox"): not vendor.holds(BEN) and vendor.effects("contact_deleted") == 1,
    }


def disagreements(sandbox: RunningSandbox, account: Account) -> Iterator[str]:
    """Every claim and figure of dpsync that the sandbox's own account does not bear out."""
    there = done_there(sandbox)
    for (right, processor), state in account.states.items():
        done = there.get((right, processor), True)
        if (state == end_of((right, processor))) is not done:
            yield f"the {right} at {processor} is {state}, and the vendor shows it {'done' if done else 'not done'}"
    yield from _untouched(sandbox)
    yield from _figures(sandbox, account, there)
    yield from _by_hand(sandbox, account.staff)


def _untouched(sandbox: RunningSandbox) -> Iterator[str]:
    for vendor, states in (
        (sandbox, ["subscribed"] * 2),
        (sandbox.campaign_monitor, ["Active"]),
        (sandbox.eventbrite, ["placed", "Attending"]),
        (sandbox.hootsuite, ["whatsapp"]),
    ):
        if [state for _, state in vendor.holds(NEIGHBOUR)] != states:
            yield f"a neighbour was touched at {type(vendor).__name__}"


def _figures(sandbox: RunningSandbox, account: Account, there: Mapping[Key, bool]) -> Iterator[str]:
    """The report's figures, against what was counted at the vendors and in the mailbox."""
    report = account.report
    said = dict.fromkeys(TITLES, 0) | {name: sum(one == name for _, one in WORD_ONLY) for name in TITLES}
    for line in report.by_processor:
        seen = [done for key, done in there.items() if key[1] == line.processor and end_of(key) == "verified"]
        for told, counted, what in (
            (line.asked, len(RIGHTS), "asked"),
            (line.told, len(RIGHTS), "told"),
            (line.seen, sum(seen), "seen as done"),
            (line.said, said[line.processor], "done on their word"),
        ):
            if told != counted:
                yield f"the report says {told} {what} at {line.processor}, the sandbox counted {counted}"
    letters = [one for one in sandbox.messages(settled=True) if b"notice.json" in one.raw]
    answered = [one for one in letters if any(deed.method == "POST" and deed.status == 200 for deed in one.deeds)]
    conversations = sum(one["status"] == 200 for one in sandbox.hootsuite.there(lambda vendor: vendor.deliveries()))
    broken = 0 if there["erasure", "newsletter"] else 1
    (talks,) = report.conversations
    for told, counted, what in (
        (report.total.received, len(RIGHTS), "requests received"),
        # the rectification is not done everywhere: the Inbox has yet to show it
        (report.total.seen + report.total.said, len(RIGHTS) - 1 - broken, "done everywhere"),
        (sum(FORMS_DESK in one.recipients for one in letters), len(RIGHTS), "letters to the agency"),
        (len(answered), len(letters), "answered letters"),
        (talks.known, conversations, "conversations"),
        (talks.due, 1, "conversations past their three months"),
    ):
        if told != counted:
            yield f"dpsync says {told} {what}, the sandbox counted {counted}"


def _by_hand(sandbox: RunningSandbox, staff: Staff) -> Iterator[str]:
    """That people were asked what no API does, once each, and that the log of deletions names no person."""
    asked = sorted(staff.read)
    expected = [f"eventbrite {right}" for right in RIGHTS]
    expected += ["hootsuite restriction", "operator erasure", "operator erasure"]
    expected += ["operator opt_out", "operator rectification"]
    if asked != sorted(expected):
        yield f"people were asked for {asked}"
    if [one.hint for one in sandbox.hootsuite.deleted()] != staff.hints or not staff.hints:
        yield "the log of deleted contacts has other hints than the tasks named"
    if not any(INBOX_DESK in one.recipients for one in sandbox.messages()):
        yield "Hootsuite's desk got no letter"


def verified_apart(there: Installation, request_id: str, folder: Path) -> Iterator[str]:
    """The receipt of the erasure, checked by a program that is not dpsync. What it finds wrong."""
    receipt = there.receipt(request_id, there.clock.now())
    shutil.copy(there.custody.receipts.write(receipt), folder / "receipt.json")
    shutil.copy(VERIFIER, folder / VERIFIER.name)
    line = there.log.signer.verifier.line
    command = [sys.executable, str(folder / VERIFIER.name), str(folder / "receipt.json")]
    command += ["--key", line, "--email", BEN]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - because it is our own verifier
    if checked.returncode:
        yield f"the receipt: {(checked.stdout + checked.stderr).strip()[-300:]}"
