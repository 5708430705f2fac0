"""One verdict on each address at every door: the signed one, `submit`, and the settings."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from dpsync.__main__ import main
from dpsync.signature import signed_headers
from dpsync.store import tables as t
from tests.addresses import BLANK, ODD, REFUSED, TAKEN
from tests.journeys.installation import SECRET, Installation, installed, sqlite_url

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("doors")
    with installed(folder, sqlite_url(folder), web=True) as running:
        yield running


def post(there: Installation, right: str, subject: dict[str, Any], **more: Any) -> tuple[int, str]:
    data = {"right": right, "subject": subject, **more}
    body = json.dumps({"type": "data_subject.request", "data": data}).encode()
    signed = signed_headers(SECRET, f"evt-{next(_NUMBERS)}", there.clock.now(), body)
    answer = requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60)
    return answer.status_code, answer.json().get("field", "")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_address_is_422_wherever_a_signed_request_may_name_one(there: Installation, kind: str) -> None:
    before = len(there.rows(t.request))
    for text in REFUSED[kind]:
        # NUL, or half of a character, is in no text at all.
        whole = not any(mark == "\0" or "\ud800" <= mark <= "\udfff" for mark in text)
        answer = post(there, "erasure", {"id": "w1", "email": text})
        assert answer == (422, "data.subject.email" if whole else ""), ascii(text)
    for text in REFUSED[kind][:2]:
        answer = post(there, "erasure", {"id": "w1", "other_emails": [text]})
        assert answer == (422, "data.subject.other_emails.0"), ascii(text)
        answer = post(there, "rectification", {"id": "w1"}, changes={"email": text})
        assert answer == (422, "data.changes.email"), ascii(text)
    assert len(there.rows(t.request)) == before


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_what_is_an_address_is_202_wherever_a_signed_request_may_name_one(there: Installation, text: str) -> None:
    person, around = f"o-{ODD.index(text)}", BLANK[ODD.index(text) % len(BLANK)].format(text)
    assert post(there, "restriction", {"id": person, "email": around, "other_emails": [text]})[0] == 202
    assert post(there, "rectification", {"id": person}, changes={"email": around})[0] == 202


@pytest.mark.parametrize("kind", [*REFUSED, *TAKEN])
def test_submit_says_what_the_signed_door_says(
    kind: str, there: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in there.environ.items():
        monkeypatch.setenv(name, value)
    # No shell hands on the others.
    texts = [one for one in (*REFUSED.get(kind, ()), *TAKEN.get(kind, ())) if one.strip() and one.isprintable()][:1]
    for text in texts:
        for options in (
            ("erasure", f"--email={text}"),
            ("erasure", f"--other-email={text}"),
            ("rectification", f"--set=email={text}"),
        ):
            argv = [
                "--config",
                str(there.folder / "dpsync.toml"),
                "submit",
                *options,
                "--id",
                f"s-{text}"[:20],
                "--json",
            ]
            code = main(argv)
            said = capsys.readouterr()
            assert code == (0 if kind in TAKEN else 64), (options, said)
            assert kind in TAKEN or "is not an e-mail address" in said.err or "longer" in said.err, said
