"""A URL for alerts that nothing can ever be sent by is found by looking at it, and is no channel."""

import io
import json
from pathlib import Path

import pytest

from dpsync import telemetry
from dpsync.cli.check_doors import outside
from tests.journeys.installation import installed, sqlite_url


def written(folder: Path, kind: str, *urls: str) -> str:
    """A section [alerts] whose URLs lie in files, as secrets do."""
    names = []
    for number, url in enumerate(urls):
        path = folder / f"{kind}-{number}"
        path.write_text(url, encoding="utf-8")
        path.chmod(0o600)
        names.append(f'{{{{ file = "{path}" }}}}')
    return f"\n[alerts]\nurls = [{', '.join(names)}]\n" if kind == "urls" else f"\n[alerts]\nheartbeat = {names[0]}\n"


@pytest.mark.parametrize("url", ["slack.com/services/T/B/X", "https://monitoring.example.org/hook", "mailto", "sms:42"])
def test_a_url_that_apprise_cannot_read_is_no_channel_and_both_check_and_the_start_say_it(
    tmp_path: Path, url: str
) -> None:
    log = io.StringIO()
    telemetry.configure("info", log)
    with installed(tmp_path, sqlite_url(tmp_path), processors=written(tmp_path, "urls", url)) as there:
        lines = [line for line in outside(there.service, offline=True) if line.what == "alerts"]
        assert [line.code for line in lines] == ["DP-302", "DP-301"]
        assert "alerts.urls[0]" in lines[0].text
        (told,) = there.told()
        assert (told.role, told.cause) == ("operator", "channel-useless")
        assert "alerts.urls[0]" in told.text
        assert url not in told.text + lines[0].text
    logged = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["code"] for line in logged if "useless" in line["event"]] == ["DP-302"]


def test_of_two_urls_the_one_that_can_be_read_counts(tmp_path: Path) -> None:
    section = written(tmp_path, "urls", "slack.com/T", "json://127.0.0.1:9/hook")
    with installed(tmp_path, sqlite_url(tmp_path), processors=section) as there:
        lines = [line for line in outside(there.service, offline=True) if line.what == "alerts"]
        assert [line.code for line in lines] == ["DP-302", ""]
        assert lines[1].text.startswith("2 channels")


def test_a_heartbeat_that_is_never_called_is_none(tmp_path: Path) -> None:
    section = written(tmp_path, "heartbeat", "monitoring.example.org/ping")
    with installed(tmp_path, sqlite_url(tmp_path), processors=section) as there:
        lines = [line for line in outside(there.service, offline=True) if line.what == "alerts"]
        assert [line.code for line in lines] == ["DP-302", "DP-301"]
        assert "alerts.heartbeat" in lines[0].text
