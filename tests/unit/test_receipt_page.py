"""The page of a receipt: each sentence of it is in the signed file, and what is not known is not said to be done."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dpsync.connector import Capability, Means
from dpsync.errors import LedgerTampered, NotFound
from dpsync.ledger import entry, merkle, note, receipt
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.receipt import Logged
from dpsync.model import Right
from dpsync.reports.html import receipt_html
from dpsync.reports.processors import ProcessorLine, capability_lines
from dpsync.reports.receipt import BesideTheFile, PrintedReceipt, printed_receipt
from tests.unit.test_ledger_receipt import COMMIT_KEY, EMAIL, NOW, SIGNER

LONDON = ZoneInfo("Europe/London")
MAIL = "newsletter"
SEEN = Capability(Means.API, "Deleted.", "Orders stay there <and are old>.", "GET /people", "their page")
UNSEEN = Capability(Means.NOTICE, "A person deletes it.", "Nobody can look.", "", "none")
Told = tuple[EntryKind, Mapping[str, Any]]


def told(event: EntryKind, state: str, rung: int, has_it: int = 1, dest: str = MAIL, **more: Any) -> Told:
    return event, {"dest": dest, "right": "erasure", "state": state, "rung": rung, "told": has_it, "way": "api"} | more


DONE: tuple[Told, ...] = (
    told(EntryKind.APPLIED, "applied", 4),
    told(EntryKind.VERIFIED, "verified", 5),
    told(EntryKind.VERIFIED, "verified", 6),
)


def raw(
    story: Sequence[Told],
    names: Sequence[str] = (MAIL,),
    first: EntryKind = EntryKind.RECEIVED,
    remarks: dict[str, dict[str, str]] | None = None,
) -> bytes:
    """The signed file of a request, with one entry an hour."""
    said: dict[str, Any] = {"right": "erasure", "n": len(names), "list": entry.list_digest(names), "due": "2026-12-21"}
    said |= {"received": int(NOW.timestamp()), "subj": entry.commitment(COMMIT_KEY, EMAIL)}
    bodies = [
        entry.encode(event, NOW + number * timedelta(hours=1), req="r-one", **fields)
        for number, (event, fields) in enumerate([(first, said), *story])
    ]
    nodes: dict[tuple[int, int], bytes] = {}
    frontier: dict[int, bytes] = {}

    def take(level: int, idx: int, value: bytes) -> bytes:
        nodes[level, idx] = value
        return value

    merkle.grow(0, frontier, map(merkle.leaf_hash, bodies), take)
    proofs = [
        tuple(merkle.inclusion_proof(lambda level, idx: nodes[level, idx], idx, len(bodies)))
        for idx in range(len(bodies))
    ]
    root = merkle.frontier_root(frontier)
    value = receipt.build(
        checkpoint=note.sign(note.Checkpoint(SIGNER.verifier.name, len(bodies), root), SIGNER),
        signer=SIGNER,
        request_id="r-one",
        commit_key=COMMIT_KEY,
        processors=names,
        entries=[Logged(idx, body, proof) for idx, (body, proof) in enumerate(zip(bodies, proofs, strict=True))],
        evidence={},
        rehearsal=False,
        remarks=remarks,
    )
    return receipt.dump(value)


def page(story: Sequence[Told], can: Capability = SEEN, names: Sequence[str] = (MAIL,), **more: Any) -> PrintedReceipt:
    lines = capability_lines(dict.fromkeys(Right, can), {})
    known = {MAIL: ProcessorLine(MAIL, "Mailchimp, newsletter", lines)}
    about = BesideTheFile("Example Gardens", LONDON, datetime(2027, 1, 2, tzinfo=UTC), known, **more)
    return printed_receipt(raw(story, names), [SIGNER.verifier], about)


def test_it_says_who_was_told_what_each_said_what_we_saw_and_the_limits() -> None:
    printed = page(DONE)
    (place,) = printed.places
    assert printed.standing == "Done at 1 of 1 processor."
    assert place.told == "Since 20 Nov 2026, 10:00 GMT, through its interface."
    assert place.said == ("20 Nov 2026, 10:00 GMT: Mailchimp, newsletter says that it did it.",)
    (seen,) = place.seen
    assert seen.startswith("20 Nov 2026, 12:00 GMT: We looked at Mailchimp, newsletter ourselves: nobody is there any")
    assert seen.endswith(" more (2 times, first on 20 Nov 2026, 11:00 GMT).")
    assert place.limits == SEEN.limits
    assert printed.open_points == ()
    assert ("Last day by law", "Mon 21 Dec 2026") in printed.dates
    assert "Orders stay there &lt;and are old&gt;." in receipt_html(printed)


def test_the_limits_are_those_under_the_seal_and_not_those_of_today() -> None:
    known = {MAIL: ProcessorLine(MAIL, "Mailchimp", capability_lines(dict.fromkeys(Right, SEEN), {}))}
    about = BesideTheFile("Example Gardens", LONDON, datetime(2027, 1, 2, tzinfo=UTC), known)
    file = raw(DONE, remarks={MAIL: {"limits": "What it was then.", "open": ""}})
    assert printed_receipt(file, [SIGNER.verifier], about).places[0].limits == "What it was then."


@pytest.mark.parametrize(
    ("story", "point"),
    [
        ((), "still open (being told)"),
        (DONE[:1], "only a word that it is done. We did not see it"),
        (DONE[:2], "we saw it once"),
        ((told(EntryKind.DECLARED, "declared_done", 4, way="notice"),), "only a word"),
        ((*DONE, told(EntryKind.CONTRADICTED, "contradicted", 6, kind="finding")), "still open (said done, seen other"),
        ((told(EntryKind.SETTLED, "settled", 0, 0),), "does not count as done"),
        ((told(EntryKind.EXEMPTED, "exempt", 0, 0, cause="art19_impossible"),), "does not count as done"),
        ((told(EntryKind.WITHDRAWN, "withdrawn", 0, 0),), "does not count as done"),
        ((told(EntryKind.SUPERSEDED, "superseded", 0, 0),), "does not count as done"),
    ],
)
def test_whatever_nobody_saw_done_is_an_open_point(story: Sequence[Told], point: str) -> None:
    printed = page(story)
    assert point in printed.open_points[0]
    assert "Nothing: we saw it" not in receipt_html(printed)
    (place,) = printed.places
    done = place.cells[2] != "no"
    assert done is ("done" in place.cells[3] and "said done" not in place.cells[3])


@pytest.mark.parametrize(
    ("event", "state", "more", "said"),
    [
        (EntryKind.DECLARED, "declared_done", {"way": "notice"}, "newsletter said that it is done."),
        (EntryKind.DECLARED, "declared_done", {"way": "operator"}, "Our own operator says that it is done at"),
        (EntryKind.DECLARED, "declared_nothing_held", {"way": "notice"}, "said that it holds nothing about this"),
        (EntryKind.REFUSED, "refused", {"cause": "refused"}, "Mailchimp, newsletter refused."),
        (EntryKind.REFUSED, "refused", {}, "gave an answer that its documentation does not describe"),
        (EntryKind.ESCALATED, "escalated", {"cause": "partly"}, "only a part is done"),
        (EntryKind.ESCALATED, "escalated", {"cause": "wrong_recipient"}, "reached the wrong recipient"),
        (EntryKind.ESCALATED, "escalated", {}, "Nothing yet."),
        (EntryKind.BOUNCED, "escalated", {"cause": "5.1.1"}, "Our letter to Mailchimp, newsletter came back."),
        (EntryKind.NOTHING_HELD, "nothing_held", {}, "says that it holds nothing about this person"),
        (EntryKind.ACKNOWLEDGED, "contradicted", {"cause": "done"}, "said that it is done"),
        (EntryKind.REFUSED, "verified", {"kind": "finding"}, "Nothing yet."),
    ],
)
def test_what_a_processor_said_is_in_its_own_words_and_our_reading_is_not_its_word(
    event: EntryKind, state: str, more: dict[str, Any], said: str
) -> None:
    (place,) = page([told(event, state, 3, **more)]).places
    assert said in place.said[0]
    assert len(place.said) == 1


def test_where_we_cannot_look_it_says_so_and_that_it_has_a_word_only() -> None:
    (place,) = page(DONE[:1], UNSEEN).places
    assert place.seen == ("We cannot look there.",)
    assert page(DONE[:1]).places[0].seen == ("We have not looked there ourselves.",)


def test_what_came_back_was_not_told() -> None:
    (place,) = page([told(EntryKind.NOTICE_SENT, "accepted", 1), told(EntryKind.BOUNCED, "escalated", 1, 0)]).places
    assert place.cells[1] == "no"
    assert place.told.startswith("Not any more")


def test_a_processor_that_left_the_settings_is_on_the_page_by_its_name() -> None:
    printed = page(DONE, names=(MAIL, "left"))
    assert printed.standing == "Still open at 1 of 2 processors."
    assert printed.places[0].title == "left"
    assert "not in the settings any more" in printed.places[0].limits


def test_it_names_nobody_unless_somebody_gives_the_address_that_fits() -> None:
    printed = page(DONE)
    assert EMAIL not in receipt_html(printed)
    assert COMMIT_KEY.hex() not in receipt_html(printed)
    assert EMAIL not in repr(page(DONE, email=EMAIL))
    assert f"<strong>{EMAIL.upper()}</strong>" in receipt_html(page(DONE, email=EMAIL.upper()))
    with pytest.raises(NotFound, match="about another address"):
        page(DONE, email="ben@example.org")


def test_a_page_of_before_the_request_was_forgotten_says_so() -> None:
    gone = datetime(2027, 1, 1, tzinfo=UTC)
    assert "destroyed on 1 Jan 2027, 00:00 GMT" in receipt_html(page(DONE, forgotten_at=gone))


def test_the_file_is_checked_before_a_page_is_made_of_it() -> None:
    good, about = raw(DONE), BesideTheFile("Example Gardens", LONDON, NOW, {})
    other = note.Signer.from_seed(SIGNER.verifier.name, bytes(range(1, 33)))
    for spoilt, key in ((good.replace(b"r-one", b"r-two"), SIGNER), (good, other)):
        with pytest.raises(LedgerTampered, match="does not hold"):
            printed_receipt(spoilt, [key.verifier], about)
