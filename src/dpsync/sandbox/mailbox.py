"""A mailbox for everybody: what was accepted, and recipients who act on their mail by rule.

Source: the notes on notices, section 6.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dpsync.sandbox import postman
from dpsync.sandbox.recipient import Deed, Letter, fill_in, is_near, links_of, look, path_of, read

Behaviour = Literal[
    "silent",
    "answer_by_link",
    "confirm_contact",
    "ack_reply",
    "reply_wrong_ref",
    "scanner_prefetch",
    "out_of_office",
    "bounce_5.1.1",
    "bounce_later",
    "delivered",
    "delay_then_deliver",
    "relayed",
    "expanded",
    "later",
    "slow",
    "done_but_not_done",
]
AnswerWord = Literal["done", "nothing_held", "partly", "refused", "wrong_recipient", "received"]


class Rule(BaseModel):
    """What one recipient does with a mail.

    `behaviours` add up: several may open links; `bounce_5.1.1` (550) and `later` (451, for the first `times` tries;
    null: always) refuse at RCPT; `slow` waits `seconds` before the final 250. `scanner_prefetch` asks for the head and
    the page of every link. `bounce_later`, `delivered`, `relayed`, `expanded` and `delay_then_deliver` (again after
    `seconds`) send the reports that were asked for, `out_of_office` an automatic reply, `ack_reply` and
    `reply_wrong_ref` a person's, with `remark`; all into the mail directory, if there is one.
    `done_but_not_done` answers "done" and does nothing at any vendor: it is named for the tests that read back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    behaviours: tuple[Behaviour, ...] = ("silent",)
    answer: AnswerWord = "done"
    name: str = "Sandbox Desk"
    remark: str = ""
    times: int | None = Field(default=None, ge=1)
    seconds: float = Field(default=0.0, ge=0)


DEMO = Rule(behaviours=("confirm_contact", "answer_by_link"))


@dataclass(slots=True)
class Message:
    """One message as it was accepted. Options are kept in the sender's own spelling; `deeds` is what came of it."""

    number: int
    at: datetime
    mail_from: str
    recipients: tuple[str, ...]
    mail_options: tuple[str, ...]
    rcpt_options: dict[str, tuple[str, ...]]
    raw: bytes
    deeds: list[Deed] = field(default_factory=list)

    def body(self) -> dict[str, object]:
        """The message as JSON; `raw` in base64."""
        parsed = message_from_bytes(self.raw, policy=policy.default)
        return {
            "number": self.number,
            "at": self.at.astimezone(UTC).isoformat(),
            "envelope": {
                "mail_from": self.mail_from,
                "rcpt_to": list(self.recipients),
                "mail_options": list(self.mail_options),
                "rcpt_options": {address: list(options) for address, options in self.rcpt_options.items()},
            },
            "headers": [[name, str(value)] for name, value in parsed.items()],
            "raw": base64.b64encode(self.raw).decode(),
            "deeds": [{"method": deed.method, "path": deed.path, "status": deed.status} for deed in self.deeds],
        }


