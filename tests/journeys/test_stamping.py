"""Time stamps of the daily checkpoint by an authority of our own: the honest reply, and everything that is none."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from dpsync.ledger import entry, note
from dpsync.running import stamping
from dpsync.store import tables as t
from tests.journeys.installation import Installation, installed, sqlite_url
from tests.standins.authority import GIVEN, POLICY, Authority, answering

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the authority is made of openssl")


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with answering(Authority(tmp_path / "tsa")) as made:
        yield made


@pytest.fixture
def there(tmp_path: Path, authority: Authority) -> Iterator[Installation]:
    with installed(tmp_path, sqlite_url(tmp_path)) as made:
        configured(made, authority)
        made.clock.advance(datetime.now(UTC) - made.clock.now())  # the authority has the machine's clock
        yield made


def configured(there: Installation, authority: Authority, policy: str = POLICY) -> None:
    origin = 'origin = "example.org/journeys"'
    stamps = f'{{ url = "{authority.url}", root = "{authority.root}", policy = "{policy}" }}'
    config = there.folder / "dpsync.toml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("stamps = ")]
    config.write_text("\n".join(lines) + "\n")
    there.restart((origin, f"{origin}\nstamps = [{stamps}]"))


def replies(there: Installation) -> list[Path]:
    return sorted(there.service.settings.ledger.anchor.glob("*.tsr"))


def told(there: Installation) -> str:
    return " ".join(f"{row.why} {row.text}" for row in there.rows(t.alert_concern))


def test_the_reply_is_kept_to_the_byte_and_holds_for_the_library_and_for_openssl(
    there: Installation, authority: Authority
) -> None:
    given: list[bytes] = []

    def says(query: bytes) -> tuple[int, str, bytes]:
        given.append(authority.reply(query))
        return 200, GIVEN, given[-1]

    authority.says = says
    stamping.ask(there.service, there.clock.now())
    (reply,) = replies(there)
    size = int(reply.name.partition(".")[0])
    assert reply.read_bytes() == given[0]
    assert reply.with_suffix(".tsq").exists()
    signed = (there.service.settings.ledger.anchor / f"{size:012d}.checkpoint").read_text(encoding="utf-8")
    body = note.parse(signed)[0].text.encode()
    assert authority.holds(reply, body)
    assert not authority.holds(reply, body + b"x")
    said = [entry.decode(row.body) for row in there.rows(t.entry)]
    (anchor,) = [one for one in said if one["event"] == "anchor"]
    assert (anchor["n"], anchor["kind"], anchor["cause"]) == (size, "stamp", "verified")
    assert anchor["digest"] == sha256(given[0]).hexdigest()
    stamping.ask(there.service, there.clock.now())
    assert len(given) == 1, "once a day"
    assert there.alerts() == []
    there.sound()


def replayed(authority: Authority) -> Callable[[bytes], tuple[int, str, bytes]]:
    first: list[bytes] = []

    def says(query: bytes) -> tuple[int, str, bytes]:
        first.append(authority.reply(query))
        return 200, GIVEN, first[0]

    says(Path(authority.folder / "q0.tsq").read_bytes())
    return says


def an_older_question(authority: Authority) -> None:
    data = authority.folder / "data"
    data.write_bytes(b"yesterday's checkpoint")
    authority._run("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "q0.tsq")


FAULTS = {
    "HTML": (lambda _: (200, "text/html", b"<html>"), "no time stamp came (status 200)"),
    "an error": (lambda _: (503, GIVEN, b""), "no time stamp came (status 503)"),
    "too much": (lambda _: (200, GIVEN, bytes(stamping.LARGEST + 1)), "no time stamp came"),
    "junk": (lambda _: (200, GIVEN, b"no DER"), "the library cannot read the reply"),
    "nothing": (lambda _: (200, GIVEN, b""), "the library cannot read the reply"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_reply_is_not_kept_and_told(there: Installation, authority: Authority, fault: str) -> None:
    authority.says, why = FAULTS[fault]
    stamping.ask(there.service, there.clock.now())
    assert replies(there) == []
    assert why in told(there)
    authority.says = lambda query: (200, GIVEN, authority.reply(query))
    stamping.ask(there.service, there.clock.now())
    assert len(replies(there)) == 1, "it is asked again"


def test_a_reply_to_another_question_is_no_stamp(there: Installation, authority: Authority) -> None:
    an_older_question(authority)
    authority.says = replayed(authority)
    stamping.ask(there.service, there.clock.now())
    assert replies(there) == []
    assert "it answered another question than ours" in told(there)


def test_a_refusal_another_policy_and_another_root_are_no_stamp(
    there: Installation, authority: Authority, tmp_path: Path
) -> None:
    digests = authority.folder / "ts.cnf"
    right = digests.read_text()
    digests.write_text(right.replace("digests = sha256", "digests = sha512"))
    stamping.ask(there.service, there.clock.now())
    assert "it refused to stamp" in told(there)
    digests.write_text(right.replace(POLICY, "1.2.3"))
    stamping.ask(there.service, there.clock.now())
    assert "it stamped under another policy" in told(there)
    digests.write_text(right)
    other = Authority(tmp_path / "other", "somebody else")
    authority.says = lambda query: (200, GIVEN, other.reply(query))
    stamping.ask(there.service, there.clock.now())
    assert "its signature or certificate does not hold" in told(there)
    assert replies(there) == []


def test_a_reply_that_the_library_cannot_read_is_kept_and_called_that(
    there: Installation, authority: Authority
) -> None:
    authority.says = lambda query: (200, GIVEN, b"\x30" + authority.reply(query)[1:-1])
    stamping.ask(there.service, there.clock.now())
    assert len(replies(there)) == 1
    said = [entry.decode(row.body) for row in there.rows(t.entry)]
    assert [one["cause"] for one in said if one["event"] == "anchor"] == ["unread"]
    assert "check it with `openssl ts -verify`" in told(there)


def test_a_clock_that_is_off_is_told_and_the_stamp_is_kept(there: Installation) -> None:
    there.clock.advance(timedelta(hours=2))
    stamping.ask(there.service, there.clock.now())
    assert len(replies(there)) == 1
    assert "differ by more than a minute" in told(there)


def test_silence_is_told_after_three_days(there: Installation, authority: Authority) -> None:
    stamping.ask(there.service, there.clock.now())
    authority.says = lambda _: (503, GIVEN, b"")
    for days, alerts in ((3, 0), (1, 1)):
        there.clock.advance(timedelta(days=days))
        stamping.ask(there.service, there.clock.now())
        assert len(there.alerts()) == alerts


def test_a_root_certificate_that_is_gone_is_named(there: Installation, authority: Authority) -> None:
    authority.root.write_text("no certificate")
    stamping.ask(there.service, there.clock.now())
    assert "holds no certificate" in told(there)
    authority.root.unlink()
    stamping.ask(there.service, there.clock.now())
    assert "root.pem" in told(there)
    assert replies(there) == []
