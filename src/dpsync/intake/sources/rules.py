"""Which change in somebody else's message is which wish. Pure: a message in, wishes in our own shape out.

A changed row is not yet a wish, so a mapping names each change that means something, and each that means nothing. What
neither names is refused: a message that nobody understands may be somebody's erasure.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from dpsync.errors import PayloadInvalid
from dpsync.intake.sources.conditions import Condition, hold
from dpsync.intake.sources.forms import BodyForm
from dpsync.intake.sources.paths import Path
from dpsync.intake.sources.spread import Spread, spread_out
from dpsync.intake.sources.values import MomentPlace, changes_of, ids_of, is_blank, moment_of, plain, subject_of
from dpsync.model import Right

FOR_PEOPLE = "refuse."
"""How the field of a refusal begins, where a mapping leaves a change to people: the name of its rule follows."""

MOST_MESSAGES = 100
"""In one delivery: they are committed together, and all other senders wait for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one kind of message asks for: where the subject, and what belongs to the right, are found in it.

    `delete_shaped`: the message says only that a row is gone, which a merge of two records does too. `for_a_person`: it
    does not say what is to be done, so it is kept and a person is asked. `scope`: of an
    opt-out from a part, the names of the part by their kinds; `scope_at`: the same, where they are found.
    """

    name: str
    right: Right
    when: tuple[Condition, ...]
    subject: Mapping[str, tuple[Path, ...]]
    changes: Mapping[str, Path] = field(default_factory=dict)
    fields: Mapping[str, Path] = field(default_factory=dict)
    ground: str = ""
    received_at: MomentPlace | None = None
    version: Path | None = None
    lifted: Mapping[str, Path] = field(default_factory=dict)
    delete_shaped: bool = False
    for_a_person: bool = False
    scope: Mapping[str, str] = field(default_factory=dict)
    scope_at: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MergeRule:
    """What one kind of message says of two records that became one: where the ids and addresses of both are found.

    `loser`: of the record that is gone; there may be several ids. `winner`: of the one that stays.
    """

    name: str
    when: tuple[Condition, ...]
    loser: Mapping[str, tuple[Path, ...]]
    winner: Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True, slots=True)
class Together:
    """Changes that mean something only together, such as an address that is deleted and a name that is overwritten.

    `same`: where they have the same value. `within`: how long after the first the last may come. `parts`: each kind of
    change that must be there, under the name by which a rule finds it.
    """

    name: str
    same: Path
    within: timedelta
    parts: Mapping[str, tuple[Condition, ...]]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A kind of message that asks for nothing, or that only a person can understand."""

    name: str
    when: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a message asks for, as our own shape has it under `data`. `at`: which of several messages, "" for one.

    `own_event`: where several messages ask for one thing, the event of this one, and `event` is that of all of them.
    """

    rule: str
    event: str = field(repr=False)
    data: Mapping[str, object] = field(repr=False)
    delete_shaped: bool = False
    for_a_person: bool = False
    at: str = ""
    own_event: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class MergeTold:
    """That records of one person became one. `losers` and `winner` are subjects as our own shape has them, with ids."""

    rule: str
    event: str = field(repr=False)
    losers: tuple[Mapping[str, object], ...] = field(repr=False)
    winner: Mapping[str, object] = field(repr=False)
    at: str = ""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a whole delivery asks for, and the names of the rules by which the rest of it means nothing.

    `merges`: the records that it says became one. `meaning`: how many of its messages mean something.
    """

    wishes: tuple[Wish, ...]
    ignored: tuple[str, ...]
    merges: tuple[MergeTold, ...] = ()
    meaning: int = 0


