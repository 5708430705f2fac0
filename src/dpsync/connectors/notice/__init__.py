"""The processor without an API: a tracked letter by email, one a person and right, and their word for the outcome.

A 250 is the next mail host's word, so a letter that went out is `Accepted` and never more: what was done, only a person
can say (Art. 19, Art. 28(3)(a) GDPR). Identifiers stand in the attached `notice.json` alone.
"""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import ClassVar, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict

from dpsync.connector import (
    Accepted,
    Account,
    CannotTell,
    Capability,
    Connector,
    Finding,
    Instruction,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Refused,
    Retryable,
)
from dpsync.connector_services import MailRefused, NoAnswer
from dpsync.connectors.notice.letter import identifiers, letter_of, tag_of, written
from dpsync.errors import ProcessorUnreachable, UnsupportedRight
from dpsync.mail import bounce_address, is_mailable
from dpsync.model import Right

_SOURCE = "UK GDPR Art. 19 and 28(3)(a); RFC 5322, RFC 3834, RFC 3461; read in November 2026"
_LIMITS = "We have only their word: nobody but the processor can see what it holds. Silence never counts as a yes."


_EFFECTS = MappingProxyType(
    {
        Right.ERASURE: "A letter asks the processor to erase, and to answer for data, copies, logs and back-ups.",
        Right.RECTIFICATION: "A letter gives the processor the correct values and asks for its answer.",
        Right.RESTRICTION: "A letter asks the processor to keep the data unused until the restriction is lifted.",
        Right.OPT_OUT: "A letter asks the processor to stop all marketing at once and to keep the address suppressed.",
    }
)


class NoticeSettings(BaseModel):
    """No keys of its own: contact and time limit stand in every processor's section."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@runtime_checkable
class _Probed(Protocol):
    def probe(self) -> str: ...


class Notice(Connector):
    """Writes the letter and hands it to the controller's own mail host."""

    name: ClassVar[str] = "notice"
    Settings: ClassVar[type[BaseModel]] = NoticeSettings
    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            right: Capability(
                means=Means.NOTICE,
                effect=effect,
                limits=_LIMITS,
                verified_by="",
                source=_SOURCE,
                address_change=right is Right.RECTIFICATION,
            )
            for right, effect in _EFFECTS.items()
        }
    )
    max_inflight: ClassVar[int] = 4
    tells_scope: ClassVar[bool] = True

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it. Opens no connection."""
        del section
        return cls(kit)

    def probe(self) -> Account:
        """Greet the mail host and take leave. Raises `ProcessorUnreachable`, `CredentialsRejected`."""
        mail = self._kit.mail
        if mail is None:
            raise ProcessorUnreachable("mail: no mail host is configured, so no notice can go out")
        told = mail.probe() if isinstance(mail, _Probed) else ""
        return Account(title=f"notice by mail, {told}" if told else "notice by mail", contacts=None)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Post the letter of `instruction.letter`. A repeat is the same message under the same Message-ID.

        Nobody can read a mailbox back, so a send in doubt is repeated; mail hosts and people see one letter. Raises
        `UnsupportedRight`, `CredentialsRejected`, and ValueError for an instruction without what a letter needs.
        """
        if instruction.right not in self.capabilities:
            raise UnsupportedRight("a notice knows no such right")
        if not identifiers(instruction):
            return NotIdentifiable(reason="nothing in the instruction says who the person is")
        mail, letter = self._kit.mail, letter_of(instruction)
        if not is_mailable(letter.to):
            return Refused(reason="the contact's address is none that a mail can go to", evidence=())
        if mail is None:
            return Retryable(reason="no mail host is configured")
        if self._kit.clock.monotonic() >= instruction.deadline:
            return Retryable(reason="too late to begin a call")
        raw = written(instruction, letter, mail.sender, self._dated(instruction), rehearsal=self._kit.rehearsal)
        try:
            posted = mail.post(
                raw,
                to=letter.to,
                envelope_sender=bounce_address(mail.sender, tag_of(instruction)),
                envelope_id=tag_of(instruction),
                digest_key=instruction.digest_key,
            )
        except MailRefused as error:
            return Refused(reason="the mail host refused the message", evidence=(error.evidence,), status=error.status)
        except NoAnswer as error:
            return Retryable(reason=error.reason, evidence=(error.evidence,), doubtful=error.sent)
        return Accepted(
            evidence=(posted.evidence,),
            answer_by=_end_of(letter.answer_by, self._kit.clock.now()),
            digest=hashlib.sha256(raw).hexdigest(),
        )

    def verify(self, instruction: Instruction) -> Finding:
        """Always `CannotTell`: only a person at the processor can say."""
        if instruction.right not in self.capabilities:
            raise UnsupportedRight("a notice knows no such right")
        return CannotTell(reason="only the processor can say what it holds")

    def _dated(self, instruction: Instruction) -> datetime:
        # The time of the first attempt, durable before it is made: a repeat tomorrow is the same bytes, date included.
        key = f"date:{instruction.message_id}"
        kept = self._kit.shelf.get(key)
        if kept is not None:
            return datetime.fromisoformat(kept)
        now = self._kit.clock.now().replace(microsecond=0)
        self._kit.shelf.put(key, now.isoformat())
        return now


def _end_of(day: date, like: datetime) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), like.tzinfo)
