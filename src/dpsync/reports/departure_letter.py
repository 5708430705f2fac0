"""The letter that instructs a processor which leaves, as ready text (Art. 28(3)(g)). Pure; it names no data subject."""

from collections.abc import Iterator
from datetime import date

from dpsync.mail import long_day
from dpsync.reports.register import Register, RegisterLine


def departure_letter(register: Register, line: RegisterLine, last_day: date, today: date) -> str:
    """The text, which ends with a line feed. A person sends it."""
    blocks = list(_blocks(register, line, last_day, today))
    rehearsal = ["REHEARSAL: nothing of this is real."] if register.rehearsal else []
    return "\n\n".join([blocks[0], *rehearsal, *blocks[1:]]) + "\n"


def _blocks(register: Register, line: RegisterLine, last_day: date, today: date) -> Iterator[str]:
    of = f" of {long_day(line.contract_on)}" if line.contract_on else ""
    yield f"The end of our contract, and the data that you hold for us: {line.title}"
    yield long_day(today)
    over = last_day < today
    until = "" if over else " Until then, please go on carrying out our instructions about single people."
    yield f"Our contract{of} {'ended' if over else 'ends'} on {long_day(last_day)}.{until}"
    when = "now" if over else "when the contract ends"
    yield (
        f"We instruct you to delete all personal data that you hold for us {when}. Where we have agreed that you "
        "return them, return them first (Art. 28(3)(g) UK GDPR and GDPR). This includes:"
    )
    yield "\n".join(
        (
            "- live data, such as accounts, lists, contacts and submitted forms",
            "- copies, such as exports, emails and test systems",
            "- logs",
            "- back-ups: please say when the last one that holds our data expires",
            "- what you passed on to others who work for you: please instruct them, and tell us who they are",
        )
    )
    if line.data or line.people:
        held = "; ".join(filter(None, (", ".join(line.data), f"of {', '.join(line.people)}" if line.people else "")))
        yield f"As far as we know, you hold for us: {held}."
    yield (
        f"Please confirm to {register.dpo} in writing that this is done, and when. If a law makes you keep anything, "
        "please tell us what, which law it is, and until when."
    )
    yield register.controller
