"""How paths and conditions are written in a mapping's file, for pydantic."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dpsync.intake.sources.conditions import Condition, Relation, Scalar
from dpsync.intake.sources.paths import Path


def _path(raw: object) -> object:
    return Path.parse(raw) if isinstance(raw, str) else raw


def _several(raw: object) -> object:
    return tuple(_path(one) for one in raw) if isinstance(raw, list) else (_path(raw),)


APath = Annotated[Path, BeforeValidator(_path)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_several), Field(min_length=1, max_length=20)]


class Part(BaseModel):
    """A table of the file: what nobody knows in it is a fault."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


class _Compared(Part):
    """A condition in its long form: exactly one of these."""

    is_: Literal["set", "missing", "absent", "no_flag"] | None = Field(default=None, alias="is")
    not_: Scalar | list[Scalar] | None = Field(default=None, alias="not")
    differs_from: APath | None = None
    begins: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "_Compared":
        if len(self.model_fields_set) != 1:
            raise ValueError("a condition is one of is, not, differs_from and begins")
        return self


_STANDING = {
    "set": lambda where: Condition(where, Relation.IS_NOT, (None,)),
    "missing": lambda where: Condition(where, Relation.IS, (None,)),
    "absent": lambda where: Condition(where, Relation.ABSENT),
    "no_flag": lambda where: Condition(where, Relation.NO_FLAG),
}


def _condition(path: str, raw: object) -> Condition:
    where = Path.parse(path)
    if not isinstance(raw, dict):
        return Condition(where, Relation.IS, _scalars(raw))
    said = _Compared.model_validate(raw)
    if said.differs_from is not None:
        return Condition(where, Relation.DIFFERS_FROM, other=said.differs_from)
    if said.begins is not None:
        return Condition(where, Relation.BEGINS, (said.begins,))
    if said.is_ is not None:
        return _STANDING[said.is_](where)
    return Condition(where, Relation.IS_NOT, _scalars(said.not_))


def _scalars(raw: object) -> tuple[Scalar, ...]:
    values = raw if isinstance(raw, list) else [raw]
    if not values or not all(isinstance(value, str | int | bool) for value in values):
        raise ValueError("compares with a text, a whole number, true or false, or a list of those")
    return tuple(values)


def _conditions(raw: object) -> object:
    if not isinstance(raw, dict) or not raw:
        raise ValueError("must name at least one condition: a path, and what stands there")
    return tuple(_condition(path, value) for path, value in raw.items())


Conditions = Annotated[tuple[Condition, ...], BeforeValidator(_conditions)]
