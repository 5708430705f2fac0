"""The faults and what is counted of each. A figure that is above its limit fails the test that counted it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what goes wrong, and the most that each of its figures may be."""

    words: str
    limits: Mapping[str, float]


FAULTS: Final[Mapping[int, Fault]] = {
    1: Fault("the vendor does it, and the connection breaks before the answer", {"effects": 1, "lost": 0}),
    2: Fault("nobody listens there, or nobody takes the connection", {"attempts_off_schedule": 0}),
    3: Fault("the vendor does not answer in time", {"seconds_over_the_deadline": 0.5}),
    4: Fault("headers or body come byte by byte", {"seconds_over_the_deadline": 0.5, "threads_left": 0}),
    5: Fault("429 with a wait in seconds, as a date, of ten years, below nought", {"calls_before_due": 0}),
    6: Fault("429 or 403 without a body", {"calls_in_the_worst_minute": 12}),
    7: Fault("an hour of 5xx while 300 people wait", {"calls_in_the_storm": 25, "most_at_once": 4}),
    8: Fault("the credential is rejected", {"alerts_an_account": 1, "charged": 0}),
    9: Fault("404 or 410", {"false_confirmations": 0}),
    10: Fault("200 with HTML or with an error inside, 500 with nothing", {"false_confirmations": 0}),
    11: Fault("JSON cut off, wrong length, wrong charset, wrong gzip", {"false_confirmations": 0, "crashes": 0}),
    12: Fault("a huge body, a gzip bomb, JSON 100,000 deep", {"megabytes": 20}),
    13: Fault("the vendor's name is not found, or the resolver does not answer", {"lost": 0}),
    14: Fault("TLS: out of date, other name, signed by itself, version 1.0", {"bytes_sent": 0}),
    15: Fault("the vendor sends us to another host", {"requests_elsewhere": 0}),
    16: Fault("a URL that leads inside: loopback, link-local, odd spellings", {"connections": 0}),
    17: Fault("kill -9 at each step", {"lost": 0, "false_done": 0, "mismatches": 0}),
    18: Fault("SIGTERM while a call is open, and again", {"lost": 0}),
    19: Fault("two processes on one database, and one that stands still", {"double_sends": 0}),
    20: Fault("the disk is full", {"acknowledged_without_a_row": 0}),
    21: Fault("somebody else holds the database", {"acknowledged_without_a_row": 0}),
    22: Fault("the database is down, or goes in the middle", {"lost": 0}),
    23: Fault("a damaged page, a log that is lost", {"silent_starts": 0}),
    24: Fault("the clock is an hour or ten years off, or the clocks change", {"early_or_late": 0}),
    25: Fault("one webhook a hundred times at once", {"rows": 1, "effects": 1}),
    26: Fault("one event id with another body", {"rows": 1}),
    27: Fault("rectify, opt out, restrict, erase in every order", {"end_states": 1}),
    28: Fault("webhooks forged, too old, too new, with odd headers", {"accepted": 0, "other_answers": 0}),
    29: Fault("huge bodies, endless chunks, slow clients, two lengths", {"times_slower_for_others": 2}),
    30: Fault("JSON with two meanings, or with none", {"crashes": 0}),
    31: Fault("a propagation that breaks or kills the worker", {"minutes_that_others_wait": 1}),
    32: Fault("names and secrets in what is written or said", {"hits": 0}),
    33: Fault("names of files that lead elsewhere", {"files_outside": 0}),
    34: Fault("cells that a spreadsheet would calculate", {"cells": 0}),
    35: Fault("HTML, terminal codes and turned text in names", {"raw_hits": 0}),
    36: Fault("line ends in what becomes a mail header", {"extra_headers": 0}),
    37: Fault("the channel for alerts is down, or the mail host", {"silent_minutes": 15}),
    38: Fault("the ledger is changed by hand", {"undetected": 0}),
    39: Fault("yesterday's back-up is put back", {"neither_replayed_nor_named": 0}),
    40: Fault("an upgrade with work on the way, killed in the middle", {"lost": 0}),
    41: Fault("the vendor says yes and does nothing", {"false_verified": 0}),
    42: Fault("a key is lost, or another lies in its place", {"wrong_signatures": 0}),
    43: Fault("ten times the erasures that the brake allows in a day", {"over_the_limit": 0}),
    44: Fault("an erasure of an address that another id uses", {"irreversible_calls": 0}),
    45: Fault("a vendor's webhook tells what is not so", {"requests_opened": 0}),
    46: Fault("who holds the lease stands still in the middle", {"over_the_cap": 0}),
}
