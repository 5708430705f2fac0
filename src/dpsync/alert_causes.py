"""What alerts tell of: a fixed word for each cause. `dpsync explain WORD` and docs/runbook.md say what to do."""

from contextlib import suppress
from enum import StrEnum


class AlertCause(StrEnum):
    """What an alert tells of. The runbook has an entry for each, and for no other."""

    NOT_IDENTIFIABLE = "not_identifiable"
    REFUSED = "refused"
    CONTRADICTED = "contradicted"
    UNDONE = "undone"
    PARTLY = "partly"
    TAKEN_BACK = "taken_back"
    LETTER_LOST = "letter_lost"
    EARLIER_ADDRESS = "earlier_address"
    WRONG_RECIPIENT = "wrong_recipient"
    BOUNCED = "bounced"
    DELAYED = "delayed"
    REPLIED = "replied"
    UNCLEAR = "unclear"
    NO_ANSWER = "no_answer"
    CONTACT_UNVERIFIED = "contact_unverified"
    OLDER_LETTER = "older_letter"
    WITHDRAWN_IN_DOUBT = "withdrawn_in_doubt"
    QUARANTINE = "quarantine"
    DEFECT = "defect"
    BLOCKED = "blocked"
    MISPLACED = "misplaced"
    UNOPENED = "unopened"
    UNCONFIGURED = "unconfigured"
    CREDENTIAL = "credential"
    MAIL_CREDENTIAL = "mail_credential"
    MAIL_REFUSED = "mail_refused"

    HELD = "held"
    LIFTED_WITH_ERASURE_HELD = "lifted-with-erasure-held"
    WITHDRAWN_TOO_LATE = "withdrawn_too_late"
    OBSERVED = "observed"
    MERGE_HELD = "merge-held"
    MERGED_OPT_OUT = "merged-opt-out"
    OBSERVED_UNUSABLE = "observed-unusable"
    REQUESTS_REFUSED = "requests-refused"
    EVENT_CONFLICT = "event-conflict"
    CALLBACK_GONE = "callback-gone"
    CALLBACK_REFUSED = "callback-refused"
    CALLBACK_OVERDUE = "callback-overdue"
    CALLBACK_GIVEN_UP = "callback-given-up"
    OUTBOX_AWAY = "outbox-away"
    OUTBOX_CHANGED = "outbox-changed"
    MISSED_BY_MESSAGE = "missed-by-message"
    SOURCE_DIFFERS = "source-differs"
    ERASED_RETURNED = "erased-returned"
    NOT_RECONCILED = "not-reconciled"
    BACK_AT_PROCESSOR = "back-at-processor"
    NOT_SWEPT = "not-swept"

    OPT_OUT_4H = "opt-out-4h"
    OPT_OUT_12H = "opt-out-12h"
    OPT_OUT_OVERDUE = "opt-out-overdue"
    TARGET = "target"
    TARGET_DPO = "target-dpo"
    DAY_7 = "day-7"
    NEAR = "near"
    OVERDUE = "overdue"

    LETTER_NEAR = "letter-near"
    LETTER_LATE = "letter-late"
    COMPLAINT_7 = "complaint-7"
    COMPLAINT_20 = "complaint-20"
    COMPLAINT_25 = "complaint-25"
    COMPLAINT_SILENT = "complaint-silent"
    INCIDENT_PROPOSED = "incident-proposed"
    INCIDENT_48H = "incident-48h"
    INCIDENT_72H = "incident-72h"
    CASE_RECORDED = "case-recorded"

    CONTACT_NAMED = "contact-named"
    CONTACT_COUNTS = "contact-counts"
    CONTACT_BOUNCED = "contact_bounced"
    QUESTION_LOCKED = "question-locked"
    POST = "post"

    RETENTION_CONTRADICTED = "retention-contradicted"
    RETENTION_CONTACT = "retention-contact"
    RETENTION_BOUNCED = "retention-bounced"
    RETENTION_UNANSWERED = "retention-unanswered"
    RETENTION_OVERDUE = "retention-overdue"
    RETENTION_UNCHECKED = "retention-unchecked"
    REVIEW_OVERDUE = "review-overdue"
    PROCESSOR_LEFT = "processor-left"

    REPORT_UNDELIVERED = "report_undelivered"
    CHECKPOINT_UNDELIVERED = "checkpoint_undelivered"
    CHANNEL_USELESS = "channel-useless"
    JOB = "job"
    CLOCK = "clock"
    DEFECT_BEGIN = "defect-begin"
    DRILL = "drill"
    RESTORED = "restored"
    RESTORED_UNREAD = "restored-unread"

    LEDGER = "ledger"
    RECEIPTS = "receipts"
    ANCHOR = "anchor"
    WITNESS = "witness"
    WITNESS_CONTRADICTS = "witness-contradicts"
    STAMP = "stamp"
    KEYS = "keys"
    WITHOUT_KEY = "without-key"
    FORMER_KEY = "former-key"
    SIGNING_KEY = "signing-key"


def cause_of(stored: str) -> AlertCause | None:
    """The cause of an alert as its row names it: with the role behind it where another role is told of the same.

    None for a word that no alert of this version has.
    """
    for word in (stored, stored.rpartition("-")[0]):
        with suppress(ValueError):
            return AlertCause(word)
    return None
