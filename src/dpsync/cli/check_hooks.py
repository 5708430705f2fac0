"""What `dpsync check` sees of the webhooks by which processors tell of people who opt out there."""

from collections.abc import Collection, Iterator
from typing import Final

from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.errors import ConfigurationError
from dpsync.installation import Installation
from dpsync.intake.vendor_hooks import HookState, OurHook, VendorHooks, with_hooks
from dpsync.reports.words import several

CODE: Final = "DP-327"


def hook_lines(there: Installation, asked: Collection[str]) -> Iterator[CheckLine]:
    """Of each that has an `inbound_secret` and whose vendor can be asked: whether ours are registered.

    `asked`: the processors of which nothing worse is said already.
    """
    for name in with_hooks(there.settings):
        if name not in asked or there.settings.processors[name].inbound_secret is None:
            continue
        try:
            found = VendorHooks(there, name).listed()
        except ConfigurationError:
            continue  # what is not set here has a line of its own
        yield _line(name, found)


def _line(name: str, found: list[OurHook]) -> CheckLine:
    what = f"processor {name}, webhooks"
    bad = [one for one in found if one.state is not HookState.REGISTERED]
    if not bad:
        return CheckLine(what, CheckResult.OK, f"registered in {several(len(found), 'list')}")
    states = sorted({": ".join(filter(None, (one.state.value, one.why))) for one in bad})
    where = f"in {several(len(bad), 'list')} of {len(found):,}" if all(one.place for one in bad) else "there"
    text = f"{where} {'; '.join(states)}. See `dpsync hooks list {name}`"
    return CheckLine(what, CheckResult.PROBLEM, text, CODE)
