"""The controller: on whose behalf propagation works, and with what. A value that is made once, from the settings."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from dpsync.connector import Connector, Processor
from dpsync.model import Role
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.propagation.rules.plan import Safety
from dpsync.sealing import Keys
from dpsync.settings import Secret


@dataclass(frozen=True, slots=True)
class Controller:
    """`notice` writes the letters; `operator` is our own person for what must be done in a vendor's web app by hand.

    `public_url` is where answer links lead ("" where none is set); `domain` is the right side of our Message-IDs.
    `asked`: the roles that are asked to decide by link, one for each address; none where such links are off.
    `callbacks`: the sources that are told what became of their requests; `platforms`: those of them that hear only
    how a request ended, in words of their own. `opendsr`: the sources that are controllers of OpenDSR; `main_database`:
    the processor that stands for our own main database, which none of those has asked; "" where there are none.
    """

    name: str
    zone: ZoneInfo
    legal_clock: LegalClock
    processors: Mapping[str, Processor]
    notice: Connector
    keys: Keys
    operator: str = field(repr=False)
    safety: Safety = field(default_factory=Safety)
    public_url: str = ""
    domain: str = "localhost"
    deputy: bool = False
    asked: tuple[Role, ...] = ()
    rehearsal: bool = False
    watch_letters: bool = True
    callbacks: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()
    opendsr: frozenset[str] = frozenset()
    main_database: str = ""
    passphrases: Mapping[Role, Secret] = field(default_factory=dict, repr=False)

    def told_of(self, source: str) -> tuple[Processor, ...]:
        """Whom a request of that source goes to: to the main database itself only where it does not come from there."""
        every = self.processors.values()
        return tuple(one for one in every if one.name != self.main_database or source in self.opendsr)

    def title_of(self, processor: str) -> str:
        """What people call it; its name in the settings where it stands there no more."""
        known = self.processors.get(processor)
        return known.title if known else processor

    def reference(self, request_id: str, processor: str, number: int) -> str:
        """What both sides call a notice: the same for a retry, another for a reminder; says nothing of the person."""
        return "DPS-" + self._code("reference", request_id, processor, number)[:10]

    def message_id(self, request_id: str, processor: str, number: int) -> str:
        """RFC 5322 Message-ID of a notice (without its angle brackets), with 160 bits that nobody can guess."""
        return f"{self._code('message-id', request_id, processor, number).lower()}@{self.domain}"

    def answer_token(self, request_id: str, processor: str, number: int) -> str:
        """The secret part of the answer link: 256 bits; the store keeps only its hash."""
        mac = self.keys.mac("answer", f"{request_id}/{processor}/{number}".encode())
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    def contact_token(self, address: str, processor: str) -> str:
        """The secret part of the link by which a contact confirms that it is reached."""
        mac = self.keys.mac("contact", f"{self.keys.pseudonym('address', address)}/{processor}".encode())
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    def question_id(self, address: str, processor: str) -> str:
        """RFC 5322 Message-ID of the question whether a contact is the right one, without its angle brackets."""
        return self.message_id(self.contact_token(address, processor), processor, 1)

    def report_id(self, month: str) -> str:
        """RFC 5322 Message-ID of a month's report (2026-11), without its angle brackets."""
        return self.message_id(f"report/{month}", "dpo", 1)

    def checkpoint_id(self, on: date) -> str:
        """RFC 5322 Message-ID of the checkpoint that is mailed on a day, without its angle brackets."""
        return self.message_id(f"checkpoint/{on.isoformat()}", "dpo", 1)

    def change_digest(self, name: str) -> str:
        """What the store keeps of the name of a changed field: enough to compare it, in 64 bits."""
        return self.keys.mac("change", name.encode()).hex()[:16]

    def _code(self, purpose: str, request_id: str, processor: str, number: int) -> str:
        mac = self.keys.mac(purpose, f"{request_id}/{processor}/{number}".encode())
        return base64.b32encode(mac[:20]).decode()


def token_hash(token: str) -> str:
    """What the store keeps of a link's secret part."""
    return hashlib.sha256(token.encode()).hexdigest()
