"""What `dpsync check` sees of the door for controllers that hand over by OpenDSR: its certificate, and its host."""

from collections.abc import Iterator

from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.connector import Reply
from dpsync.connector_services import NoAnswer
from dpsync.errors import ConfigurationError
from dpsync.installation import Installation
from dpsync.intake.opendsr.certificate import SigningPair, days_left, doubts, load
from dpsync.intake.opendsr.door import BASE
from dpsync.opendsr_protocol import DISCOVERY, is_signed_by, who_signed
from dpsync.reports.words import several
from dpsync.running.opendsr_certificate import CODE
from dpsync.settings.opendsr import OpenDsrSection

WHAT = "opendsr"


def opendsr_lines(there: Installation, *, offline: bool) -> Iterator[CheckLine]:
    """Whether answers can be signed and for how long still, who hears of what is handed over, and who answers there."""
    section = there.settings.opendsr
    if section is None:
        return
    try:
        pair = load(section)
    except ConfigurationError as error:
        text = "; ".join(f"{fault.key}: {fault.problem}" for fault in error.faults)
        yield CheckLine(WHAT, CheckResult.PROBLEM, text, error.code, fatal=True)
        return
    found = doubts(section, pair, there.clock.now())
    for problem in found:
        yield CheckLine(WHAT, CheckResult.PROBLEM, f"the certificate {problem}", CODE)
    if not found:
        left = several(days_left(pair, there.clock.now()), "day")
        yield CheckLine(WHAT, CheckResult.OK, f"the certificate is for {section.domain}, and valid for {left}")
    title, asking = there.settings.processors[section.main_database].title, ", ".join(section.controllers)
    text = f"asked by {asking}. {title} hears of nothing else: what main databases ask does not go there"
    yield CheckLine(WHAT, CheckResult.OK, text)
    if not (offline or there.settings.controller.rehearsal):
        yield _host(there, section, pair)


def _host(there: Installation, section: OpenDsrSection, pair: SigningPair) -> CheckLine:
    """Whether it is dpsync that answers at the host that the certificate is for."""
    url = f"https://{section.domain}{BASE}{DISCOVERY}"
    try:
        reply = there.http.call("GET", url, template=f"{BASE}{DISCOVERY}", headers={})
    except NoAnswer as nothing:
        text = f"{url} does not answer ({nothing.reason}): let your proxy pass that host on to dpsync"
        return CheckLine(WHAT, CheckResult.WAITING, text)
    return judged(url, section, pair, reply)


def judged(url: str, section: OpenDsrSection, pair: SigningPair, reply: Reply) -> CheckLine:
    """Whose answer it is that came from there."""
    signed, key = who_signed(reply.headers), pair.key.public_key()
    if signed and signed.domain == section.domain and is_signed_by(key, reply.body, signed.signature):
        return CheckLine(WHAT, CheckResult.OK, f"{url} answers, and is signed by this certificate")
    text = f"{url} is answered by somebody else, or under another certificate: see where your proxy leads"
    return CheckLine(WHAT, CheckResult.PROBLEM, text, CODE)
