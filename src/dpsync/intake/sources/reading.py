"""A mapping as it stands in its file (TOML), read and checked; each fault is named by its place in the file."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from importlib import resources
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from dpsync.errors import ConfigurationError, Fault
from dpsync.intake.payload import Ground
from dpsync.intake.sources.condition_forms import APath, Conditions, Part, Paths
from dpsync.intake.sources.forms import BodyForm
from dpsync.intake.sources.rules import Ignored, MergeRule, Rule, SourceMapping, Together
from dpsync.intake.sources.spread import Spread
from dpsync.intake.sources.values import ONE_OF_THEM, MomentPlace, ScopeKind, ScopeName, TimeUnit, demand_scope
from dpsync.model import Right
from dpsync.settings import toml

LARGEST_FILE = 64 * 1024
READY = resources.files("dpsync.intake.sources") / "ready"
"""The mappings that come with dpsync."""


Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Named = Mapping[str, APath]
RecordKey = Annotated[str, Field(pattern="^(id|email|other_emails)$")]
SubjectKey = Annotated[str, Field(pattern="^(id|email|other_emails|phone|name)$")]


class _Moment(Part):
    path: APath
    unit: TimeUnit | None = None


def _moment(raw: object) -> object:
    return {"path": raw} if isinstance(raw, str) else raw


class _Merge(Part):
    """Two records that became one: which is gone, and which stays."""

    loser: Mapping[RecordKey, Paths]
    winner: Mapping[RecordKey, Paths]

    @model_validator(mode="after")
    def _named(self) -> "_Merge":
        if not ("id" in self.loser and "id" in self.winner):
            raise ValueError("on_merge names the id of the loser and of the winner")
        if len(self.winner["id"]) > 1:
            raise ValueError("the winner's id is one path. For the first of two that is there: first | second")
        return self


class _Rule(Part):
    name: Label
    when: Conditions
    right: Right | None = None
    on_merge: _Merge | None = None
    subject: Mapping[SubjectKey, Paths] = {}
    changes: Mapping[Annotated[str, Field(pattern="^(email|first_name|last_name)$")], APath] = {}
    fields: Named = Field(default={})
    ground: Ground | None = None
    received_at: Annotated[_Moment | None, BeforeValidator(_moment)] = None
    version: APath | None = None
    lifted: Mapping[Annotated[str, Field(pattern="^(told_on|how)$")], APath] = {}
    delete_shaped: bool = False
    for_a_person: bool = False
    scope: Mapping[ScopeKind, ScopeName] = {}
    scope_at: Mapping[ScopeKind, APath] = {}

    @model_validator(mode="after")
    def _fits(self) -> "_Rule":
        if (self.right is None) is (self.on_merge is None):
            raise ValueError("a rule has either a right or on_merge")
        if self.on_merge and self.model_fields_set - {"name", "when", "on_merge"}:
            raise ValueError("a rule with on_merge has nothing else but name and when")
        if self.right and not self.subject:
            raise ValueError("subject must name somebody")
        return self

    @model_validator(mode="after")
    def _suits_the_right(self) -> "_Rule":
        corrects = bool(self.changes or self.fields)
        if corrects != (self.right is Right.RECTIFICATION and not self.for_a_person):
            raise ValueError("a rectification names changes or fields, or is for_a_person, and no other right does")
        if self.lifted and (self.right is not Right.RESTRICTION or len(self.lifted) != 2):
            raise ValueError("lifted belongs to a restriction, and names told_on and how")
        demand_scope(self.right, self.scope, self.scope_at)
        if self.for_a_person and self.right not in {Right.RECTIFICATION, Right.RESTRICTION}:
            raise ValueError("for_a_person belongs to a rectification without values, or to a restriction")
        if self.delete_shaped and self.right is not Right.ERASURE:
            raise ValueError("delete_shaped belongs to an erasure")
        if several := sorted(name for name in ONE_OF_THEM & self.subject.keys() if len(self.subject[name]) > 1):
            raise ValueError(f"{several[0]} is one path. For the first of two that is there: first | second")
        return self


class _Ignored(Part):
    name: Label
    when: Conditions


class _Together(Part):
    name: Label
    same: APath
    minutes: int = Field(ge=1, le=1440)
    parts: Mapping[Label, Conditions] = Field(min_length=2, max_length=10)


class _Spread(Part):
    name: Label
    at: APath


class _File(Part):
    about: str = ""
    sample: str = ""
    event: Paths | None = None
    event_header: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,60}$")] | None = None
    merge_wait_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    form: BodyForm = BodyForm.JSON
    drops_answered: bool = False
    each: APath | None = None
    inside: APath | None = None
    spread: list[_Spread] = Field(default=[], max_length=5)
    gather: Paths | None = None
    rules: list[_Rule] = Field(min_length=1, max_length=100)
    refuse: list[_Ignored] = Field(default=[], max_length=100)
    ignore: list[_Ignored] = Field(default=[], max_length=100)
    together: list[_Together] = Field(default=[], max_length=10)
    triggers: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]] = Field(default=[], max_length=50)

    @model_validator(mode="after")
    def _known_again(self) -> "_File":
        if self.event is None and self.event_header is None:
            raise ValueError("event or event_header must say what tells one event from another")
        names = Counter(rule.name for rule in self.rules)
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"two rules have the name {twice[0]}, by which their wishes are told apart")
        return self


def ready() -> list[str]:
    """The names of the mappings that come with dpsync."""
    return sorted(one.name.removesuffix(".toml") for one in READY.iterdir() if one.name.endswith(".toml"))


def load(named: str, folder: FilePath) -> SourceMapping:
    """The mapping of that name, or in that file of `folder`. Raises `ConfigurationError`."""
    text = (READY / f"{named}.toml").read_text("utf-8") if named in ready() else _text_of(folder / named, named)
    try:
        return parse(text)
    except ConfigurationError as error:
        raise ConfigurationError(
            [Fault(f"{named}: {one.key}".removesuffix(": "), one.problem) for one in error.faults]
        ) from None


def _text_of(file: FilePath, named: str) -> str:
    known = f"Ready-made ones: {', '.join(ready())}"
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ConfigurationError([Fault(named, f"the mapping is larger than {LARGEST_FILE // 1024} KiB")])
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError([Fault(named, f"is no file that can be read as a mapping. {known}")]) from None


def _shape(text: str) -> _File:
    try:
        return _File.model_validate(toml.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([Fault("", f"is not TOML: {error}")]) from None
    except ValidationError as error:
        raise ConfigurationError([_fault(one) for one in error.errors(include_input=False)]) from None


def parse(text: str) -> SourceMapping:
    """Read the text of a mapping file. Raises `ConfigurationError` that names each place."""
    shape = _shape(text)
    return SourceMapping(
        event=shape.event or (),
        event_header=shape.event_header or "",
        each=shape.each,
        inside=shape.inside,
        spread=tuple(Spread(one.name, one.at) for one in shape.spread),
        gather=shape.gather or (),
        rules=tuple(_rule(one, one.right) for one in shape.rules if one.right),
        merge_rules=tuple(
            MergeRule(one.name, one.when, one.on_merge.loser, one.on_merge.winner)
            for one in shape.rules
            if one.on_merge
        ),
        merge_wait=timedelta(minutes=shape.merge_wait_minutes),
        form=shape.form,
        drops_answered=shape.drops_answered,
        refused=tuple(Ignored(one.name, one.when) for one in shape.refuse),
        ignored=tuple(Ignored(one.name, one.when) for one in shape.ignore),
        together=tuple(
            Together(one.name, one.same, timedelta(minutes=one.minutes), one.parts) for one in shape.together
        ),
        triggers=tuple(shape.triggers),
    )


def _rule(shape: _Rule, right: Right) -> Rule:
    return Rule(
        name=shape.name,
        right=right,
        when=shape.when,
        subject=shape.subject,
        changes=shape.changes,
        fields=shape.fields,
        ground=shape.ground or "",
        received_at=MomentPlace(shape.received_at.path, shape.received_at.unit) if shape.received_at else None,
        version=shape.version,
        lifted=shape.lifted,
        delete_shaped=shape.delete_shaped,
        for_a_person=shape.for_a_person,
        scope=shape.scope,
        scope_at=shape.scope_at,
    )


def _fault(error: Mapping[str, Any]) -> Fault:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).removeprefix(".")
    return Fault(where, str(error["msg"]).removeprefix("Value error, "))


def about(name: str) -> str:
    """What a ready-made mapping is for, in its first sentence."""
    return " ".join(_shape((READY / f"{name}.toml").read_text("utf-8")).about.split()).partition(". ")[0]


def sql_of(name: str) -> dict[str, str]:
    """The SQL for an outbox of a ready-made mapping, by engine: table, triggers and grant."""
    files = sorted((one for one in READY.iterdir() if one.name.startswith(f"{name}.")), key=lambda one: one.name)
    return {one.name.split(".")[1]: one.read_text("utf-8") for one in files if one.name.endswith(".sql")}


def sample_of(name: str) -> str:
    """An example message of a ready-made mapping, about invented people."""
    return _shape((READY / f"{name}.toml").read_text("utf-8")).sample.strip()
