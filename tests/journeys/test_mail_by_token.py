"""Our own mail host wants a token: while there is none, letters wait, our operator hears, and nobody has refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.cli.check_doors import letters_that_wait, outside
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.cli.checks import _tested
from dpsync.model import Right, State
from dpsync.reports.make import month_report
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, OPERATOR, Installation, installed, sqlite_url
from tests.journeys.test_decisions_by_link import CAREFUL
from tests.journeys.test_letters import CONTACT, DAY, ask, confirmed, events
from tests.mailhost import MailHost, TokenEndpoint, token_endpoint, token_mail_host

pytestmark = pytest.mark.no_database

PRIVACY = "privacy@example.org"


@contextmanager
def by_token(there: Installation) -> Iterator[tuple[MailHost, TokenEndpoint]]:
    """From here on our mail goes to a host that wants the token of `PRIVACY`, good for an hour."""
    with token_endpoint(3600) as endpoint, token_mail_host({f"token-{n}": PRIVACY for n in range(100)}) as host:
        oauth = f'token_url = "{endpoint.url}", client_id = "app", client_secret = {{ env = "DPSYNC_TEST_KEY" }}'
        section = f'tls = "none"\nuser = "{PRIVACY}"\noauth = {{ {oauth}, scope = "mail" }}'
        there.restart((f"port = {there.sandbox.smtp_port}", f"port = {host.port}"), ('tls = "none"', section))
        yield host, endpoint


def mail_line(there: Installation) -> CheckLine:
    return next(line for line in outside(there.service, offline=False) if line.what == "mail")


FAULTS: dict[str, tuple[int, object]] = {
    "the secret has expired": (401, {"error": "invalid_client", "error_codes": [7000222]}),
    "a scope that there is not": (400, {"error": "invalid_scope"}),
    "a fault there": (500, ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_letter_waits_for_its_token_and_goes_once_there_is_one(fault: str, database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as there:
        confirmed(there)
        with by_token(there) as (host, endpoint):
            endpoint.answer = lambda _: FAULTS[fault]
            asked = ask(there)
            there.drive()
            row = there.row(asked, "forms")
            assert (row.state, row.told_at) == (State.PENDING, None)
            assert "refused" not in events(there, asked)
            assert host.logins == []
            assert (mail_line(there).verdict, mail_line(there).code) == (CheckResult.PROBLEM, "DP-303")
            (tested,) = _tested(there.service)
            assert (tested.verdict, tested.code) == (CheckResult.PROBLEM, "DP-303")
            duties = [duty.sentence for duty in month_report(there.service, there.clock.now()).duties]
            assert all("alert" in one for one in duties), "nobody is to write to the processor"
            there.sound()
            endpoint.answer = lambda _: None
            there.drive(DAY)
            assert there.state(asked, "forms") is State.ACCEPTED
            assert mail_line(there).verdict is CheckResult.OK
            assert (CONTACT,) in [one.to for one in host.taken]
            assert not list(letters_that_wait(there.service))
            there.sound()


def test_the_operator_hears_which_setting_is_wrong(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        with by_token(there) as (_, endpoint):
            endpoint.answer = lambda _: FAULTS["the secret has expired"]
            ask(there)
            there.drive()
            assert there.alerts() == [("operator", "mail_credential")]
            (told,) = there.told()
            assert "DP-303" in told.body
            assert "the secret has expired (AADSTS7000222)" in "".join(told.concerns)
            assert "`dpsync check`" in "".join(told.concerns)
            (line,) = letters_that_wait(there.service)
            assert (line.verdict, line.code) == (CheckResult.PROBLEM, "DP-303")
            assert "client_secret in [mail.oauth] is wrong" in line.text


def test_a_mailbox_that_the_app_may_not_use_is_our_own_trouble_too(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        with by_token(there) as (host, _):
            host.tokens = {}
            asked = ask(there)
            there.drive()
            assert (there.state(asked, "forms"), there.alerts()) == (State.PENDING, [("operator", "mail_credential")])
            assert "may the app send from it" in mail_line(there).text
            host.tokens = {"token-2": PRIVACY}
            there.drive(DAY)
            assert there.state(asked, "forms") is State.ACCEPTED
            assert (OPERATOR,) in [one.to for one in host.taken], "the alert goes by the same way"
            assert {row.sent_at is None for row in there.rows(t.alert)} == {False}


@pytest.mark.parametrize(("silent", "said"), [(True, "did not answer"), (False, "asks to try later")])
def test_of_a_token_server_that_is_away_for_an_hour_our_operator_hears_by_another_channel(
    silent: bool, said: str, tmp_path: Path
) -> None:
    chat = '\n[alerts]\nurls = [{{ file = "chat" }}]\n'
    with token_endpoint(0) as channel:
        (tmp_path / "chat").write_text(channel.url.replace("http", "json", 1))
        (tmp_path / "chat").chmod(0o600)
        with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + CAREFUL + chat, web=True) as there:
            there.drive()
            with by_token(there) as (host, endpoint):
                endpoint.answer = lambda _: FAULTS["a fault there"]
                if silent:
                    there.restart((endpoint.url, "http://127.0.0.1:1/token"))
                there.ask(Right.ERASURE, "ada@example.org")
                there.drive()
                assert channel.asked == [], "it may be back in a minute"
                there.drive(timedelta(hours=1))
                (told,) = [one for one in channel.asked if "has taken no mail for an hour" in one]
                assert f"The token endpoint {said}" in told
                assert "envelope" not in told
                assert host.logins == []


def test_a_token_that_has_simply_ended_is_renewed_before_the_next_letter(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + CAREFUL, web=True) as there:
        there.drive()
        with by_token(there) as (host, endpoint):
            for number, after in enumerate((0, 57, 2), start=1):
                there.clock.advance(timedelta(minutes=after))
                there.ask(Right.ERASURE, f"ada{number}@example.org", id=f"crm-{number}")
                there.drive()
            assert len(host.taken) == 3
            assert len(endpoint.asked) == 2, "one for the first hour but its last two minutes"
            assert there.alerts() == []
