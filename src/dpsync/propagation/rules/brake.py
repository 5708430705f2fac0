"""The brake: what cannot be undone is never done in bulk by accident. Pure.

It stands on every door, the webhook, the import, the sweep, recovery and a person at the keyboard alike. A CRM bug or a
stolen secret comes through the webhook; a wrong column through the import; a wrong roster through the sweep; a replayed
journal through recovery. A door without it would be the one that the accident takes.
"""

from datetime import timedelta
from typing import assert_never

from dpsync.model import Request, Right

WINDOW = timedelta(hours=24)
"""What is counted against an account: all that `counts` and was let through in the last 24 hours."""


def must_hold(counted: int, limit: int) -> bool:
    """Whether the next one is held, when `counted` were let through in the window and `limit` may be (0: none)."""
    return counted >= limit


def counts(request: Request) -> bool:
    """Whether a request is counted: an erasure, an opt-out or a change of address.

    An erasure destroys. An opt-out ends what the person can only begin again by their own act: Mailchimp never
    lets us re-subscribe. A change of address hands a person's mail to another one; in bulk that is a diversion.
    """
    match request.right:
        case Right.ERASURE | Right.OPT_OUT:
            return True
        case Right.RECTIFICATION:
            return request.changes is not None and request.changes.email is not None
        case Right.RESTRICTION:
            return False
        case _:
            assert_never(request.right)
