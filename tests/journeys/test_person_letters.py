"""Letters to the person: what they say is what is known, every route is named, and the last day is watched."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dpsync import settings as configuration
from dpsync.errors import ConfigurationError, DecisionRefused, NotFound, UsageError
from dpsync.intake.payload import Withdrawal
from dpsync.ledger.entry import decode
from dpsync.model import CLOSED_STATES, DONE_STATES, Regime, Right, State
from dpsync.person_letters.compose import Asks, Did, Ground, PersonLetter, Sender, composed, recipient
from dpsync.person_letters.service import letter_to
from dpsync.propagation.correspondence.letters_due import GIVEN_UP, LetterOwed, level_of
from dpsync.propagation.correspondence.letters_due import owed as owed_letters
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.extending import extend
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.telling import LetterKind, Told, all_told, is_answered, nobody_asked, tell
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.running.jobs import remind_of_letters
from dpsync.settings.controller import LETTERS
from dpsync.store import tables as t
from dpsync.store.writer import Unit
from tests.journeys.installation import FORMS, NEWSLETTER, Installation, installed, receive, sqlite_url
from tests.journeys.test_complaints import CONFIG, ran
from tests.journeys.test_extension import dossier_of

pytestmark = pytest.mark.no_database

DAY = timedelta(days=1)
ADA = "ada@example.org"
WHO = Person("Dana Officer", "dana", "")
WORDS = {Ground.NEEDED: "Article 17(3)", Ground.EXCESSIVE: "Article 12(5)", Ground.NOT_IDENTIFIABLE: "Article 11(2)"}
SENDER = Sender(
    "Example Gardens", "dpo@example.org", "Information Commissioner's Office", Regime.UK, ZoneInfo("Europe/London")
)
IRELAND = replace(SENDER, authority="Data Protection Commission", regime=Regime.EU, zone=ZoneInfo("Europe/Dublin"))
ROUTES = {
    SENDER: ("complain to us: Example Gardens, dpo@example.org", "Information Commissioner's Office", "go to court"),
    IRELAND: ("supervisory authority: Data Protection Commission", "go to court"),
}


def written(there: Installation, request_id: str, kind: LetterKind | None = None, **asks: object) -> PersonLetter:
    asked = Asks(**asks)  # type: ignore[arg-type]  # because the fields are given by name
    return letter_to(there.service, request_id, kind, "Ada L", asked, there.clock.now())


def told(there: Installation, request_id: str, kind: LetterKind, on: date | None = None) -> Told:
    one, service, now = Told(kind, on or there.clock.now().date(), "post", "ab" * 32), there.service, there.clock.now()
    return service.write(lambda unit: tell(unit, service.controller, request_id, one, WHO, now))


def finish(there: Installation) -> None:
    there.drive()
    there.drive(timedelta(minutes=5))


def answered(there: Installation, request_id: str) -> bool:
    return there.service.read(lambda connection: is_answered(connection, there.service.controller, request_id))


def reminded(there: Installation, after: timedelta = timedelta(0)) -> list[tuple[str, str]]:
    before = len(there.alerts())
    there.clock.advance(after)
    remind_of_letters(there.service, there.clock.now())
    return there.alerts()[before:]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> RequestStanding:
    folder = tmp_path_factory.mktemp("standing")
    with installed(folder, sqlite_url(folder), processors=FORMS) as there:
        return dossier_of(there, there.ask(Right.ERASURE, ADA).id).asked


def in_state(standing: RequestStanding, state: State, *, told: bool) -> PropagationLine:
    first = standing.lines[0]
    kind = replace(first.kind, state=state, closed=state in CLOSED_STATES, done=state in DONE_STATES)
    return replace(first, kind=kind, told_at=standing.received_at if told else None)


# --- what a letter says


def test_a_letter_tells_of_each_recipient_what_is_known_and_no_more(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        before = written(there, one.id)
        assert "It is not finished everywhere yet. We will write to you again." in before.text
        assert "Mailchimp, newsletter has not been told yet." in before.text
        there.drive()
        there.drive(timedelta(minutes=5))
        after = written(there, one.id)
        assert "Mailchimp, newsletter has deleted your data. We looked there ourselves and saw it" in after.text
        assert "It is not finished everywhere yet." in after.text  # nobody has answered the letter to the web agency
        assert "This is what we cannot see or do there:" in after.text
        assert after.title == "Your request to delete your data"
        head, rehearsal, day, dear, *_ = after.text.split("\n\n")
        assert (head, day, dear) == ("Your request to delete your data", "20 November 2026", "Dear Ada L,")
        assert rehearsal == "REHEARSAL: nothing of this is real."
        assert "<p>REHEARSAL: nothing of this is real.</p>" in after.page
        foot = f"\n\nYours sincerely,\n\nExample Gardens\ndpo@example.org\nOur reference: {one.id}\n"
        assert after.text.endswith(foot)
        assert "\n\n\n" not in after.text


@pytest.mark.parametrize(
    ("state", "told_at", "did"),
    [
        *((state, False, Did.UNTOLD) for state in (State.HELD, State.PENDING, State.REFUSED, State.CONTRADICTED)),
        *((state, True, Did.WAITING) for state in (State.ACCEPTED, State.HANDED_OVER, State.ESCALATED)),
        *((state, True, Did.WAITING) for state in (State.CONTRADICTED, State.REFUSED, State.NOT_IDENTIFIABLE)),
        *((state, True, Did.SAYS) for state in (State.APPLIED, State.DECLARED_DONE)),
        *((state, True, Did.NOTHING) for state in (State.NOTHING_HELD, State.DECLARED_NOTHING_HELD)),
        *((State(did.value), False, did) for did in (Did.EXEMPT, Did.SETTLED, Did.SUPERSEDED, Did.WITHDRAWN)),
        (State.VERIFIED, True, Did.SEEN),
    ],
)
def test_what_is_not_known_to_be_done_is_never_written_as_done(
    state: State, told_at: bool, did: Did, standing: RequestStanding
) -> None:
    line = in_state(standing, state, told=told_at)
    assert recipient(line, SENDER.zone).did is did
    letter = composed(LetterKind.ERASURE, replace(standing, lines=(line,)), "", SENDER, Asks(), date(2026, 12, 1))
    done = did not in {Did.WAITING, Did.UNTOLD, Did.WITHDRAWN}
    assert ("It is finished at every service" in letter.text) is done
    assert ("deleted your data" in letter.text) is (did in {Did.SEEN, Did.SAYS})
    assert "Dear Sir or Madam," in letter.text


@pytest.mark.parametrize("right", list(Right))
def test_what_was_stopped_is_neither_finished_nor_taken_back_by_the_person(
    right: Right, standing: RequestStanding
) -> None:
    def said(*lines: tuple[State, bool]) -> str:
        made = [in_state(standing, state, told=told) for state, told in lines]
        asked = replace(standing, right=right, lines=tuple(made))
        kind = LetterKind.ERASURE if right is Right.ERASURE else LetterKind.ACTION
        return composed(kind, asked, "", SENDER, Asks(), date(2026, 12, 1)).text

    unsent, sent, seen = (State.WITHDRAWN, False), (State.WITHDRAWN, True), (State.VERIFIED, True)
    assert "We stopped it before any service was told, so nothing was done." in said(unsent)
    assert "was told, so nothing was done there." in said(unsent)
    assert "We stopped it, so it was not done everywhere." in said(sent)
    assert "so nothing more was done there." in said(sent)
    assert "We stopped it, so it was not done everywhere." in said(unsent, seen)
    assert "not finished" in said(unsent, (State.PENDING, False))
    for text in (said(unsent), said(sent), said(unsent, seen)):
        assert [odd for odd in ("finished", "taken back", "write to you again") if odd in text] == []


@pytest.mark.parametrize("right", list(Right))
@pytest.mark.parametrize("sender", list(ROUTES))
@pytest.mark.parametrize("kind", [*LetterKind, *((LetterKind.REFUSAL, ground) for ground in Ground)])
def test_every_letter_names_every_route_of_complaint_of_its_regime(
    kind: LetterKind | tuple[LetterKind, Ground], sender: Sender, right: Right, standing: RequestStanding
) -> None:
    chosen, ground = kind if isinstance(kind, tuple) else (kind, Ground.NEEDED)
    asks = Asks("your account is in a dispute", ground, date(2026, 12, 24), date(2027, 2, 22))
    letter = composed(chosen, replace(standing, right=right), "Ada L", sender, asks, date(2026, 12, 1))
    assert [route for route in ROUTES[sender] if route not in letter.text] == []
    assert ("the UK GDPR" in letter.text) is (sender is SENDER and chosen is not LetterKind.ACTION)
    assert [odd for odd in ("\\", "REHEARSAL") if odd in letter.text] == []
    if chosen is LetterKind.REFUSAL:
        assert "your account is in a dispute" in letter.text
        assert WORDS.get(ground, "Schedule 2") in letter.text
    if chosen is LetterKind.EXTENSION:
        assert "by 22 February 2027 at the latest" in letter.text
    if chosen is LetterKind.LIFTING:
        assert "The restriction ends on 24 December 2026." in letter.text


def test_the_page_is_in_large_print_and_shows_names_as_text(standing: RequestStanding) -> None:
    first = standing.lines[0]
    odd = replace(first, kind=replace(first.kind, title="<b>Web & co</b>\x1b[31m"))
    letter = composed(
        LetterKind.RECIPIENTS, replace(standing, lines=(odd,)), "Ada <L>", SENDER, Asks(), date(2026, 12, 1)
    )
    assert "18pt" in letter.page
    assert "<li>&lt;b&gt;Web &amp; co&lt;/b&gt;" in letter.page
    assert "Dear Ada &lt;L&gt;," in letter.page
    assert "\x1b" not in letter.text + letter.page
    assert "http" not in letter.page


def test_a_letter_that_does_not_fit_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        erasure, opt_out = there.ask(Right.ERASURE, ADA), there.ask(Right.OPT_OUT, "bob@example.org", id="crm-2")
        with pytest.raises(UsageError, match="--because"):
            written(there, erasure.id, LetterKind.EXTENSION)
        with pytest.raises(UsageError, match="--ground"):
            written(there, erasure.id, LetterKind.REFUSAL, because="no")
        with pytest.raises(DecisionRefused, match="nobody can refuse"):
            written(there, opt_out.id, LetterKind.REFUSAL, because="no", ground=Ground.NEEDED)
        with pytest.raises(DecisionRefused, match="24 hours"):
            written(there, opt_out.id, LetterKind.EXTENSION, because="no")
        with pytest.raises(DecisionRefused, match="only a restriction"):
            written(there, erasure.id, LetterKind.LIFTING, because="no", on=date(2026, 12, 1))
        with pytest.raises(DecisionRefused, match="no erasure"):
            written(there, opt_out.id, LetterKind.ERASURE)
        with pytest.raises(NotFound):
            written(there, "r-NONE")
        restriction = there.ask(Right.RESTRICTION, "cy@example.org", id="crm-3")
        with pytest.raises(DecisionRefused, match="an erasure only"):
            written(there, restriction.id, LetterKind.REFUSAL, because="no", ground=Ground.NEEDED)
        with pytest.raises(DecisionRefused, match="that day is over"):
            written(there, restriction.id, LetterKind.LIFTING, because="over", on=date(2026, 11, 19))
        assert written(there, restriction.id, LetterKind.LIFTING, because="over", on=date(2026, 11, 20))
        assert written(there, erasure.id, LetterKind.REFUSAL, because="no", ground=Ground.SCHEDULE_2)
        longer = written(there, erasure.id, LetterKind.EXTENSION, because="the archive is on paper")
        assert "by 22 February 2027 at the latest" in longer.text


def test_the_exemptions_of_the_united_kingdom_are_no_ground_elsewhere(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)
        ireland = 'rehearsal = true\nregime = "eu"\ncountry = "IE"\ntime_zone = "Europe/Dublin"'
        there.restart(("rehearsal = true", ireland))
        with pytest.raises(DecisionRefused, match="United Kingdom"):
            written(there, one.id, LetterKind.REFUSAL, because="no", ground=Ground.SCHEDULE_2)
        assert written(there, one.id, LetterKind.REFUSAL, because="no", ground=Ground.NEEDED)


def test_what_is_closed_or_done_can_be_neither_extended_nor_refused(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        finish(there)
        for kind, words in ((LetterKind.EXTENSION, "nothing left to extend"), (LetterKind.REFUSAL, "done everywhere")):
            with pytest.raises(DecisionRefused, match=words):
                written(there, one.id, kind, because="no", ground=Ground.NEEDED)
            with pytest.raises(DecisionRefused, match=words):
                told(there, one.id, kind)


def test_a_letter_that_went_before_the_end_can_be_recorded_after_it(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        there.clock.advance(DAY)
        finish(there)
        assert told(there, one.id, LetterKind.EXTENSION, date(2026, 11, 20))
        assert not answered(there, one.id)


# --- that it went


@pytest.mark.parametrize(
    ("right", "kind", "words"),
    [
        (Right.OPT_OUT, LetterKind.REFUSAL, "nobody can refuse"),
        (Right.OPT_OUT, LetterKind.EXTENSION, "24 hours"),
        (Right.OPT_OUT, LetterKind.ERASURE, "no erasure"),
        (Right.ERASURE, LetterKind.LIFTING, "only a restriction"),
    ],
)
def test_a_letter_that_cannot_be_written_cannot_be_recorded(
    right: Right, kind: LetterKind, words: str, tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(right, ADA)
        with pytest.raises(DecisionRefused, match=words):
            told(there, one.id, kind)
        assert there.service.read(lambda connection: all_told(connection, one.id)) == ()


def test_a_letter_of_an_unfinished_request_is_no_answer_and_one_after_its_end_is(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        assert told(there, one.id, LetterKind.ERASURE)
        assert not answered(there, one.id)
        there.clock.advance(DAY)
        finish(there)
        assert not answered(there, one.id)  # that letter said that we will write again
        assert reminded(there, 19 * DAY) == [("dpo", "letter-near")]
        told(there, one.id, LetterKind.RECIPIENTS)
        assert not answered(there, one.id)
        told(there, one.id, LetterKind.ERASURE)
        assert answered(there, one.id)
        assert reminded(there, 7 * DAY) == []


def test_that_the_person_was_told_is_on_the_record_with_day_way_and_digest(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)
        there.clock.advance(5 * DAY)
        made = told(there, one.id, LetterKind.ERASURE)
        assert there.service.read(lambda connection: all_told(connection, one.id)) == (made,)
        (entry,) = [said for row in there.rows(t.entry) if (said := decode(row.body))["event"] == "person_told"]
        assert (entry["told_on"], entry["way"], entry["cause"], entry["digest"]) == (
            *("2026-11-25", "post", "erasure"),
            "ab" * 32,
        )
        assert any("told (erasure, 2026-11-25, post" in moment.what for moment in dossier_of(there, one.id).moments)
        with pytest.raises(DecisionRefused, match="in the future"):
            told(there, one.id, LetterKind.ERASURE, date(2026, 11, 26))
        with pytest.raises(DecisionRefused, match="received on 20 Nov 2026"):
            told(there, one.id, LetterKind.ERASURE, date(2026, 11, 19))
        with pytest.raises(NotFound):
            told(there, "r-NONE", LetterKind.ERASURE)
        there.sound()


def test_the_last_day_for_the_letter_is_watched_until_it_is_recorded(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)  # letter by 17 December
        assert reminded(there, 19 * DAY) == []
        assert reminded(there, DAY) == [("dpo", "letter-near")]
        assert reminded(there, DAY) == []
        assert reminded(there, 4 * DAY) == [("dpo", "letter-near")]
        assert reminded(there) == []
        there.clock.advance(2 * DAY)
        assert reminded(there, DAY) == [("dpo", "letter-late")]
        told(there, one.id, LetterKind.EXTENSION)
        assert reminded(there, DAY) == [("dpo", "letter-late")]  # that is no answer
        told(there, one.id, LetterKind.ERASURE)
        assert reminded(there, DAY) == [("dpo", "letter-late")]  # nor is that: the request is not finished
        told(there, one.id, LetterKind.REFUSAL)
        assert reminded(there, DAY) == []


def test_an_extension_moves_the_last_day_and_an_opt_out_has_the_usual_month(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)
        there.ask(Right.OPT_OUT, "bob@example.org", id="crm-2")
        controller, now = there.service.controller, there.clock.now()
        person = Person("Dana", "dana", "it is complex")
        there.service.write(lambda unit: extend(unit, controller, one.id, person, now.date(), now))
        found = there.service.read(
            lambda connection: owed_letters(connection, controller.legal_clock.day_of, date(2026, 12, 12))
        )
        assert [owed.by for owed in found] == [date(2027, 2, 19), date(2026, 12, 17)]


def test_a_request_that_was_taken_back_and_an_installation_that_does_not_watch_owe_no_letter(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)
        there.restart(("rehearsal = true", "rehearsal = true\nwatch_letters = false"))
        assert reminded(there, 26 * DAY) == []
        there.restart(("watch_letters = false", "watch_letters = true"))
        assert reminded(there) == [("dpo", "letter-near")]
        receive(there.service, Withdrawal("crm", "evt-back", one.id), b"taken back")
        assert there.state(one, "forms") is State.WITHDRAWN
        assert reminded(there, DAY) == []


def test_what_we_stopped_ourselves_owes_a_letter_unless_nobody_asked(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS) as there:
        ours, mistaken = (there.ask(Right.ERASURE, f"{who}@example.org", id=who) for who in ("ada", "ben"))
        service, person = there.service, Person("Dana", "dana", "the import was wrong")
        with pytest.raises(DecisionRefused, match="not stopped everywhere"):
            service.write(lambda unit: nobody_asked(unit, service.controller, ours.id, person, there.clock.now()))
        for one in (ours, mistaken):
            service.write(partial(_stop, there, one.id, person))
        service.write(lambda unit: nobody_asked(unit, service.controller, mistaken.id, person, there.clock.now()))
        nameless = Person("Dana", "dana", " ")
        with pytest.raises(UsageError):
            service.write(lambda unit: nobody_asked(unit, service.controller, ours.id, nameless, there.clock.now()))
        assert reminded(there, 25 * DAY) == [("dpo", "letter-near")]
        (alert,) = [one for one in there.told() if one.cause == "letter-near"]
        assert (ours.id in alert.text, mistaken.id in alert.text) == (True, False)
        assert (answered(there, ours.id), answered(there, mistaken.id)) == (False, True)
        told(there, ours.id, LetterKind.REFUSAL)
        assert reminded(there, DAY) == []
        there.sound()


def _stop(there: Installation, request_id: str, person: Person, unit: Unit) -> None:
    decide(unit, there.service.controller, request_id, DecisionKind.WITHDRAW, person, there.clock.now())


def test_a_reminder_ends_after_a_month() -> None:
    owed = LetterOwed("r-1", date(2026, 12, 17))
    last = owed.by + GIVEN_UP
    assert (level_of(owed, last), level_of(owed, last + DAY)) == ("letter-late", None)


def test_an_alert_names_the_oldest_hundred_and_counts_the_rest(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        asked = [there.ask(Right.ERASURE, f"p{number}@example.org", id=f"crm-{number}") for number in range(103)]
        assert reminded(there, 26 * DAY) == [("dpo", "letter-near")]
        assert reminded(there) == []
        (one,) = [alert for alert in there.told() if alert.cause == "letter-near"]
        assert [request.id in one.text for request in asked] == [True] * 100 + [False] * 3
        assert "There are 3 more than are listed here." in one.text


def test_a_receipt_with_an_extension_and_a_letter_is_understood_by_a_stranger(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        controller, now, person = there.service.controller, there.clock.now(), Person("Dana", "dana", "it is complex")
        there.service.write(lambda unit: extend(unit, controller, one.id, person, now.date(), now))
        told(there, one.id, LetterKind.EXTENSION)
        there.drive()
        there.drive(timedelta(minutes=5))
        assert "not valid" not in there.verified_by_a_stranger(one, ADA)
        there.sound()


# --- languages


def test_a_language_without_letters_is_refused_at_start_and_one_with_all_of_them_is_not(tmp_path: Path) -> None:
    text = CONFIG.replace("rehearsal = true", 'rehearsal = true\nlanguage = "cy"')
    (tmp_path / "dpsync.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"controller\.language: has no letters yet"):
        configuration.load(tmp_path / "dpsync.toml", {})
    text = text.replace("[ledger]", 'letter_templates = "texts"\n\n[ledger]')
    (tmp_path / "dpsync.toml").write_text(text, encoding="utf-8")
    (tmp_path / "texts" / "cy").mkdir(parents=True)
    for name in LETTERS[1:]:
        (tmp_path / "texts" / "cy" / f"{name}.txt").write_text("Annwyl {{ name }}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"lacks action\.txt"):
        configuration.load(tmp_path / "dpsync.toml", {})
    (tmp_path / "texts" / "cy" / "action.txt").write_text("x", encoding="utf-8")
    assert configuration.load(tmp_path / "dpsync.toml", {}).controller.language == "cy"


def test_own_texts_take_the_place_of_ours(tmp_path: Path, standing: RequestStanding) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "routes.txt").write_text("- Ask {{ authority }}.\n", encoding="utf-8")
    letter = composed(LetterKind.ACTION, standing, "", replace(SENDER, own=tmp_path), Asks(), date(2026, 12, 1))
    assert "- Ask Information Commissioner's Office." in letter.text
    assert "go to court" not in letter.text


def test_every_kind_of_letter_has_a_text() -> None:
    assert set(LETTERS) == {*LetterKind, "routes"}


# --- by command


def test_by_command_a_letter_is_written_and_its_going_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    by = ("--by", "Dana Officer")
    assert ran(tmp_path, capsys, "init")[0] == 0
    code, said = ran(tmp_path, capsys, "submit", "erasure", "--email", ADA, "--name", "Ada L")
    request = said.split()[0]
    code, said = ran(tmp_path, capsys, "letter", request, *by)
    assert (code, "Dear Ada L," in said) == (0, True)
    file = tmp_path / "letter.html"
    code, said = ran(tmp_path, capsys, "letter", request, "--kind", "recipients", "-o", str(file), *by)
    assert (code, "Dear Ada L," in file.read_text("utf-8")) == (0, True)
    assert "--kind recipients --on DATE --by NAME" in said
    assert file.stat().st_mode & 0o077 == 0
    assert ran(tmp_path, capsys, "letter", request, "-o", "letter.doc", *by)[0] == 64
    assert ran(tmp_path, capsys, "letter", request, "--kind", "poem", *by)[0] == 64
    today = datetime.now(ZoneInfo("Europe/London")).date().isoformat()
    code, said = ran(tmp_path, capsys, "told", request, "--on", today, "--letter", str(file), *by)
    assert (code, "the last day for the answer still counts" in said) == (0, True)
    assert ran(tmp_path, capsys, "withdraw", request, "--reason", "it was a test", *by)[0] == 0
    code, said = ran(tmp_path, capsys, "told", request, "--kind", "erasure", "--on", today, *by)
    assert (code, "no letter is due any more" in said) == (0, True)
    code, said = ran(tmp_path, capsys, "dossier", request)
    assert "Dana Officer recorded that the person had a letter." in said
    assert "was shown" in said
    assert ran(tmp_path, capsys, "verify")[0] == 0
