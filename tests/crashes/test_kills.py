"""Killed in every gap between two lasting steps, it knows all that was accepted, and raises no false alarm."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpsync.sandbox.server import running_sandbox
from tests.databases import new_database
from tests.disks import small
from tests.faults.counting import Counted
from tests.standins.door import free_port

CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
rehearsal = true

[safety]
irreversible_per_day = 1000

[store]
url = {{ env = "DPSYNC_TEST_DATABASE" }}

[ledger]
origin = "example.org/kills"

[intake]
secrets = [{{ env = "DPSYNC_TEST_SECRET" }}]
listen = "127.0.0.1:{port}"

[mail]
host = "{addresses.smtp_host}"
port = {addresses.smtp_port}
tls = "none"
from = "privacy@example.org"

[processors.newsletter]
connector = "mailchimp"
contact = "privacy@mailchimp.example"
base_url = "{addresses.mailchimp_url}"
api_key = {{ env = "DPSYNC_TEST_KEY" }}
"""
KEY = "sandbox-key-us1"
SECRET = "whsec_" + base64.b64encode(b"kills" * 6).decode()
ENVIRON = {"DPSYNC_TEST_SECRET": SECRET, "DPSYNC_TEST_KEY": KEY}


FEWEST = {"work": 27, "door": 2, "gaps": 14, "init": 33}
"""In how many gaps each life died when this was written, and a few less: a hook that sees nothing would kill nobody."""


@pytest.mark.fault(17)
@pytest.mark.parametrize("life", ["work", "door", "gaps"])
def test_killed_in_every_gap_nothing_accepted_is_lost_and_no_false_alarm_is_raised(
    life: str, database_url: str, tmp_path: Path, counted: Counted
) -> None:
    """On a server only before its commits: the files are written by the same lines, and tried beside SQLite."""
    kinds = [] if database_url.startswith("sqlite") else ["commit"]
    said = live(life, "killed", database_url, tmp_path, *kinds)
    counted(17, lost=said.count("what was accepted is lost"))


def test_an_init_that_was_killed_in_any_gap_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    """On a file: what differs on a server is the migration, which is killed in test_upgrade.py."""
    live("init", "killed", f"sqlite:///{tmp_path / 'dpsync.db'}", tmp_path)


def test_a_disk_that_is_full_from_any_gap_on_ends_with_75_and_leaves_nothing_half(tmp_path: Path) -> None:
    with small(tmp_path / "small", "16m") as folder:
        live("work", "full", f"sqlite:///{folder / 'dpsync.db'}", folder)


def live(life: str, what: str, database_url: str, tmp_path: Path, *kinds: str) -> str:
    """What the lives said, one after the other; the first that found something wrong ends them."""
    port = free_port()
    with running_sandbox((KEY,)) as sandbox, new_database(database_url, tmp_path) as empty:
        (tmp_path / "dpsync.toml").write_text(CONFIG.format(addresses=sandbox.addresses, port=port))
        environ = {**os.environ, **ENVIRON, "DPSYNC_TEST_URL": f"http://127.0.0.1:{port}"}
        environ["DPSYNC_TEST_DATABASE"] = empty.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "tests.crashes.killing", str(tmp_path / "dpsync.toml"), life, what, *kinds]
        root = Path(__file__).parents[2]
        ended = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    gaps = ended.stdout.count("came to")
    assert gaps >= (FEWEST[life] // 4 or 1 if kinds else FEWEST[life]), "a step is not seen any more"
    return ended.stdout + ended.stderr
