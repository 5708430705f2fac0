"""One line of `dpsync check`: what was looked at, how it is, and what to explain it by."""

from dataclasses import dataclass
from enum import StrEnum


class CheckResult(StrEnum):
    """From the best to the worst; the worst line decides."""

    OK = "ok"
    NOT_SET = "not set"
    WAITING = "waiting"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One thing that was looked at. `fatal`: nothing can begin before it is put right; `passes`: by itself."""

    what: str
    verdict: CheckResult
    text: str
    code: str = ""
    fatal: bool = False
    passes: bool = False
