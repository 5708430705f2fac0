"""An installation of dpsync for the demo: its folder, its settings, its secrets, and the service in a process."""

import base64
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from dpsync.errors import DpsyncError, Exit, TooSlow, UsageError
from dpsync.sandbox.main_database import MainDatabase
from dpsync.sandbox.server import RunningSandbox

MARK = ".dpsync-demo"
READY_WITHIN = 120.0
"""Real seconds; one or two on an idle machine."""
TITLES = {
    "newsletter": "Mailchimp, newsletter",
    "campaigns": "Campaign Monitor, fundraising",
    "events": "Eventbrite, open days",
    "inbox": "Hootsuite, messages",
    "forms": "Stratosoft, sign-up forms",
}
OPERATOR = "it@example.org"
INBOX_ADMIN = "inbox@example.org"
FORMS_DESK = "privacy@stratosoft.example"
INBOX_DESK = "privacy@hootsuite.example"

CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "{operator}"
rehearsal = true

[ledger]
origin = "example.org/demo"

[intake]
secrets = [{{ env = "DPSYNC_DEMO_SECRET" }}]
listen = "127.0.0.1:{port}"
public_url = "{url}"
callback = {{ url = "{crm_url}", private_host = "127.0.0.1", secrets = [{{ env = "DPSYNC_DEMO_CALLBACK" }}] }}

[mail]
host = "{at.smtp_host}"
port = {at.smtp_port}
tls = "none"
from = "privacy@example.org"

[processors.newsletter]
title = "{titles[newsletter]}"
connector = "mailchimp"
contact = "privacy@mailchimp.example"
base_url = "{at.mailchimp_url}"
api_key = {{ env = "DPSYNC_DEMO_MAILCHIMP" }}
inbound_secret = {{ env = "DPSYNC_DEMO_INBOUND" }}

[processors.campaigns]
title = "{titles[campaigns]}"
connector = "campaign_monitor"
contact = "privacy@campaignmonitor.example"
base_url = "{at.campaign_monitor_url}"
api_key = {{ env = "DPSYNC_DEMO_CAMPAIGN_MONITOR" }}

[processors.events]
title = "{titles[events]}"
connector = "eventbrite"
contact = "{at.eventbrite_desk}"
base_url = "{at.eventbrite_url}"
token = {{ env = "DPSYNC_DEMO_EVENTBRITE" }}

[processors.inbox]
title = "{titles[inbox]}"
connector = "hootsuite"
contact = "{inbox_desk}"
base_url = "{at.hootsuite_url}"
client_id = "{at.hootsuite_client}"
client_secret = {{ env = "DPSYNC_DEMO_HOOTSUITE" }}
organization_id = "{at.hootsuite_organization}"
inbound_secret = {{ env = "DPSYNC_DEMO_INBOUND" }}
webhook_secret = {{ env = "DPSYNC_DEMO_WEBHOOK" }}
retention = {{ months = 3, admin = "{inbox_admin}" }}

[processors.forms]
title = "{titles[forms]}"
connector = "notice"
contact = "{forms_desk}"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo's dpsync is: its folder and settings file, its address, its secrets by name."""

    folder: Path
    config: Path
    url: str
    environ: dict[str, str]

    @property
    def write_back_url(self) -> str:
        """Where Hootsuite's webhooks go."""
        return f"{self.url}/in/inbox/{self.environ['DPSYNC_DEMO_INBOUND']}"


def fresh(folder: Path) -> Path:
    """Empty the folder of an earlier demo. Raises `UsageError` for a folder that holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, and the demo needs a folder; name another with --folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise UsageError("that folder holds something that is not an earlier demo; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        (folder / MARK).touch()
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}", code="DP-105") from None
    return folder


def installed(folder: Path, sandbox: RunningSandbox, crm: MainDatabase) -> Place:
    """Write the settings and make the installation, as `dpsync init` makes it. Raises `DpsyncError`.

    `crm`: what is told what became of its requests; it learns the secret that verifies this.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    place = Place(folder, folder / "dpsync.toml", f"http://127.0.0.1:{port}", _environment(sandbox))
    crm.secret = place.environ["DPSYNC_DEMO_CALLBACK"]
    text = CONFIG.format(
        at=sandbox.addresses,
        port=port,
        url=place.url,
        crm_url=crm.url,
        titles=TITLES,
        operator=OPERATOR,
        inbox_admin=INBOX_ADMIN,
        inbox_desk=INBOX_DESK,
        forms_desk=FORMS_DESK,
    )
    place.config.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "dpsync", "--config", str(place.config), "init", str(folder)]
    made = subprocess.run(command, env=place.environ, capture_output=True, text=True, check=False)  # noqa: S603 - because it is this program
    if made.returncode:
        raise _as_it_said(made.returncode, f"`dpsync init` ended with {made.returncode}: {made.stderr.strip()[-300:]}")
    return place


def _environment(sandbox: RunningSandbox) -> dict[str, str]:
    at = sandbox.addresses
    return {
        **os.environ,
        "DPSYNC_DEMO_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "DPSYNC_DEMO_CALLBACK": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "DPSYNC_DEMO_MAILCHIMP": at.api_keys[0],
        "DPSYNC_DEMO_CAMPAIGN_MONITOR": at.campaign_monitor_key,
        "DPSYNC_DEMO_EVENTBRITE": at.eventbrite_token,
        "DPSYNC_DEMO_HOOTSUITE": at.hootsuite_secret,
        "DPSYNC_DEMO_INBOUND": secrets.token_urlsafe(32),
        "DPSYNC_DEMO_WEBHOOK": secrets.token_hex(32),
    }


@contextmanager
def serving(place: Place) -> Iterator[None]:
    """`dpsync serve` in a process of its own, ready; stopped at the end as an administrator would stop it."""
    command = [sys.executable, "-m", "dpsync", "--config", str(place.config), "serve"]
    with (place.folder / "serve.log").open("wb") as out:
        process = subprocess.Popen(command, env=place.environ, stdout=out, stderr=out)  # noqa: S603 - because it is this program
    try:
        _wait_until_ready(place.url, process, place.folder / "serve.log")
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()


def _as_it_said(ended: int, words: str) -> DpsyncError:
    """What a command of the demo ended with, under its own code: a full disk there is none of our faults here."""
    codes = re.findall(r"DP-[0-9]{3}", words)
    error = DpsyncError(words, code=codes[-1] if codes else None)
    if ended in set(Exit):
        error.exit = Exit(ended)
    return error


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until:
        if process.poll() is not None:
            words = log.read_text(encoding="utf-8", errors="replace").strip()
            raise _as_it_said(process.returncode, f"`dpsync serve` stopped at once: {words[-300:]}")
        try:
            if requests.get(f"{url}/readyz", timeout=60).status_code == 200:
                return
        except (requests.ConnectionError, requests.Timeout):
            pass
        time.sleep(0.1)
    raise TooSlow(f"`dpsync serve` was not ready within {READY_WITHIN:.0f} s; its words are in serve.log")
