"""What `--json` prints of lists of main databases and of processors, and of webhooks there; see `shapes`."""

from collections.abc import Mapping

_HOOKS: Mapping[str, str] = {
    "version": "1",
    "hooks[].processor": "name of the section in the settings",
    "hooks[].place": "id of the list there; empty where the processor could not be asked",
    "hooks[].title": "what the list is called there",
    "hooks[].state": "registered; registered, and tells nothing; registered with another secret; not registered; "
    "not known; none: nobody there tells dpsync of opt-outs",
    "hooks[].why": "why it is so, or empty",
    "hooks[].others": "how many webhooks of other systems the list has",
    "hooks[].tried": "what came of a test, in words; empty without one",
    "hooks[].arrived": "whether the test shows that one arrives; null without one",
}

LISTS: Mapping[str, dict[str, str]] = {
    "source reconcile": {
        "version": "1",
        "source": "name of the section in the settings",
        "dry_run": "whether nothing was changed because it was only looked at",
        "state": "compared; unknown: the list could not be read whole; stopped: a person is asked first",
        "why": "why it is unknown or stopped",
        "agree": "people of whom the main database says what was asked",
        "differ": "people of whom it says something else",
        "not_known": "people of whom it is not known what it says",
        "new": "how many differences were found for the first time, by kind",
        "closed": "how many are not so any more",
    },
    "source findings": {
        "version": "1",
        "findings[].finding": "what it is called in alerts",
        "findings[].source": "name of the section in the settings; observed:NAME for that of a processor",
        "findings[].kind": "missed, contactable, address, gone, returned or merged",
        "findings[].right": "which right it is about; null for none",
        "findings[].record": "id of the record there; null where nobody knows it",
        "findings[].request": "the request that was made of it; null for none",
        "findings[].at": "when it was found",
    },
    "sweep": {
        "version": "1",
        "sweeps[].processor": "name of the section in the settings",
        "sweeps[].dry_run": "whether nothing was changed because it was only looked at",
        "sweeps[].state": "compared; unknown: the list could not be read whole; stopped: a person is asked first",
        "sweeps[].why": "why it is unknown or stopped",
        "sweeps[].agree": "records that are as was asked, or of people for whom nothing was asked",
        "sweeps[].differ": "records that are not",
        "sweeps[].not_known": "records of which it is not known whose they are",
        "sweeps[].new": "how many were found for the first time: returned_erasure, contactable_restriction, "
        "contactable_opt_out, missed_opt_out",
        "sweeps[].closed": "how many are not so any more",
        "sweeps[].strangers": "how many records have an address that no main database lists; null where not all of "
        "these list their people, and where the sweep was gone on with",
    },
    "opendsr token": {
        "version": "1",
        "token": "what the controller shows; dpsync keeps it nowhere",
        "token_hash": "what stands for it in the settings",
    },
    **{f"hooks {name}": dict(_HOOKS) for name in ("list", "register", "test")},
}