@dataclass(slots=True)
class Mailbox:
    """All mail, the rules by recipient (lower case) and the rule for everybody else.

    `desks`: by recipient, what somebody does at a vendor because of a letter, right before they answer "done".
    """

    now: Callable[[], datetime]
    pause: Callable[[float], Awaitable[None]]
    default: Rule = field(default_factory=Rule)
    rules: dict[str, Rule] = field(default_factory=dict)
    desks: dict[str, Callable[[Letter], object]] = field(default_factory=dict)
    directory: Path | None = None
    messages: list[Message] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    delayed: Counter[str] = field(default_factory=Counter)
    posted: int = 0
    background: set[asyncio.Task[None]] = field(default_factory=set)
    connections: set[asyncio.BaseTransport] = field(default_factory=set)

    def rule_for(self, address: str) -> Rule:
        """The rule of this recipient."""
        return self.rules.get(address.strip().lower(), self.default)

    def set_rule(self, address: str | None, rule: Rule) -> None:
        """Sets the rule of one recipient, or of everybody who has none."""
        if address is None:
            self.default = rule
        else:
            self.rules[address.strip().lower()] = rule
            self.delayed.pop(address.strip().lower(), None)

    def reset(self) -> None:
        """Forgets mail and counts; rules stay."""
        self.messages.clear()
        self.counts.clear()
        self.delayed.clear()

    async def settled(self) -> None:
        """Returns once every recipient has done what the rules say."""
        while self.background:
            await asyncio.gather(*self.background)

    def refusal(self, address: str) -> str | None:
        """The reply to RCPT where this recipient is refused, now or for good."""
        rule = self.rule_for(address)
        if "bounce_5.1.1" in rule.behaviours:
            self.counts["bounced"] += 1
            return "550 5.1.1 User unknown"
        key = address.strip().lower()
        if "later" in rule.behaviours and (rule.times is None or self.delayed[key] < rule.times):
            self.delayed[key] += 1
            self.counts["delayed"] += 1
            return "451 4.3.0 Try again later"
        return None

    async def take(self, message: Message) -> None:
        """Keeps the message, sets its recipients to work, and returns after the pause of the slowest.

        A sender that gives up in between has delivered all the same, as with a real host (RFC 5321, 4.5.3.2.6).
        """
        message.number = len(self.messages) + 1
        self.messages.append(message)
        self.counts["accepted"] += 1
        for address in message.recipients:
            task = asyncio.get_running_loop().create_task(self._act(message, address))
            self.background.add(task)
            task.add_done_callback(self.background.discard)
        await self.pause(max((self.rule_for(to).seconds for to in message.recipients if self._slow(to)), default=0.0))

    def _slow(self, address: str) -> bool:
        return "slow" in self.rule_for(address).behaviours

    async def _act(self, message: Message, address: str) -> None:
        rule = self.rule_for(address)
        await self._write_back(message, address, rule)
        links = links_of(message.raw)
        desk = self.desks.get(address.strip().lower())
        if desk and rule.answer == "done" and "answer_by_link" in rule.behaviours and any(map(_is_answer, links)):
            desk(read(message.raw))
        for link in links:
            if not is_near(link):
                self.counts["not_followed"] += 1
                continue
            deeds = await asyncio.to_thread(_follow, link, rule)
            message.deeds += deeds
            self.counts.update(f"{deed.method} {'ok' if 200 <= deed.status < 400 else 'failed'}" for deed in deeds)

    async def _write_back(self, message: Message, address: str, rule: Rule) -> None:
        """Sends what comes back by mail; without a directory it is counted, and lost."""
        for behaviour in rule.behaviours:
            match behaviour:
                case "out_of_office":
                    self._post(behaviour, postman.out_of_office(message.raw, message.mail_from, address, self.now()))
                case "ack_reply":
                    words = rule.remark or "We have received this, thank you."
                    self._post(behaviour, postman.reply(message.raw, address, words, self.now()))
                case "reply_wrong_ref":
                    words = rule.remark or "We have done this, thank you."
                    self._post(behaviour, postman.reply_with_wrong_reference(message.raw, address, words, self.now()))
                case _:
                    await self._report(message, address, rule, behaviour)

    async def _report(self, message: Message, address: str, rule: Rule, behaviour: str) -> None:
        for number, (action, status) in enumerate(postman.REPORTS.get(behaviour, ())):
            if number:
                await self.pause(rule.seconds)
            options = message.mail_options, message.rcpt_options.get(address, ())
            raw = postman.report(message.raw, message.mail_from, address, *options, action, status, self.now())
            self._post(f"report {action}", raw)

    def _post(self, kind: str, raw: bytes | None) -> None:
        if raw is None:
            return
        self.counts[kind] += 1
        if self.directory is not None:
            self.posted += 1
            postman.deliver(self.directory, raw, f"{int(self.now().timestamp())}.{self.posted}.{postman.HOST}")


def _is_answer(link: str) -> bool:
    return "answers" in path_of(link).split("/")


def _follow(link: str, rule: Rule) -> list[Deed]:
    """What one recipient does with one link."""
    deeds: list[Deed] = []
    segments = path_of(link).split("/")
    if "scanner_prefetch" in rule.behaviours:
        deeds += look(link)
    if "contacts" in segments:
        if "confirm_contact" in rule.behaviours:
            deeds += fill_in(link, {"confirm": "yes"})
    elif _is_answer(link) and {"answer_by_link", "done_but_not_done"} & set(rule.behaviours):
        word = "done" if "done_but_not_done" in rule.behaviours else rule.answer
        remark = rule.remark or ("As agreed." if word in {"partly", "refused"} else "")
        deeds += fill_in(link, {"answer": word, "name": rule.name, "remark": remark})
    return deeds
