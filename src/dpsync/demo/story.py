"""The whole story on loopback: a main database asks, processors are told, proof is kept, and every figure is checked.

Nothing leaves this machine. The service runs as it would in earnest, in a process of its own; the sandbox counts what
really happened, and the story ends well only if dpsync's account and the sandbox's agree.
"""

import base64
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dpsync.demo.crm import Crm, Sent
from dpsync.errors import DpsyncError, UsageError
from dpsync.propagation import receipts
from dpsync.reports.period import PeriodReport
from dpsync.sandbox.server import RunningSandbox, running_sandbox
from dpsync.service import Service

MARK = ".dpsync-demo"
KEY = "sandbox-key-us1"
PATIENCE = 50.0
Say = Callable[[str], None]

CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
rehearsal = true

[ledger]
origin = "example.org/demo"

[intake]
secrets = [{{ env = "DPSYNC_DEMO_SECRET" }}]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"

[mail]
host = "{smtp_host}"
port = {smtp_port}
tls = "none"
from = "privacy@example.org"

[processors.newsletter]
title = "Mailchimp, newsletter"
connector = "mailchimp"
contact = "privacy@mailchimp.example"
base_url = "{mailchimp_url}"
api_key = {{ env = "DPSYNC_DEMO_KEY" }}

[processors.forms]
title = "Stratosoft, sign-up forms"
connector = "notice"
contact = "privacy@stratosoft.example"
"""


class Disagreement(DpsyncError):
    """Read by whoever runs the demo: dpsync's account and the sandbox's own counters differ."""

    code = "DP-700"


def run(folder: Path, *, broken: bool, say: Say) -> int:
    """Tell the story; `broken` makes the vendor say yes and do nothing. Returns the exit code.

    0 only if every figure shown was checked against the sandbox's own counters.
    """
    folder = _fresh(folder.resolve())
    started = time.monotonic()
    say("REHEARSAL. Everything stays on this machine.")
    with running_sandbox((KEY,)) as sandbox:
        _people(sandbox)
        _trouble(sandbox, broken=broken)
        port, environ = _free_port(), _environment()
        config = folder / "dpsync.toml"
        config.write_text(
            CONFIG.format(
                port=port,
                smtp_host=sandbox.smtp_host,
                smtp_port=sandbox.smtp_port,
                mailchimp_url=sandbox.mailchimp_url,
            ),
            encoding="utf-8",
        )
        _init(config, environ)
        with _serving(config, environ, folder / "serve.log"), Service(config, environ) as service:
            crm = Crm(folder / "crm.db", f"http://127.0.0.1:{port}", environ["DPSYNC_DEMO_SECRET"])
            asked = _ask(crm, say)
            crm.close()
            states = _follow(service, asked, say)
            verdict = _account(service, sandbox, asked, states, folder, say, broken=broken)
    say(f"{time.monotonic() - started:.0f} s. Look: {folder.name}/report.html   {folder.name}/receipt.json")
    return verdict


def _fresh(folder: Path) -> Path:
    """Empty the folder of an earlier demo. Raises `UsageError` for a folder that holds anything else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise UsageError("that folder holds something that is not an earlier demo; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    return folder


def _people(sandbox: RunningSandbox) -> None:
    first, second = sandbox.audiences()
    for address, first_name, last_name in (
        ("ada@example.org", "Ada", "Byron"),
        ("ben@example.org", "Ben", "Miller"),
        ("cleo@example.org", "Cleo", "Hart"),
        ("dora@example.org", "Dora", "Finch"),
        ("neighbour@example.org", "Nell", "Neighbour"),
    ):
        for audience in (first, second):
            sandbox.add(address, merge_fields={"FNAME": first_name, "LNAME": last_name}, list_id=audience)
    sandbox.rule(None, "confirm_contact", "answer_by_link")


def _trouble(sandbox: RunningSandbox, *, broken: bool) -> None:
    sandbox.fault("status", status=503, method="GET", template="/lists")
    sandbox.fault("status", status=429, retry_after="1", nth=3)
    if broken:
        erase = "/lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent"
        sandbox.fault("says_yes_does_nothing", method="POST", template=erase, times=None)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return {**os.environ, "DPSYNC_DEMO_SECRET": secret, "DPSYNC_DEMO_KEY": KEY}


def _init(config: Path, environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "dpsync", "--config", str(config), "init", str(config.parent)]
    made = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 - because it is this program
    if made.returncode:
        raise DpsyncError(f"`dpsync init` ended with {made.returncode}: {made.stderr.strip()[-300:]}")


@contextmanager
def _serving(config: Path, environ: dict[str, str], log: Path) -> Iterator[None]:
    """`dpsync serve` in a process of its own, ready; stopped at the end as an administrator would stop it."""
    command = [sys.executable, "-m", "dpsync", "--config", str(config), "serve"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=out)  # noqa: S603 - because it is this program
    try:
        _wait_until_ready(config, process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_ready(config: Path, process: "subprocess.Popen[bytes]") -> None:
    import re

    import requests

    listen = re.search(r'listen = "([^"]+)"', config.read_text(encoding="utf-8"))
    until = time.monotonic() + 20
    while listen and time.monotonic() < until:
        if process.poll() is not None:
            raise DpsyncError("`dpsync serve` stopped at once; its words are in serve.log")
        try:
            if requests.get(f"http://{listen.group(1)}/readyz", timeout=2).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise DpsyncError("`dpsync serve` was not ready within 20 s; its words are in serve.log")


def _ask(crm: Crm, say: Say) -> dict[str, Sent]:
    asked = {
        "rectification": crm.rectify("crm-4711", "ada.new@example.org", "Lovelace"),
        "erasure": crm.erase("crm-4712"),
        "restriction": crm.restrict("crm-4713"),
        "opt_out": crm.opt_out("crm-4714"),
    }
    for right, sent in asked.items():
        say(f"1/5 main database asks: {right:<14} {sent.status:<9} {sent.request_id[:8]}")
    return asked


def _follow(service: Service, asked: dict[str, Sent], say: Say) -> dict[tuple[str, str], str]:
    """Watch the states until nothing moves any more, and say each change."""
    from sqlalchemy import select

    from dpsync.store import tables as t

    p = t.propagation.c
    query = select(p.request_id, p.processor, p.right, p.state, p.attempts)
    seen: dict[tuple[str, str], str] = {}
    final = {"verified", "declared_done", "contradicted", "nothing_held", "refused", "escalated", "not_identifiable"}
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for row in service.read(lambda connection: connection.execute(query).all()):
            key = (row.right, row.processor)
            if seen.get(key) != row.state:
                seen[key] = row.state
                tries = f", {row.attempts} attempts" if row.attempts > 1 else ""
                say(f"2/5 {row.right:<14} {row.processor:<11} {row.state.replace('_', ' ')}{tries}")
        if len(seen) == 2 * len(asked) and set(seen.values()) <= final:
            return seen
        time.sleep(0.1)
    raise Disagreement(f"not finished within {PATIENCE:.0f} s")


def _account(
    service: Service,
    sandbox: RunningSandbox,
    asked: dict[str, Sent],
    states: dict[tuple[str, str], str],
    folder: Path,
    say: Say,
    *,
    broken: bool,
) -> int:
    from dpsync.reporting import month_report
    from dpsync.reports import render

    report = month_report(service, datetime.now(UTC))
    (folder / "report.html").write_text(render.html(report), encoding="utf-8")
    say("")
    say(render.text(report).partition("\nWhat Mailchimp, newsletter can do")[0])
    _sandbox_account(sandbox, say)
    faults = [*_disagreements(sandbox, states, report), *_verifier(service, asked, folder, say)]
    for fault in faults:
        say(f"    NOT SO: {fault}")
    contradicted = [f"{right} at {name}" for (right, name), state in states.items() if state == "contradicted"]
    if contradicted:
        say(f"5/5 contradicted: {', '.join(contradicted)}. The vendor said yes; our own reading says otherwise.")
    elif not faults:
        say("5/5 every figure agrees with the sandbox's own counters")
    return 1 if faults or contradicted or broken else 0


def _sandbox_account(sandbox: RunningSandbox, say: Say) -> None:
    """What the sandbox counted, whatever dpsync says."""
    say("3/5 the sandbox's own counters, in its two audiences")
    for address in (
        "ada@example.org",
        "ada.new@example.org",
        "ben@example.org",
        "cleo@example.org",
        "dora@example.org",
    ):
        there = [status for _, status in sandbox.holds(address)]
        say(f"    {address:<22} {', '.join(there) or 'gone'}")
    faults = sandbox.counters()["faults"]
    say(f"    {sandbox.calls()} calls, {sandbox.effects('deleted')} deletions, faults played: {faults}")
    say(f"    {len(sandbox.messages(settled=True))} mails taken by the mailbox")


def _done_there(sandbox: RunningSandbox) -> dict[str, bool]:
    """For each right, whether the sandbox itself shows it as carried out."""
    new, old = sandbox.holdings("ada.new@example.org"), sandbox.holds("ada@example.org")
    named = [dict(one.merge_fields).get("LNAME") for one in new]
    return {
        "rectification": not old and named == ["Lovelace", "Lovelace"],
        "erasure": not sandbox.holds("ben@example.org") and sandbox.effects("deleted") == 2,
        "restriction": [status for _, status in sandbox.holds("cleo@example.org")] == ["archived"] * 2,
        "opt_out": [status for _, status in sandbox.holds("dora@example.org")] == ["unsubscribed"] * 2,
    }


def _disagreements(sandbox: RunningSandbox, states: dict[tuple[str, str], str], report: PeriodReport) -> Iterator[str]:
    """Every claim and figure of dpsync that the sandbox's own account does not bear out."""
    there = _done_there(sandbox)
    for right, done in there.items():
        state = states[right, "newsletter"]
        if (state == "verified") is not done:
            yield f"the {right} is {state}, and the vendor shows it {'done' if done else 'not done'}"
    if [status for _, status in sandbox.holds("neighbour@example.org")] != ["subscribed"] * 2:
        yield "a neighbour was touched"
    mails = sandbox.messages("privacy@stratosoft.example", settled=True)
    letters = [one for one in mails if b"notice.json" in one.raw]
    vendor, desk = (
        next(one for one in report.by_processor if one.processor == name) for name in ("newsletter", "forms")
    )
    for told, counted, what in (
        (report.total.received, len(there), "requests received"),
        (vendor.seen, sum(there.values()), "seen as done at Mailchimp"),
        (vendor.said, 0, "done on Mailchimp's word"),
        (desk.told, len(letters), "letters"),
        (desk.said, len(letters), "answered letters"),
        (desk.seen, 0, "letters seen as done"),
        (report.total.said + report.total.seen, sum(there.values()), "done everywhere"),
    ):
        if told != counted:
            yield f"the report says {told} {what}, the sandbox counted {counted}"


def _verifier(service: Service, asked: dict[str, Sent], folder: Path, say: Say) -> Iterator[str]:
    receipt = service.receipt(asked["erasure"].request_id, service.clock.now())
    written = receipts.write(receipt, folder / "receipts")
    shutil.copy(written, folder / "receipt.json")
    shutil.copy(receipts.VERIFIER, folder / receipts.VERIFIER.name)
    line = service.log.signer.verifier.line
    command = [sys.executable, str(folder / receipts.VERIFIER.name), str(folder / "receipt.json")]
    command += ["--key", line, "--email", "ben@example.org"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - because it is our own verifier
    say(f"4/5 receipt, checked by a program that is not dpsync: {'valid' if checked.returncode == 0 else 'NOT VALID'}")
    if checked.returncode:
        yield f"the receipt: {(checked.stdout + checked.stderr).strip()[-300:]}"
    found = service.verify_ledger(full=True)
    say(f"    ledger: {found.entries} entries, {'unaltered' if not found.problems else found.problems[0]}")
    yield from found.problems
