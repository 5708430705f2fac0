"""What somebody filled in on the page of a decision: read, and what keeps it from being recorded."""

from dpsync.cases.values import Channel
from dpsync.intake.decision_links import Given
from dpsync.intake.remedies import Remedy
from dpsync.intake.typed import LONGEST_NAME, day_of, letter_problem, one_of, plain, too_long
from dpsync.intake.whole import WITH_A_DAY, ToldBefore, Whole
from dpsync.propagation.telling import LetterKind

AT = "at."
"""What the name of a field begins with that is about one processor."""

TO = "to."
"""The same for the address of its contact."""


def given_of(sent: dict[str, str]) -> Given:
    """What the fields of the form say; a value that the page does not have counts as nothing."""
    known = {one.value: one for one in Remedy}
    at = {field.removeprefix(AT): known[said] for field, said in sent.items() if field.startswith(AT) and said in known}
    day = day_of(sent.get("told_on", ""))
    return Given(
        whole=one_of(Whole, sent.get("choice", "")),
        name=" ".join(plain(sent.get("name", "")).split()),
        reason=plain(sent.get("reason", "")),
        remedies=at,
        told=ToldBefore(day, plain(sent.get("how", "")), *_letter(sent)) if day else None,
        contacts={field.removeprefix(TO): plain(said) for field, said in sent.items() if field.startswith(TO)},
    )


def problem_of(given: Given, sent: dict[str, str]) -> str:
    """What keeps it from being recorded, as a sentence to the person; "" where nothing does."""
    if given.whole is None and not given.remedies:
        return "Please choose one of them."
    if given.whole and given.remedies:
        return "Please decide either about the whole request, or about single processors."
    if not given.name:
        return "Please type your name."
    if not given.reason:
        return "Please say why."
    if given.whole is Whole.RELEASE and sent.get("sure") != "yes":
        return "Please tick that you have checked it."
    if any(one is Remedy.NAME and not given.contacts.get(at) for at, one in given.remedies.items()):
        return "Please type the address of the contact."
    return _told_problem(given) or too_long(given.name, given.reason)


def _told_problem(given: Given) -> str:
    if given.told and (problem := letter_problem(given.told.text)):
        return problem
    if given.whole in WITH_A_DAY and given.told is None:
        did = "consented anew" if given.whole is Whole.WELCOME else "was told"
        return f"Please give the day on which the person {did}."
    if given.whole is Whole.TOLD and given.told and not (given.told.letter and given.told.channel):
        return "Please say which letter it was, and how it went."
    if given.whole is Whole.ACKNOWLEDGE and given.told and not given.told.channel:
        return "Please say how the person was told."
    if given.whole is Whole.LIFT and given.told and not 0 < len(given.told.how) <= LONGEST_NAME:
        return f"Please say how the person was told, in at most {LONGEST_NAME} characters."
    return ""


def _letter(sent: dict[str, str]) -> tuple[LetterKind | None, Channel | None, str]:
    kind, channel = one_of(LetterKind, sent.get("letter", "")), one_of(Channel, sent.get("channel", ""))
    return kind, channel, plain(sent.get("text", ""))
