"""The documented shape of each `--json`: path of every field, and what it is. A test holds page and output together."""

SHAPES: dict[str, dict[str, str]] = {
    "check": {
        "version": "1",
        "exit": "the exit code: 0, 2 or 78",
        "lines[].what": "what was looked at: settings, keys, ledger, jobs, mail, alerts, intake, or a processor's name",
        "lines[].verdict": "ok, not set, waiting or PROBLEM",
        "lines[].text": "what was seen, in words",
        "lines[].code": "DP code, or empty",
    },
    "plan": {
        "version": "1",
        "controller": "the organisation",
        "rehearsal": "whether nothing is real",
        "zone": "the controller's time zone",
        "looked_at": "when dpsync looked, UTC",
        "right": "rectification, erasure, restriction or opt_out",
        "lifting": "whether a restriction would be lifted",
        "received_at": "when the controller received it, UTC",
        "received_assumed": "whether that is assumed to be now",
        "target_at": "by when every processor should have done it, UTC: 72 hours, an opt-out 24",
        "strict_on": "the last day by the statute's letter",
        "due_on": "the legal date",
        "letter_by": "by when the person should have a letter",
        "mode": "observe, confirm or live",
        "approvals": "how many different people would have to say yes",
        "cools_until": "until when it would wait if it were submitted now, UTC, or null",
        "allowed": "how many the brake lets through for an account in 24 hours",
        "letters": "whether there is a mail host, so that letters can go",
        "undo": "never, by_the_person or by_another_request",
        "lines[].processor": "name",
        "lines[].title": "what people call it",
        "lines[].lookup.presence": "found, not_found or unknown",
        "lines[].lookup.detail": "what the read-back showed, or why it is not known",
        "lines[].lookup.records": "how many records of the person there are, or null where that is not known",
        "lines[].lookup.again": "whether it gave no answer just now (exit code 3)",
        "lines[].means": "as `dpsync processors` has it",
        "lines[].effect": "what would be true afterwards",
        "lines[].limits": "what would not",
        "lines[].state": "how it would begin there: pending, held or exempt",
        "lines[].causes[]": "why it would be held",
        "lines[].counts": "whether the brake would count it",
        "lines[].used": "how many the brake has counted at its account in 24 hours",
        "lines[].stopped": "why nothing is sent there now, or empty",
        "lines[].confirmed": "whether its contact has confirmed the address",
        "lines[].answer_by": "by when the answer to a letter would be owed, or null",
        "lines[].exempt_until": "the last day it need not be told (Art. 19), or null",
        "lines[].exempt_why": "the reason, or empty",
    },
    "submit": {
        "version": "1",
        "request": "the full id",
        "status": "accepted or held",
        "repeated": "whether this event came before, and nothing is new",
        "event": "the event id; given again as --event-id, it makes a repeat harmless",
    },
    "status": {
        "version": "1",
        "summary": "one sentence, never better than its worst row",
        "stopped[].processor": "a processor that is told nothing",
        "stopped[].account": "its account",
        "stopped[].why": "person (`dpsync pause`) or credential (it rejected ours)",
        "stopped[].command": "how to go on",
        "mail_waiting": "how many messages that came in by mail a person must read; with REQUEST, those about it",
        "requests[].request": "the full id, as `submit` gave it",
        "requests[].short": "its first signs",
        "requests[].right": "rectification, erasure, restriction or opt_out",
        "requests[].lifting": "whether a restriction is lifted",
        "requests[].received_at": "when the controller received it, UTC",
        "requests[].due_on": "the legal date, a day of the controller's zone",
        "requests[].due_at": "the first moment that is overdue, UTC",
        "requests[].counts_as": "seen_by_us, they_say, not_yet, settled, exempt, withdrawn or superseded",
        "requests[].states": "where it stands, in words",
        "requests[].causes[]": "why something of it is held",
        "requests[].stopped[]": "processors whose account is stopped while it waits there",
        "requests[].waits_for[]": "for whom it waits, in words",
        "requests[].late": "empty, past_target, overdue, or with --all finished_late",
        "requests[].needs_a_person": "whether somebody must act",
        "requests[].told": "how many processors have the instruction",
        "requests[].processors": "how many there are",
        "conversations[]": "one object a processor that keeps private conversations, as in `dpsync retention show`",
        "who": "only with --who: the subject's `id`, `name`, `email`, `other_emails`, `phone`, `references`, and "
        "`changes` by field",
        "places[]": "only with REQUEST: one object a processor, with `state`, `rung`, `causes`, `reason`, `attempts`",
    },
    "release": {
        "version": "1",
        "request": "the full id (`withdraw`, `retry`, `settle` and `exempt` have the same shape)",
        "decision": "release, withdraw, retry, settle or exempt",
        "places[].processor": "name",
        "places[].state": "the state after the decision",
        "places[].causes[]": "why it is still held",
        "places[].refused": "why the decision did nothing there, or empty",
        "places[].already": "since when it is so, where nothing had to be changed, or empty",
    },
    "acknowledge": {
        "version": "1",
        "request": "the full id",
        "processor": "name",
        "answer": "what was recorded",
        "state": "the state after it",
    },
    "retention show": {
        "version": "1",
        "processors[]": "one object a processor that keeps private conversations: `rule`, `since`, `told_since`, "
        "`known`, `due`, `counts` by state, `overdue`, `overdue_since`, `check`, `check_missing`, `none_open`, "
        "`none_open_missing`",
        "conversations[].reference": "DPS-..., as the work list calls it",
        "conversations[].processor": "name",
        "conversations[].state": "kept, listed, excepted, contradicted, attested or verified_by_export",
        "conversations[].due_on": "the last day by the rule",
        "conversations[].until_on": "the last day by an exception, or null",
        "conversations[].overdue": "whether that day is over and nobody says that it is deleted",
        "conversations[].open": "whether it was still going on when it was last seen",
    },
    "retention check": {
        "version": "1",
        "processor": "name",
        "sha256": "of the file, which is not kept",
        "rows": "how many the file has",
        "older": "rows of conversations whose last day is over",
        "verified": "conversations that the file would have shown and did not",
        "contradicted": "conversations that should be gone and are in it",
        "new": "those of them that no webhook had told of",
    },
    "retention attest": {"version": "1", "processor": "name", "attested": "how many are new"},
    "retention except": {
        "version": "1",
        "processor": "name",
        "reference": "the conversation",
        "until_on": "its new last day",
    },
    "retention state-open": {"version": "1", "processor": "name", "stated": "1"},
    "processors": {
        "version": "1",
        "processors[].processor": "name",
        "processors[].title": "what people call it",
        "processors[].capabilities[].right": "the right",
        "processors[].capabilities[].means": "api, notice, api_and_operator, api_and_notice, operator or "
        "list_and_notice",
        "processors[].capabilities[].effect": "what is true afterwards",
        "processors[].capabilities[].limits": "what is not",
        "processors[].capabilities[].verified_by": "how we read it back; empty: their word only",
        "processors[].capabilities[].source": "the documentation it rests on",
        "processors[].exempt[]": "rights it need not be told of, with `right`, `code`, `reason`, `by`, `until`",
    },
    "verify": {
        "version": "1",
        "origin": "the ledger's name",
        "verified": "true or false",
        "entries": "how many there are",
        "root": "root of the tree, hex",
        "key": "the verifier key",
        "older": "how many requests are from before the ledger committed to every row",
        "problems[]": "what does not fit, each with its place",
        "differences[]": "rows in the database that are not what the ledger tells of, each with its columns",
    },
    "verify FILE": {
        "version": "1",
        "file": "the receipt",
        "valid": "true or false",
        "says[]": "the stand-alone verifier's own sentences",
    },
    "explain": {
        "version": "1",
        "codes[].code": "DP code",
        "codes[].title": "in a few words",
        "codes[].meaning": "in full",
        "codes[].way_out": "what to do",
    },
}


def paths_of(value: object, prefix: str = "") -> set[str]:
    """The paths of every leaf of a JSON value, lists as `[]`."""
    match value:
        case dict():
            return {path for key, one in value.items() for path in paths_of(one, f"{prefix}.{key}" if prefix else key)}
        case list():
            return {path for one in value for path in paths_of(one, f"{prefix}[]")}
        case _:
            return {prefix}


def documented(path: str, shape: dict[str, str]) -> bool:
    """Whether a path stands in a shape, itself or within an object that is described as a whole."""
    return path in shape or any(path.startswith(f"{whole}.") for whole in shape)
