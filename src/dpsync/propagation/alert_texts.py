"""What an alert about a propagation says: to whom, in one line, in full, and the command to type. No personal data.

A command works as it stands, once NAME and WHY are filled in. Where an answer is to be recorded it says `received`:
pasted unchanged, that makes nothing done.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from dpsync.alerts import Concern, raise_alert
from dpsync.mail_status import is_undelivered
from dpsync.propagation.controller import Controller

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
        "A processor cannot find the person with what we have",
        "None of the identifiers is one this processor understands. Tell it in another way, then settle it.",
        (_SETTLE,),
    ),
    "refused": (
        "operator",
        "A processor refused, or answered in no documented way",
        "It said no: look at the evidence in the dossier; write to it, or try again.",
        (_DOSSIER, _RETRY),
    ),
    "contradicted": (
        "dpo",
        "A processor says done, our own reading says otherwise",
        (
            "What was declared is not so. It is read once more within the hour; then write to the processor, and try "
            "again."
        ),
        (_RETRY,),
    ),
    "undone": (
        "operator",
        "A processor takes what it is asked, and it stays undone",
        (
            "Each try ended in doubt, and our own reading shows that it is not so. It is tried on. Look at the "
            "dossier, and write to the processor."
        ),
        (_DOSSIER,),
    ),
    "partly": (
        "dpo",
        "A processor did only part of what was asked",
        (
            "Read its remark, write to it, and record the outcome when it is known: --answer done, nothing_held, "
            "refused, or received where it only promised."
        ),
        (_ACKNOWLEDGE,),
    ),
    "taken_back": (
        "dpo",
        "A processor said done, and now says otherwise",
        (
            "Both stand in the record. Where only their word had closed it, it is open again: write to the processor, "
            "then record the outcome, try again (`dpsync retry --help`) or settle it. What our own reading or its "
            "interface showed stays; if it was not done all the same, ask anew: `dpsync submit --help` shows how."
        ),
        (_DOSSIER,),
    ),
    "letter_lost": (
        "operator",
        "A notice did not arrive, though an answer to it is on record",
        (
            "The answer came another way, and stands. The letter itself reached nobody: see that whoever answered has "
            "in writing what was asked, and correct the contact in the settings before the next one."
        ),
        (_DOSSIER,),
    ),
    "wrong_recipient": (
        "operator",
        "A contact says that the notice reached the wrong desk",
        "The processor is not told. Find the right contact, correct it in the settings, restart, and tell it again.",
        (_RETRY,),
    ),
    "bounced": (
        "operator",
        "A notice could not be delivered",
        (
            "Correct the contact in the settings, or see with whoever runs our mail why a rule or the size refused "
            "it; restart, and tell it again; or write a letter."
        ),
        (_RETRY,),
    ),
    "delayed": (
        "operator",
        "A notice is delayed on its way",
        "Its mail host still tries, and has not said yes or no. If the date is near, telephone.",
        (_DOSSIER,),
    ),
    "replied": (
        "operator",
        "Somebody replied to a notice by mail",
        (
            "Read it in the folder that `dpsync check` names, then record what it says: --answer done, nothing_held, "
            "partly, refused, wrong_recipient, or received where it only promised. No word of it counts by itself."
        ),
        (_ACKNOWLEDGE,),
    ),
    "unclear": (
        "operator",
        "A notice may not have been delivered",
        (
            "A mail system, or a machine that we cannot place, wrote back. Read it in the folder that `dpsync check` "
            "names; then record what it says: `dpsync acknowledge --help`, with --answer bounced where it came back."
        ),
        (_DOSSIER,),
    ),
    "no_answer": (
        "dpo",
        "A processor has not answered in time",
        (
            "Silence is not success. Write or telephone, then record what was said: --answer done, nothing_held, "
            "partly, refused, wrong_recipient, or received where it only promised."
        ),
        (_ACKNOWLEDGE,),
    ),
    "contact_unverified": (
        "operator",
        "A notice waits for its contact to confirm itself",
        (
            "Before its contact confirms, nothing about a person is sent. It is asked by mail only where [mail] and "
            "[intake] public_url are set. Telephone it, or mail it again. If you have confirmed the address in another "
            "way, release it, and say how in --reason."
        ),
        (_ASK_CONTACT, _RELEASE_CONTACT),
    ),
    "older_letter": (
        "operator",
        "A processor answered an older letter",
        "It was asked again since, so this closes nothing. If it holds for the new letter too, acknowledge it.",
        (_DOSSIER,),
    ),
    "withdrawn_in_doubt": (
        "dpo",
        "Called off, but some of it may have gone",
        (
            "It was withdrawn, or overtaken by a newer request, while it was under way: it may have happened there, or "
            "a part of it. Look; a mistaken erasure is a personal-data breach (Art. 4(12))."
        ),
        (_DOSSIER,),
    ),
    "quarantine": (
        "operator",
        "A propagation was set aside after five defects",
        "dpsync itself failed on it. Update or report the fault, then try again.",
        (_RETRY,),
    ),
    "defect": (
        "operator",
        "A defect of dpsync on one propagation",
        "It is tried again, and set aside after five times.",
        (_DOSSIER,),
    ),
    "blocked": (
        "operator",
        "Blocked before the processor",
        (
            "DP-214: for most of an hour no answer was the processor's own. Something before it denies this machine's "
            "address, or asks something of it: a firewall, a proxy, a page to sign in to, the processor's own gateway. "
            "No request was charged with it; all wait and are tried on. Have it unblocked; see how it answers."
        ),
        ("dpsync check",),
    ),
    "unopened": (
        "operator",
        "A request cannot be opened, and waits",
        (
            "What was sealed for {request} does not open with its key: the row was damaged, or the key is another one. "
            "All others go on; this one is tried again every hour, its legal dates run. `dpsync verify` names each; "
            "restore the row from a back-up, or have the request sent again under another id, then withdraw this one."
        ),
        (_DOSSIER,),
    ),
    "unconfigured": (
        "operator",
        "A request waits for a processor that is no longer configured",
        "Put its section back, or settle what waits there with the reason.",
        (_SETTLE,),
    ),
    "credential": (
        "operator",
        "A processor rejects our credential",
        "Its account is stopped; no request was charged an attempt. Put the right key in place, restart, then go on.",
        ("dpsync resume {processor}",),
    ),
    "mail_credential": (
        "operator",
        "Our own mail host rejects our password",
        (
            "DP-303: letters, and alerts by mail, wait and are tried again; no processor's account is stopped. Put the "
            "right password in place ([mail] password), restart, then look."
        ),
        ("dpsync check",),
    ),
    "mail_refused": (
        "operator",
        "Our own mail host does not take our mail",
        (
            "DP-303: no processor has refused anything; letters wait and are tried again. See that the mail host takes "
            "the envelope senders bounce+TAG of the domain in [mail] from, relays for us, and takes mail of this size. "
            "Then look."
        ),
        ("dpsync check --send-test",),
    ),
}


ABOUT_US = frozenset({"mail_credential", "mail_refused"})
"""What no processor has a part in: each reason told once a day, however many letters wait for it."""

AT_ONCE = frozenset({"credential", "blocked"})
"""What stops a whole account is told at once, and once: there are few."""


@dataclass(frozen=True, slots=True)
class AlertText:
    """What an alert says: to whom, in one line, in full, and for the one that it is about."""

    role: str
    subject: str
    body: str
    concern: Concern
    at_once: bool = False


def alert_text(cause: str, request_id: str, processor: str, title: str, reason: str = "") -> AlertText:
    """What is said of one propagation; `processor` is its name in the settings, `title` what people call it.

    `reason`: a phrase of ours.
    """
    role, subject, body, commands = ALERTS[cause]
    typed = ", ".join(f"`{one.format(request=request_id, processor=processor)}`" for one in commands)
    why = f"{reason}. " if reason and (is_undelivered(reason) or cause in ABOUT_US) else ""
    text = f"{title}, request {request_id}: {why}{typed}"
    concern = Concern(f"{request_id}/{processor}", text, title)
    if cause in AT_ONCE:
        concern = replace(concern, about=processor)
    if cause in ABOUT_US:
        concern = Concern(reason, f"{why}First seen at request {request_id}: {typed}")
    return AlertText(role, subject, f"{body} `dpsync status` shows all that waits.", concern, cause in AT_ONCE)


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
        cause=cause,
        role=text.role,
        subject=text.subject,
        body=text.body,
        now=now,
        zone=controller.zone,
        concerns=[text.concern],
        at_once=text.at_once,
    )
