"""What an alert about a propagation says: to whom, in one line, and what to do. No personal data."""

ALERTS: dict[str, tuple[str, str, str]] = {
    "not_identifiable": (
        "operator",
        "A processor cannot find the person with what we have",
        "None of the identifiers is one this processor understands. Tell it in another way and `dpsync settle` it.",
    ),
    "refused": (
        "operator",
        "A processor refused, or answered in no documented way",
        "It was told and said no. Look at the evidence, then `dpsync retry` it or write to the processor.",
    ),
    "contradicted": (
        "dpo",
        "A processor says done, our own reading says otherwise",
        "What was declared is not so. It is read once more within the hour; then a person writes to the processor.",
    ),
    "partly": (
        "dpo",
        "A processor did only part of what was asked",
        "Read its remark, write to it, and `dpsync acknowledge` the outcome when it is known.",
    ),
    "wrong_recipient": (
        "operator",
        "A contact says that the notice reached the wrong desk",
        "Find the right contact, change the configuration, and `dpsync retry` it.",
    ),
    "bounced": (
        "operator",
        "A notice could not be delivered",
        "The mail host refused it for good. Correct the contact and `dpsync retry` it, or write a letter.",
    ),
    "no_answer": (
        "dpo",
        "A processor has not answered in time",
        "Silence is not success. Write or telephone, then `dpsync acknowledge` what was said.",
    ),
    "contact_unverified": (
        "operator",
        "A notice waits for its contact to confirm itself",
        "The contact was asked by mail to confirm; before that nothing about a person is sent. Telephone it.",
    ),
    "withdrawn_in_doubt": (
        "dpo",
        "Withdrawn, but an attempt was under way",
        "It may have happened at the processor. Look there; a mistaken erasure is a personal-data breach (Art. 4(12)).",
    ),
    "quarantine": (
        "operator",
        "A propagation was set aside after five defects",
        "dpsync itself failed on it. Update or report the fault, then `dpsync retry` it.",
    ),
    "defect": (
        "operator",
        "A defect of dpsync on one propagation",
        "It is tried again, and set aside after five times.",
    ),
    "unconfigured": (
        "operator",
        "A request waits for a processor that is no longer configured",
        "Put its section back, or `dpsync settle` what waits there with the reason.",
    ),
    "credential": (
        "operator",
        "A processor rejects our credential",
        "Its account is stopped; no request was charged an attempt. Put the right key in place, then `dpsync resume`.",
    ),
}
