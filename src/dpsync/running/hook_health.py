"""Tells the operator where no webhook tells dpsync any more of people who opt out there.

Vendors give webhooks up, and say so nowhere; people change secrets, and make new lists. So each is asked once a day.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, told_of
from dpsync.installation import Installation
from dpsync.intake.vendor_hooks import HookState, OurHook, VendorHooks, with_hooks
from dpsync.store import tables as t

_AGAIN: Final = timedelta(days=6)


def watch(there: Installation, now: datetime) -> None:
    """Each morning, of each processor that is to tell: where ours is not registered, or nobody can say."""
    stopped = there.read(lambda connection: set(connection.execute(_STOPPED).scalars()))
    found: dict[str, str] = {}
    for name in with_hooks(there.settings):
        heard = there.settings.processors[name].inbound_secret is not None
        if not heard or there.controller.processors[name].account in stopped:
            continue
        if bad := [one for one in VendorHooks(there, name).listed() if one.state is not HookState.REGISTERED]:
            found[name] = f"{there.controller.title_of(name)} ({name}): {'; '.join(sorted({*map(_said, bad)}))}"
    cause = AlertCause.HOOK_LOST
    told = there.read(lambda connection: told_of(connection, cause, sorted(found), now, there.zone, back=_AGAIN))
    if concerns := [Concern(name, text) for name, text in found.items() if name not in told]:
        there.tell(
            cause=cause,
            role="operator",
            subject="A processor does not tell dpsync of people who opt out there",
            body="Whoever leaves there meanwhile gets mail from all others until the next sweep finds it, if there is "
            "one. `dpsync hooks list` shows where. `dpsync hooks register` puts it right.",
            now=now,
            concerns=concerns,
        )


_STOPPED: Final = select(t.account.c.id).where(t.account.c.stopped != "")


def _said(one: OurHook) -> str:
    where = f"in {one.title or one.place} " if one.place else ""
    return f"{where}{one.state.value}" + (f", {one.why}" if one.why else "")
