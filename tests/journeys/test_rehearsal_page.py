"""The rehearsal in docs/operating.md works when it is pasted into an empty folder."""

import json
import os
import random
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from dpsync.sandbox.scenario import Scenario

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
VENDORS = 8
"""No more vendors than this have a port each."""


def section() -> str:
    return PAGE.read_text(encoding="utf-8").split("## Rehearse")[1].split("\n## ")[0]


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


def test_the_rehearsal_on_the_page_works_when_it_is_pasted(tmp_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", section(), flags=re.DOTALL)
    vendors, mailbox = free_ports()
    script = script.replace("9101", str(vendors)).replace("9125", str(mailbox))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DPSYNC")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    # Whatever fails on the way, the sandbox does not outlive the test.
    command = ["/bin/bash", "-e", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "done, seen by us (newsletter); held: contact unverified (web-agency)" in ran.stdout
    assert ", REHEARSAL" in ran.stdout
    assert "newsletter     waiting" in ran.stdout


def test_the_fault_on_the_page_is_one_that_the_sandbox_takes() -> None:
    (example,) = re.findall(r"`(\{\"mailchimp\": \{\"faults\".*?\})`", section())
    assert Scenario.model_validate(json.loads(example)).mailchimp.faults[0].status == 503