@dataclass(frozen=True, slots=True)
class SourceDelivery:
    """What a source sent: its name, the JSON, and what its header of that purpose called it, "" for nothing."""

    source: str
    body: object = field(repr=False)
    called: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMapping:
    """What one kind of sender means.

    `each`: where its messages stand as a list; None for one message. `inside`: where in a message the paths of all else
    begin. `spread`: what of a message is several. `gather`: what the messages have alike that ask for one thing about
    one record. `event`, with the value of `event_header` where that names one: what together tells one event from
    another, and is the same when it is sent again. `refused`: what no rule names and nothing may ignore. `merge_wait`:
    how much later the news of a merge may come than the news that one of its records is gone. `form`: how its messages
    stand in a body. `drops_answered`: the sender forgets what got any answer, so that only what is kept may get one.
    `together`, `triggers`: of an outbox, which of its changes mean something only together, and what writes them there.
    """

    event: tuple[Path, ...]
    rules: tuple[Rule, ...]
    merge_rules: tuple[MergeRule, ...] = ()
    merge_wait: timedelta = timedelta(hours=1)
    form: BodyForm = BodyForm.JSON
    drops_answered: bool = False
    event_header: str = ""
    refused: tuple[Ignored, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    each: Path | None = None
    inside: Path | None = None
    spread: tuple[Spread, ...] = ()
    gather: tuple[Path, ...] = ()
    together: tuple[Together, ...] = ()
    triggers: tuple[str, ...] = ()

    def understand(self, delivery: SourceDelivery, digest: Callable[[bytes], str]) -> Understood:
        """Say what a delivery asks for. `digest`: keyed, of what makes an event's id.

        Raises `PayloadInvalid` where a message of it matches no rule, or lacks what its rule needs; then none counts.
        """
        wishes: list[Wish] = []
        merges: list[MergeTold] = []
        ignored: list[str] = []
        messages = self._messages(delivery.body)
        for number, message in enumerate(messages):
            at = "" if self.each is None and len(messages) == 1 else f"{number}"
            try:
                found = self._wishes(delivery, message, at, digest)
                merged = self._merges(delivery, message, at, digest)
                wishes += found
                merges += merged
                ignored += [] if found or merged else [self._meaning_nothing(message)]
            except PayloadInvalid as refusal:
                raise within(at, refusal) from None
        return Understood(tuple(wishes), tuple(ignored), tuple(merges), len(messages) - len(ignored))

    def _messages(self, body: object) -> Sequence[object]:
        found = [body] if self.each is None else self.each.find(body)
        if not isinstance(found, list) or not found:
            raise PayloadInvalid("", "must hold a list of messages")
        messages = spread_out(found if self.inside is None else [self.inside.find(one) for one in found], self.spread)
        if len(messages) > MOST_MESSAGES:
            raise PayloadInvalid("", f"holds more than {MOST_MESSAGES} messages")
        return messages

    def _wishes(
        self, delivery: SourceDelivery, message: object, at: str, digest: Callable[[bytes], str]
    ) -> Sequence[Wish]:
        found: list[Wish] = []
        about: dict[tuple[Right, str], set[str]] = defaultdict(set)
        for rule in self.rules:
            if not hold(rule.when, message):
                continue
            data = _data(rule, message, delivery.source)
            whom, known = _who(data["subject"]), about[rule.right, json.dumps(data.get("scope"))]
            # Two corrections change two things, and two parts are two opt-outs; of two other wishes of one person for
            # one right, the first counts.
            if rule.right is Right.RECTIFICATION or (whom not in known and (whom or not known)):
                known.add(whom)
                event, own = f"{digest(self._event(delivery, message, at))}.{rule.name}", ""
                if gathered := self._gathered(message, data["subject"]):
                    event, own = f"{digest(gathered)}.{rule.right.value}", event
                found.append(Wish(rule.name, event, data, rule.delete_shaped, rule.for_a_person, at, own))
        return found

    def _gathered(self, message: object, subject: object) -> bytes:
        """What is alike in the messages that ask for the same about one record; nothing where each is its own."""
        parts = [plain(path.find(message)) for path in self.gather]
        own_id = subject.get("id") if isinstance(subject, dict) else None
        if not parts or not own_id or any(is_blank(part) for part in parts):
            return b""
        return json.dumps(["gathered", *parts, own_id], sort_keys=True).encode()

    def _merges(
        self, delivery: SourceDelivery, message: object, at: str, digest: Callable[[bytes], str]
    ) -> Sequence[MergeTold]:
        found: list[MergeTold] = []
        for rule in (one for one in self.merge_rules if hold(one.when, message)):
            winner = subject_of(rule.winner, message, delivery.source)
            if not winner.get("id"):
                raise PayloadInvalid("on_merge.winner", "names no record")
            gone = [one for one in ids_of(rule.loser["id"], message, delivery.source) if one != winner["id"]]
            if len(gone) > MOST_MESSAGES:
                raise PayloadInvalid("on_merge.loser", f"names more than {MOST_MESSAGES} records")
            if not gone:
                raise PayloadInvalid("on_merge.loser", "names no other record than the winner")
            rest = subject_of({name: path for name, path in rule.loser.items() if name != "id"}, message, "")
            event = f"{digest(self._event(delivery, message, at))}.{rule.name}"
            losers: list[Mapping[str, object]] = [{**rest, "id": gone[0]}, *({"id": one} for one in gone[1:])]
            found.append(MergeTold(rule.name, event, tuple(losers), winner, at))
        return found

    def _meaning_nothing(self, message: object) -> str:
        for one in self.refused:
            if hold(one.when, message):
                raise PayloadInvalid(
                    f"{FOR_PEOPLE}{one.name}", "a person must look at this change: dpsync cannot tell it"
                )
        for one in self.ignored:
            if hold(one.when, message):
                return one.name
        raise PayloadInvalid("", "matches no rule of this source")

    def _event(self, delivery: SourceDelivery, message: object, at: str) -> bytes:
        parts = [plain(path.find(message)) for path in self.event]
        if self.event_header:
            parts.append(delivery.called)
        if any(is_blank(part) or part in ([], {}) for part in parts):
            raise PayloadInvalid("", "lacks what tells this event from another")
        # As JSON, 1 is not "1" and no two lists of parts are one text.
        told = [*parts, at] if self.event_header or (self.spread and at) else parts
        return json.dumps(told, sort_keys=True).encode()


def within(at: str, refusal: PayloadInvalid) -> PayloadInvalid:
    """The refusal of one message, by its place in the delivery."""
    return PayloadInvalid(".".join(filter(None, (at, refusal.field))), refusal.problem)


def _who(subject: object) -> str:
    """One person as far as one message tells: its id, or all that is said of somebody who has none; "" for nobody."""
    own_id = subject.get("id") if isinstance(subject, dict) else None
    return str(own_id) if own_id else json.dumps(subject, sort_keys=True) if subject else ""


def _name(found: object) -> object:
    value = plain(found)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _data(rule: Rule, message: object, source: str) -> dict[str, object]:
    data: dict[str, object] = {"right": rule.right.value, "subject": subject_of(rule.subject, message, source)}
    if rule.ground:
        data["ground"] = rule.ground
    if rule.received_at and (moment := moment_of(rule.received_at, message)) is not None:
        data["received_at"] = moment
    if rule.version and (version := plain(rule.version.find(message))) is not None:
        data["version"] = int(version) if isinstance(version, str) and version.isdecimal() else version
    if rule.right is Right.RECTIFICATION and not rule.for_a_person:
        fields = changes_of(rule.fields, message, "changes.fields")
        changes = changes_of(rule.changes, message, "changes")
        data["changes"] = {**changes, **({"fields": fields} if fields else {})}
    if rule.scope or rule.scope_at:
        # One that is not there stays in it, and is refused: without it the opt-out would be from more.
        data["scope"] = {**rule.scope, **{kind: _name(path.find(message)) for kind, path in rule.scope_at.items()}}
    if rule.lifted:
        data["lifted"] = {name: plain(path.find(message)) for name, path in rule.lifted.items()}
    return data
