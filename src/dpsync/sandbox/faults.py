"""Faults that can be switched on call by call: what a vendor, its network or somebody in between does wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "status",
    "status_without_body",
    "empty_500",
    "html_200",
    "html_502",
    "hang",
    "reset_before",
    "reset_after_effect",
    "says_yes_does_nothing",
    "redirect",
    "drip_headers",
    "drip_body",
    "truncated_json",
    "wrong_length",
    "wrong_content_type",
    "bad_charset",
    "bad_gzip",
    "gzip_bomb",
    "huge_body",
    "deep_json",
    "error_inside_200",
]
# In these the vendor had done its work, or may have, before the answer went wrong.
AFTER_EFFECT: frozenset[Kind] = frozenset(
    {
        "html_502",
        "hang",
        "reset_after_effect",
        "drip_headers",
        "drip_body",
        "truncated_json",
        "wrong_length",
        "wrong_content_type",
        "bad_charset",
        "bad_gzip",
    }
)


class Fault(BaseModel):
    """One fault: which calls it meets, and what then happens.

    Matching: `method`, `template` (as `/lists/{list_id}`), `account` and `address` narrow it, all optional. The first
    `nth` - 1 matching calls go through, then `times` calls are met; `times` null means for ever. `applies`: whether
    the call takes effect all the same; by default as the kind says. `seconds`: of a hang, or between two dripped
    bytes. `size`: bytes of a huge body after unpacking, or the depth of deep JSON. `body`: in place of the usual one.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    method: str | None = None
    template: str | None = None
    account: str | None = None
    address: str | None = None
    nth: int = Field(default=1, ge=1)
    times: int | None = Field(default=1, ge=1)
    status: int = Field(default=503, ge=200, le=599)
    retry_after: str | None = None
    seconds: float = Field(default=0.2, ge=0)
    location: str = ""
    size: int = Field(default=50_000_000, ge=1)
    body: str | None = None
    applies: bool | None = None

    @property
    def takes_effect(self) -> bool:
        """Whether the call is carried out in spite of the fault."""
        return self.kind in AFTER_EFFECT if self.applies is None else self.applies


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault may be matched against. `names(address)`: whether the call is about that address."""

    method: str
    template: str
    account: str
    names: Callable[[str], bool]


class Queue:
    """The faults that are switched on, in order; the first that fits a call is taken."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switches one on, behind those already there."""
        self._faults.append(fault.model_copy())

    def clear(self) -> None:
        """Switches all of them off."""
        self._faults.clear()

    def waiting(self) -> list[Fault]:
        """Those that still wait for a call."""
        return [fault.model_copy() for fault in self._faults]

    def take(self, target: Target) -> Fault | None:
        """The fault that meets this call, used up by one; None where there is none."""
        for fault in self._faults:
            if not _fits(fault, target):
                continue
            if fault.nth > 1:
                fault.nth -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            return fault
        return None


def _fits(fault: Fault, target: Target) -> bool:
    return (
        fault.method in {None, target.method}
        and fault.template in {None, target.template}
        and fault.account in {None, target.account}
        and (fault.address is None or target.names(fault.address))
    )
