"""Addresses of hosts and names of files in what strangers send: dpsync calls none of them and writes none of them."""

import json
import re
import socket
from pathlib import Path

import pytest
import requests

from dpsync.model import Right
from tests.faults.counting import Counted
from tests.journeys.installation import EVENTS, INBOUND, NEWSLETTER, installed, sqlite_url

ADA = "ada@example.org"
OUR_OWN = re.compile(r"[A-Za-z0-9._-]{1,80}")
HEARS = NEWSLETTER + 'inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}\n' + EVENTS


def spellings(port: int) -> list[str]:
    """Ways to write a host of this machine, as far as a URL can hold them."""
    hosts = ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "www.eventbriteapi.com@127.0.0.1")
    return [f"http://{host}:{port}/v3/orders/1/" for host in hosts] + [f"//127.0.0.1:{port}/v3/orders/1/"]


def connections(listener: socket.socket) -> int:
    listener.setblocking(False)
    found = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return found
        found += 1


@pytest.mark.fault(16)
@pytest.mark.fault(33)
def test_what_strangers_send_becomes_neither_an_address_nor_a_file(tmp_path: Path, counted: Counted) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as trap,
        installed(folder, sqlite_url(folder), processors=HEARS, web=True) as there,
    ):
        for number, url in enumerate(spellings(trap.getsockname()[1])):
            names = {"id": f"../../escaped-{number}", "name": f"C:\\escaped{number}" + "x" * 150}
            there.ask(Right.RECTIFICATION, ADA, **names, changes={"last_name": url})
            there.ask(Right.OPT_OUT, f"p{number}@example.org", id=url, references={"eventbrite": ["../escaped", url]})
            told = {"api_url": url, "config": {"action": "order.updated", "endpoint_url": url}}
            hooked = requests.post(f"{there.url}/in/events/{INBOUND}", data=json.dumps(told), timeout=60)
            assert hooked.status_code == 200
            form = {"type": "unsubscribe", "data[email]": ADA, "data[list_id]": url, "fired_at": "2026-11-20 09:00:00"}
            assert requests.post(f"{there.url}/in/newsletter/{INBOUND}", data=form, timeout=60).status_code == 422
        there.drive()
        counted(16, connections=connections(trap))
        written = [path for path in tmp_path.rglob("*") if not OUR_OWN.fullmatch(path.name) or "escaped" in path.name]
        outside = [path for path in tmp_path.iterdir() if path != folder]
        counted(33, files_outside=len(written) + len(outside))
        there.sound()
