"""What is told by the clock of what the proof needs besides the ledger: the keys, and a fresh checkpoint outside."""

from contextlib import suppress
from datetime import datetime, timedelta

from dpsync.alert_causes import AlertCause
from dpsync.custody.marks import anchored_at
from dpsync.errors import ProofDamaged
from dpsync.installation import Installation
from dpsync.soundness import key_problems

OLDEST_ANCHOR = timedelta(days=2)
"""There is one a day, and one after each request that closes."""


def tell_of_keys(installation: Installation, now: datetime) -> None:
    """A key that goes while the service runs is told at once: from then on nothing is accepted."""
    if not (problems := key_problems(installation)):
        return
    installation.tell(
        cause=AlertCause.KEYS,
        role="operator",
        subject="A key is lost or is the wrong one: dpsync accepts no request",
        body=f"{'; '.join(problems)}. Run `dpsync check`.",
        now=now,
    )


def tell_of_old_anchor(installation: Installation, now: datetime) -> None:
    """An anchor of the day before yesterday is told of: what was recorded since rests on our own word alone."""
    at = installation.read(anchored_at)
    if at is None or now - at <= OLDEST_ANCHOR:
        return
    # A service that was off for days has its checkpoint of this morning still before it.
    with suppress(ProofDamaged):
        installation.anchor(now)
    at = installation.read(anchored_at)
    if at is None or now - at <= OLDEST_ANCHOR:
        return
    installation.tell(
        cause=AlertCause.ANCHOR,
        role="operator",
        subject="No checkpoint was kept outside the database for two days",
        body=f"The newest is of {at.astimezone(installation.zone):%d %b %Y %H:%M}. Until there is a newer one, "
        "nobody else can show what was recorded since. Look whether the folder of [ledger] anchor can be written, "
        "and run `dpsync verify`.",
        now=now,
    )
