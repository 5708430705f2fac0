"""What README and docs/rehearsal.md give to paste works when it is pasted, and proves what they say."""

import json
import os
import random
import re
import smtplib
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from dpsync.cli.first_settings import SANDBOX
from dpsync.sandbox.mailbox import Behaviour
from dpsync.sandbox.scenario import Scenario
from dpsync.sandbox.server import running_sandbox

ROOT = Path(__file__).parents[2]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "rehearsal.md"
VENDORS = 8
"""No more vendors than this have a port each."""


def free_ports() -> tuple[int, int]:
    """The first of several in a row for the vendors, and one for the mailbox."""
    while True:
        first = random.randrange(20000, 30000)
        with ExitStack() as taken:
            try:
                for port in range(first, first + VENDORS + 1):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
        return first, first + VENDORS


def pasted(page: Path, folder: Path) -> str:
    """What the shell prints that the page's commands are pasted into, with other ports: those may be taken here."""
    (script,) = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    vendors, mailbox = free_ports()
    script = script.replace("--http-port 9101", f"--http-port {vendors}").replace(
        "--smtp-port 9125", f"--smtp-port {mailbox}"
    )
    # and a busy machine takes longer to begin than a reader's
    wait = "for second in $(seq 100); do [ -s sandbox.json ] || sleep 1; done"
    script = re.sub(r"^for second in.*$", wait, script, flags=re.MULTILINE)
    script = re.sub(r"& sleep \d+$", f"&\n{wait}", script, flags=re.MULTILINE)
    other = f"sed -i 's/:9101/:{vendors}/; s/= 9125/= {mailbox}/' dpsync.toml"
    script = re.sub(r"^(\(umask 077; .*)$", rf"\1\n{other}", script, flags=re.MULTILINE)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DPSYNC")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    # Whatever fails on the way, the sandbox does not outlive the test.
    command = ["/bin/bash", "-e", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"]
    ran = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_rehearsal_on_the_page_works_when_it_is_pasted(tmp_path: Path) -> None:
    printed = pasted(PAGE, tmp_path)
    before, after = printed.index("held: approval (newsletter)"), printed.index("done, seen by us (newsletter)")
    assert before < after
    assert printed[after:].startswith("done, seen by us (newsletter); held: contact unverified (web-agency)")
    assert ", REHEARSAL" in printed
    assert "newsletter waiting" in " ".join(printed.split())
    assert "FILL IN" not in printed


def test_the_first_erasure_of_the_readme_is_proved(tmp_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(script.splitlines()) <= 10
    printed = pasted(README, tmp_path)
    assert "done, seen by us" in printed
    assert "REHEARSAL" in printed
    assert re.search(r"\bvalid\b", printed, re.IGNORECASE)


def test_the_fault_on_the_page_is_one_that_the_sandbox_takes() -> None:
    (example,) = re.findall(r"`(\{\"mailchimp\": \{\"faults\".*?\})`", PAGE.read_text(encoding="utf-8"))
    assert Scenario.model_validate(json.loads(example)).mailchimp.faults[0].status == 503


def test_the_mailbox_is_read_by_the_program_on_its_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sandbox-mailbox.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "mailbox.py").write_text(program, encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
    rules = Scenario.model_validate(json.loads(example)).mail.rules
    assert rules["privacy@agency.example"].answer == "wrong_recipient"
    rows = re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE)[1:]
    named = {name for row in rows for name in re.findall(r"`(.*?)`", row)}
    assert named == set(get_args(Behaviour)), "each behaviour stands in the table"
    with running_sandbox() as running, smtplib.SMTP(running.smtp_host, running.smtp_port) as host:
        for to in ("dpo@example.org", "it@example.org"):
            host.sendmail("dpsync@example.org", [to], f"From: a@example.org\nTo: {to}\nSubject: Hello\n\nto {to}\n")
        url = running.mailchimp_url.removesuffix("/3.0")
        argv = [sys.executable, str(tmp_path / "mailbox.py"), url]
        both, one = (
            subprocess.run([*argv, *more], capture_output=True, text=True, timeout=60, check=True).stdout
            for more in ((), ("it@example.org",))
        )
    assert ("to dpo@example.org" in both, "to it@example.org" in both) == (True, True)
    assert ("to dpo@example.org" in one, "to it@example.org" in one) == (False, True)


BELOW = {"opendsr": "/v2"}
"""Where one port has more than one of a vendor's dialects, the one that a rehearsal begins with."""


def test_a_rehearsal_begins_at_the_addresses_of_the_sandbox() -> None:
    vendors, mailbox = free_ports()
    with running_sandbox(http_port=vendors, smtp_port=mailbox) as running:
        real = {connector: str(getattr(running.addresses, f"{connector}_url")) for connector in SANDBOX}
    for connector, url in SANDBOX.items():
        port = int(url.split(":")[2].split("/")[0])
        assert url.replace(f":{port}", f":{port - 9101 + vendors}") == real[connector] + BELOW.get(connector, "")
