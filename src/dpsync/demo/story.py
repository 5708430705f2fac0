"""The whole story on loopback: a main database asks, five processors are told, and every figure is checked.

Nothing leaves this machine. The service runs as it would in earnest, in a process of its own; the sandbox counts what
really happened, and the story ends well only if dpsync's account and the sandbox's agree.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dpsync import durable
from dpsync.demo import way_back
from dpsync.demo.crm import Crm, Sent
from dpsync.demo.installation import TITLES, Place, fresh, installed, serving
from dpsync.demo.people import ADA, BEN, CLEO, DORA, NEW, Staff, move_in, talk, trouble
from dpsync.demo.reckoning import (
    RIGHTS,
    TROUBLED,
    Account,
    Key,
    disagreements,
    end_of,
    verified_apart,
)
from dpsync.errors import TooSlow
from dpsync.installation import Installation
from dpsync.reports.period import PeriodReport
from dpsync.sandbox.handle import Handle
from dpsync.sandbox.main_database import running_main_database
from dpsync.sandbox.server import RunningSandbox, running_sandbox
from dpsync.soundness import verify_ledger

PATIENCE = 240.0
"""Real seconds; it takes ten on an idle machine, and a minute on a busy one."""
Say = Callable[[str], None]


def run(folder: Path, *, broken: bool, say: Say) -> int:
    """Tell the story; `broken` makes a vendor say yes and do nothing. Returns the exit code.

    0 only if every figure shown was checked against the sandbox's own counters.
    """
    folder = fresh(folder.resolve())
    started = time.monotonic()
    say("REHEARSAL. Everything stays on this machine.")
    with running_sandbox() as sandbox, running_main_database() as crm:
        move_in(sandbox)
        staff = Staff(sandbox)
        staff.start_work()
        place = installed(folder, sandbox, crm)
        with serving(place), Installation(place.config, place.environ) as there:
            talk(sandbox, place)
            trouble(sandbox, broken=broken)
            asked = _ask(place, say)
            states = _follow(there, say)
            report = _report(there, folder, say)
            _sandbox_account(sandbox, staff, say)
            faults = [*_proof(there, asked["erasure"], folder, say)]
            faults += disagreements(sandbox, Account(states, report, staff))
            sandbox.clear_faults()
            way_back.move_in(sandbox, place)
            faults += way_back.unsubscribe(there, sandbox, crm, PATIENCE, say)
    wrong = _verdict(states, faults, say)
    say(f"{time.monotonic() - started:.0f} s. Look: {folder.name}/report.html   {folder.name}/receipt.json")
    return 1 if wrong or broken else 0


def _ask(place: Place, say: Say) -> dict[str, Sent]:
    crm = Crm(place.folder / "crm.db", place.url, place.environ["DPSYNC_DEMO_SECRET"])
    try:
        asked = {
            "rectification": crm.rectify("crm-4711", NEW, "Lovelace"),
            "erasure": crm.erase("crm-4712"),
            "restriction": crm.restrict("crm-4713"),
            "opt_out": crm.opt_out("crm-4714"),
        }
    finally:
        crm.close()
    for right, sent in asked.items():
        say(f"1/6 main database asks: {right:<14} {sent.status:<9} {sent.request_id[:8]}")
    return asked


def _follow(there: Installation, say: Say) -> dict[Key, str]:
    """Watch the states until nothing moves any more, and say each change."""
    from sqlalchemy import select

    from dpsync.store import tables as t

    p = t.propagation.c
    query = select(p.processor, p.right, p.state, p.attempts)
    seen: dict[Key, str] = {}
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for row in there.read(lambda connection: connection.execute(query).all()):
            key = (str(row.right), str(row.processor))
            if seen.get(key) != row.state:
                seen[key] = str(row.state)
                if row.state == "pending":
                    continue  # so is everything, at first
                tries = f", {row.attempts} attempts" if row.attempts > 1 else ""
                say(f"2/6 {key[0]:<14} {TITLES[key[1]]:<30} {seen[key].replace('_', ' ')}{tries}")
        rest = [key for key, state in seen.items() if state != end_of(key) and state not in TROUBLED]
        if len(seen) == len(RIGHTS) * len(TITLES) and not rest:
            return seen
        time.sleep(0.1)
    raise TooSlow(f"the story is not at its end within {PATIENCE:.0f} s: this machine is too busy for it just now")


def _report(there: Installation, folder: Path, say: Say) -> PeriodReport:
    from dpsync.reports import render
    from dpsync.reports.make import month_report

    report = month_report(there, datetime.now(UTC))
    durable.replace(folder / "report.html", render.html(report).encode())
    say("")
    say(render.text(report).partition(f"\nWhat {TITLES['newsletter']} can do")[0])
    return report


def _proof(there: Installation, erasure: Sent, folder: Path, say: Say) -> list[str]:
    """What is wrong with the receipt of the erasure, and with the ledger."""
    receipt = list(verified_apart(there, erasure.request_id, folder))
    say(f"4/6 receipt, checked by a program that is not dpsync: {'NOT VALID' if receipt else 'valid'}")
    ledger = verify_ledger(there, full=True)
    say(f"    ledger: {ledger.entries} entries, {'unaltered' if not ledger.problems else ledger.problems[0]}")
    return [*receipt, *ledger.problems]


def _verdict(states: Mapping[Key, str], faults: Sequence[str], say: Say) -> bool:
    """Say how it ended; whether anything is wrong."""
    for fault in faults:
        say(f"    NOT SO: {fault}")
    contradicted = [f"{right} at {TITLES[name]}" for (right, name), state in states.items() if state == "contradicted"]
    if contradicted:
        say(f"6/6 contradicted: {', '.join(contradicted)}. The vendor said yes; our own reading says otherwise.")
    elif not faults:
        say("6/6 every figure agrees with the sandbox's own counters")
    return bool(faults or contradicted)


def _sandbox_account(sandbox: RunningSandbox, staff: Staff, say: Say) -> None:
    """What the sandbox counted, whatever dpsync says."""
    vendors: dict[str, Handle[Any]] = {
        "Mailchimp": sandbox,
        "Campaign Monitor": sandbox.campaign_monitor,
        "Eventbrite": sandbox.eventbrite,
        "Hootsuite": sandbox.hootsuite,
    }
    say("3/6 the sandbox's own counters")
    for title, vendor in vendors.items():
        say(f"    {title}: {vendor.calls()} calls, faults played: {vendor.counters()['faults'] or 'none'}")
        for address in (ADA, NEW, BEN, CLEO, DORA):
            there = [state for _, state in vendor.holds(address)]
            say(f"        {address:<22} {', '.join(there) or 'gone'}")
    for one in sandbox.hootsuite.deleted():
        say(f"    Hootsuite's log of deleted contacts: hint {one.hint}, {one.platform}, by {one.admin}")
    say(f"    {len(sandbox.messages(settled=True))} mails taken by the mailbox, {len(staff.read)} acted upon by hand")
