"""What an alert about a propagation says: to whom, in one line, in full, and the command to type. No personal data.

A command works as it stands, once NAME and WHY are filled in. Where an answer is to be recorded it says `received`:
pasted unchanged, that makes nothing done.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.mail_status import is_undelivered
from dpsync.propagation.controller import Controller
from dpsync.propagation.mail_host_texts import ABOUT_OUR_MAIL, ABOUT_US

_BY = "--by NAME --reason WHY"
_RETRY = f"dpsync retry {{request}} {{processor}} {_BY}"
_SETTLE = f"dpsync settle {{request}} {{processor}} {_BY}"
_ACKNOWLEDGE = f"dpsync acknowledge {{request}} {{processor}} --answer received {_BY}"
_DOSSIER = "dpsync dossier {request}"
_RELEASE_CONTACT = f"dpsync release {{request}} {{processor}} --cause contact_unverified {_BY}"
_ASK_CONTACT = "dpsync check --ask-contact {processor}"

ALERTS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "not_identifiable": (
        "operator",
        "A processor cannot find the person with what we know",
        "The processor understands none of our identifiers. Tell it in another way, then settle the request.",
        (_SETTLE,),
    ),
    "refused": (
        "operator",
        "A processor refused, or gave an unknown answer",
        "Look at the evidence in the dossier. Then write to the processor, or try again.",
        (_DOSSIER, _RETRY),
    ),
    "contradicted": (
        "dpo",
        "A processor says done, but we looked and it is not",
        "dpsync looks once more within the hour. If this stays so, write to the processor, then try again.",
        (_RETRY,),
    ),
    "undone": (
        "operator",
        "A processor accepts a request, but does not carry it out",
        "Each attempt ended in doubt, and we saw that it is not done. dpsync keeps trying. Write to the processor.",
        (_DOSSIER,),
    ),
    "partly": (
        "dpo",
        "A processor did only part of what was asked",
        (
            "Read its remark in the dossier, and write to the processor. When you know the outcome, record it: "
            "--answer done, nothing_held or refused, or received if they only promise."
        ),
        (_ACKNOWLEDGE,),
    ),
    "taken_back": (
        "dpo",
        "A processor said done, and now says otherwise",
        (
            "Both answers are on the record. If only their word had closed the request, it is open again: write to "
            "the processor, then record the outcome, try again (`dpsync retry --help`) or settle it. If we saw it "
            "ourselves, or the processor's interface showed it, the request stays closed. If it was not done after "
            "all, submit a new request: see `dpsync submit --help`."
        ),
        (_DOSSIER,),
    ),
    "letter_lost": (
        "operator",
        "A notice did not arrive, but there is an answer to it",
        (
            "The answer came in another way, and it counts. But the letter reached nobody. Make sure that whoever "
            "answered has the request in writing. Correct the contact in the settings before the next letter."
        ),
        (_DOSSIER,),
    ),
    "earlier_address": (
        "dpo",
        "A processor may hold a person under an earlier address",
        "An older change came in late. dpsync asks again under both addresses, but not where what was asked is gone.",
        (_DOSSIER,),
    ),
    "wrong_recipient": (
        "operator",
        "A contact says that they are the wrong recipient",
        "The processor has not been told. Correct the contact in the settings, restart, and send the letter again.",
        (_RETRY,),
    ),
    "bounced": (
        "operator",
        "A notice could not be delivered",
        (
            "Correct the contact in the settings and restart. If a rule or the size was the reason, ask the people "
            "who run our mail. Then tell the processor again, or write to it by post."
        ),
        (_RETRY,),
    ),
    "delayed": (
        "operator",
        "A notice is delayed",
        "The mail host is still trying to deliver it. If the legal date is near, telephone the processor.",
        (_DOSSIER,),
    ),
    "replied": (
        "operator",
        "Somebody replied to a notice by email",
        (
            "Read it in the folder that `dpsync check` names. Then record what it says: --answer done, nothing_held, "
            "partly, refused or wrong_recipient, or received if they only promise. Until you record it, the reply "
            "does not count."
        ),
        (_ACKNOWLEDGE,),
    ),
    "unclear": (
        "operator",
        "A notice may not have been delivered",
        (
            "A mail system, or a machine that dpsync does not know, wrote back. Read the message in the folder that "
            "`dpsync check` names. Then record what it says (`dpsync acknowledge --help`). If the notice came back, "
            "use --answer bounced."
        ),
        (_DOSSIER,),
    ),
    "no_answer": (
        "dpo",
        "A processor has not answered in time",
        (
            "Silence does not mean done. Write or telephone, then record what they say: --answer done, nothing_held, "
            "partly, refused or wrong_recipient, or received if they only promise."
        ),
        (_ACKNOWLEDGE,),
    ),
    "contact_unverified": (
        "operator",
        "A notice waits for its contact to confirm the address",
        (
            "dpsync sends nothing about a person until the contact confirms the address. It asks them by email, but "
            "only if [mail] and [intake] public_url are set. Telephone them, or send the email again. If you have "
            "confirmed the address in another way, release the notice, and say how in --reason."
        ),
        (_ASK_CONTACT, _RELEASE_CONTACT),
    ),
    "older_letter": (
        "operator",
        "A processor answered an older letter",
        "It has been asked again since, so this closes nothing. If it answers that too: `dpsync acknowledge --help`.",
        (_DOSSIER,),
    ),
    "withdrawn_in_doubt": (
        "dpo",
        "Withdrawn, but some of it may have been done",
        (
            "The request was withdrawn, or replaced by a newer one, while dpsync was sending it. All or part of it may "
            "have been done. Ask the processor. An erasure by mistake is a personal-data breach (Art. 4(12))."
        ),
        (_DOSSIER,),
    ),
    "quarantine": (
        "operator",
        "dpsync gave up on a request at one processor after five faults",
        "dpsync itself failed on it. Update dpsync or report the fault, then try again.",
        (_RETRY,),
    ),
    "defect": (
        "operator",
        "A fault of dpsync at one processor",
        "dpsync tries again. After five faults it gives up, and tells you.",
        (_DOSSIER,),
    ),
    "blocked": (
        "operator",
        "Something blocks us before the processor",
        (
            "DP-214: for most of an hour, no answer came from the processor itself. Something in between answers in "
            "its place, or shows a certificate that is not accepted: a firewall, a proxy, a sign-in page, or the "
            "processor's own gateway, which blocks this machine's address. No attempt was counted. All its requests "
            "wait, and dpsync keeps trying. Have the address unblocked, then check."
        ),
        ("dpsync check",),
    ),
    "misplaced": (
        "operator",
        "The settings name what a processor's account does not have",
        "An audience, list or client. What else is there is told. Correct the section, restart, then check.",
        ("dpsync check",),
    ),
    "unopened": (
        "operator",
        "A request cannot be opened, and waits",
        (
            "What was sealed for the request does not open with its key: the row was damaged, or the key is the wrong "
            "one. All other requests go on. dpsync tries this one again every hour, and its legal dates run. `dpsync "
            "verify` names each such request. Restore the row from a back-up. Or have the request sent again under "
            "another id, then withdraw this one."
        ),
        (_DOSSIER,),
    ),
    "unconfigured": (
        "operator",
        "A request waits for a processor that is no longer configured",
        "Put the processor's section back into the settings, or settle what waits there and say why.",
        (_SETTLE,),
    ),
    "credential": (
        "operator",
        "A processor rejects our credential",
        "dpsync has stopped the account, and counts no attempt. Put a valid key in place, restart, then resume.",
        ("dpsync resume {processor}",),
    ),
    **ABOUT_OUR_MAIL,
}

AT_ONCE = frozenset({"credential", "blocked", "misplaced"})
"""What is about a whole account is told at once, and once: there are few."""


@dataclass(frozen=True, slots=True)
class AlertText:
    """What an alert says: to whom, in one line, in full, and for the one that it is about."""

    role: str
    subject: str
    body: str
    concern: Concern
    at_once: bool = False


def alert_text(cause: str, request_id: str, processor: str, title: str, reason: str = "") -> AlertText:
    """What is said of one propagation; `processor`: its name in the settings; `reason`: a phrase of ours."""
    role, subject, body, commands = ALERTS[cause]
    typed = ", ".join(f"`{one.format(request=request_id, processor=processor)}`" for one in commands)
    why = f"{reason}. " if reason and (is_undelivered(reason) or cause in ABOUT_US) else ""
    concern = Concern(f"{request_id}/{processor}", f"{title}, request {request_id}: {why}{typed}", title)
    if cause in AT_ONCE:
        concern = replace(concern, about=processor)
    if cause in ABOUT_US:
        concern = Concern(reason, f"{why}First seen at request {request_id}: {typed}")
    return AlertText(role, subject, f"{body} `dpsync status` shows everything that waits.", concern, cause in AT_ONCE)


def alert(
    connection: Connection,
    controller: Controller,
    cause: str,
    request_id: str,
    processor: str,
    now: datetime,
    *,
    title: str = "",
    reason: str = "",
) -> None:
    """Tell of one propagation; all of one cause are one alert a day. `title`: where `processor` is an account."""
    text = alert_text(cause, request_id, processor, title or controller.title_of(processor), reason)
    _raise(connection, controller, cause, text, now)


def alert_about_us(connection: Connection, controller: Controller, cause: str, reason: str, now: datetime) -> None:
    """Tell of what no processor has a part in, where no request need be concerned: one alert a day for each reason."""
    role, subject, body, commands = ALERTS[cause]
    concern = Concern(reason, f"{reason[0].upper()}{reason[1:]}: `{commands[0]}`")
    _raise(connection, controller, cause, AlertText(role, subject, body, concern), now)


def _raise(connection: Connection, controller: Controller, cause: str, text: AlertText, now: datetime) -> None:
    raise_alert(
        connection,
        cause=AlertCause(cause),
        role=text.role,
        subject=text.subject,
        body=text.body,
        now=now,
        zone=controller.zone,
        concerns=[text.concern],
        at_once=text.at_once,
    )
