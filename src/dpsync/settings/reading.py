"""From the file to `Settings`, or to every fault at once; never a value in a message."""

import difflib
import hashlib
import json
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from dpsync import paths
from dpsync.errors import ConfigurationError, Fault
from dpsync.paths import TroubleKind, Unusable
from dpsync.settings import toml
from dpsync.settings.controller import faults_of_letters, faults_of_regime
from dpsync.settings.opendsr import faults_of_opendsr
from dpsync.settings.places import line_of
from dpsync.settings.sections import ProcessorSection, Settings
from dpsync.settings.values import OURS, UNSET, UNSET_CODE, Environment, resolve
from dpsync.urls import is_loopback

LARGEST = 1024 * 1024
"""Bytes; settings of a thousand processors have a fifth of it."""

M = TypeVar("M", bound=BaseModel)

_KINDS = {
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "tuple_type": "must be a list in [ ]",
    "list_type": "must be a list in [ ]",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
}
_PLACE = re.compile(r"\(at (line \d+, column \d+|end of document)\)")


def load(path: Path, environ: Mapping[str, str], *, secrets: bool = True) -> Settings:
    """The settings in `path`, with every secret resolved and every relative path begun at the file's folder.

    Raises `ConfigurationError` with all faults at once. A secret that is merely not set here has code DP-204 and comes
    after all that is wrong. With `secrets=False` no secret is an error, be it not set or its file a folder or open to
    others: they are in `Settings.unset`. But the address of the store is needed by every command.
    """
    text, document = parsed(path)
    here = Environment(environ, path.absolute().parent)
    cross = tuple(_between_sections(document, here.folder))
    settings, faults = None, []
    try:
        settings = Settings.model_validate(document, context=here)
    except ValidationError as refused:
        faults = [_with_line(_fault(error, document), error["loc"], text) for error in _errors(refused)]
    faults += [_with_line(Fault(".".join(loc), problem), loc, text) for loc, problem in cross]
    faults.sort(key=lambda fault: fault.code == UNSET_CODE)
    if settings is not None and not faults:
        return settings
    if secrets or cross:
        raise ConfigurationError(faults)
    lenient = Environment(environ, here.folder, lenient=True)
    try:
        without = Settings.model_validate(document, context=lenient)
    except ValidationError:
        raise ConfigurationError(faults) from None
    if nowhere := [fault for fault in faults if fault.key == "store.url"]:
        raise ConfigurationError(nowhere)  # every command needs the store
    return without.missing(tuple(faults))


def connector_section(
    model: type[M], name: str, section: ProcessorSection, environ: Mapping[str, str], folder: Path
) -> M:
    """A processor's own keys as its connector's settings; what the connector keeps as `SecretStr` must be a reference.

    `folder` is that of the settings file. Raises `ConfigurationError` with every fault, keys `processors.NAME.key`.
    """
    here = Environment(environ, folder.absolute())
    known = {field.alias or key: field for key, field in model.model_fields.items()}
    shared = ProcessorSection.model_fields.keys() - {"options"}
    faults: list[Fault] = []
    values: dict[str, object] = {}
    given = dict(section.options)
    if section.base_url is not None:
        given["base_url"] = section.base_url
    for key, raw in given.items():
        where = f"processors.{name}.{key}"
        if key not in known:
            faults.append(Fault(where, _unknown(key, [*known, *shared])))
            continue
        try:
            values[key] = _resolved(raw, here) if _is_secret(known[key]) else raw
        except PydanticCustomError as problem:
            faults.append(Fault(where, problem.message(), UNSET_CODE if problem.type == UNSET else "DP-201"))
    try:
        filled = model.model_validate(values)
    except ValidationError as refused:
        told = {fault.key for fault in faults}
        mine = (_fault(error, values, ("processors", name)) for error in _errors(refused))
        faults += [fault for fault in mine if fault.key not in told and not (faults and fault.key.count(".") == 1)]
    if faults:
        raise ConfigurationError(sorted(faults, key=lambda fault: fault.code == UNSET_CODE))
    return filled


def processors_as_written(path: Path) -> dict[str, ProcessorSection]:
    """The processors of a file that `load` refused, for `connector_section` alone: nothing else in them is filled.

    Raises `ConfigurationError` where the file cannot be read.
    """
    _, document = parsed(path)
    written = document.get("processors")
    own = ProcessorSection.model_fields.keys()
    found = {}
    for name, raw in written.items() if isinstance(written, dict) else ():
        if isinstance(raw, dict) and isinstance(kind := raw.get("connector"), str):
            options = {key: value for key, value in raw.items() if key not in own}
            found[name] = ProcessorSection.model_construct(
                connector=kind, base_url=raw.get("base_url"), options=options
            )
    return found


def digest(settings: Settings) -> str:
    """SHA-256 (64 hex digits) of the effective settings, secrets as their references: for the ledger."""
    shown = settings.model_dump(mode="json", by_alias=True)
    return hashlib.sha256(json.dumps(shown, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def schema() -> dict[str, Any]:
    """The settings as a JSON schema, for editors and for checks in CI."""
    made = Settings.model_json_schema(by_alias=True)
    processor = made["$defs"]["ProcessorSection"]
    del processor["properties"]["options"]
    processor["additionalProperties"] = True
    processor["required"] = [key for key in processor["required"] if key not in ("title", "account")]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "dpsync settings"}


# --- the file


def parsed(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a settings file, and what it says. Raises `ConfigurationError`."""

    def refused(problem: str) -> ConfigurationError:
        return ConfigurationError([Fault(str(path), problem)])

    try:
        text = paths.read(path, most=LARGEST).decode()
        return text, toml.loads(text)
    except Unusable as unusable:
        trouble = unusable.trouble
        if trouble.kind is TroubleKind.VACANT:
            raise refused("is not there; `dpsync init` writes one") from None
        if trouble.kind is TroubleKind.OTHER and path.is_dir():
            raise refused("is a folder; name the file dpsync.toml in it") from None
        raise refused(trouble.told("put it back from its copy").removeprefix(f"{path} ")) from None
    except UnicodeDecodeError:
        raise refused("is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        # The library's own sentence may quote the line, and the line may hold a password.
        place = _PLACE.search(str(error))
        raise refused(f"is not valid TOML at {place[1] if place else 'an unknown place'}") from None


def _between_sections(document: Mapping[str, Any], folder: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """What no field can see alone, asked of the raw file so that it is told together with the rest."""
    controller, mail = document.get("controller"), document.get("mail")
    yield from faults_of_opendsr(document)
    if isinstance(controller, dict):
        found = (*faults_of_regime(controller), *faults_of_letters(controller, folder))
        yield from ((("controller", key), problem) for key, problem in found)
    if not isinstance(mail, dict):
        return
    host = mail.get("host")
    if mail.get("tls") == "none" and isinstance(host, str) and not is_loopback(host):
        yield (
            ("mail", "tls"),
            "may be none only to this machine itself: identifiers would cross the network in the clear",
        )
    if "user" in mail and "password" not in mail and "oauth" not in mail:
        yield ("mail", "password"), "is required beside user"
    if "password" in mail and "user" not in mail:
        yield ("mail", "user"), "is required beside password"
    yield from _of_access(mail, document)


def _of_access(mail: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    oauth, controller = mail.get("oauth"), document.get("controller")
    if not isinstance(oauth, dict):
        return
    if "password" in mail:
        yield ("mail", "password"), "is not used beside [mail.oauth]: take one of them out"
    elif "user" not in mail:
        yield ("mail", "user"), "is required beside [mail.oauth]: the address of the mailbox that dpsync sends from"
    if "scope" not in oauth and "refresh_token" not in oauth:
        yield ("mail", "oauth", "scope"), "is required, except with refresh_token"
    rehearsal = isinstance(controller, dict) and controller.get("rehearsal") is True
    if str(oauth.get("token_url", "")).startswith("http://") and not rehearsal:
        yield ("mail", "oauth", "token_url"), "must begin with https:// outside a rehearsal"


# --- faults


def _errors(refused: ValidationError) -> list[ErrorDetails]:
    return refused.errors(include_url=False, include_input=False)


def _fault(error: ErrorDetails, document: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Fault:
    loc = error["loc"]
    key = _key_path((*prefix, *loc))
    match error["type"]:
        case "extra_forbidden":
            return Fault(key, _unknown(str(loc[-1]), list(_model_at(loc[:-1]))))
        case "missing":
            return Fault(key, "is required" if prefix else _missing(loc, document))
        case kind if kind == UNSET:
            return Fault(key, error["msg"], UNSET_CODE)
        case kind:
            return Fault(key, _problem(kind, error, document))


def _key_path(loc: tuple[int | str, ...]) -> str:
    # pydantic ends the place of a faulty *key* with "[key]"; the key itself stands before it.
    parts = [part for part in loc if part != "[key]"]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _problem(kind: str, error: ErrorDetails, document: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    match kind:
        case "value_error":
            return _shown(str(context.get("error", "")), document)
        case _ if kind == OURS:
            return error["msg"]
        case _ if kind in _KINDS:
            return _KINDS[kind]
        case "literal_error" | "enum":
            return f"must be one of: {context['expected']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "string_pattern_mismatch" if error["loc"][-1] == "[key]":
            return "must be named in a-z, 0-9, _ and -, at most 40 of them"
        case "string_pattern_mismatch" if _written(error["loc"], document) == "":
            return _KINDS["string_too_short"]
        case "string_pattern_mismatch":
            return "has characters or a form that are not allowed here"
        case _:
            return "is not what belongs here"


def _written(loc: Sequence[int | str], document: Any) -> object:
    """What stands there in the file; None where it has no such place."""
    for part in loc:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _shown(sentence: str, document: Mapping[str, Any]) -> str:
    """A validator's own sentence, unless it may repeat what was given."""
    quoted = any(mark in sentence for mark in "'\"")
    repeats = any(len(text) > 2 and text in sentence for text in _texts(document))
    return "is not what belongs here" if quoted or repeats or not sentence else sentence


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case SecretStr():
            yield value.get_secret_value()
        case Mapping():
            for part in value.values():
                yield from _texts(part)
        case list() | tuple():
            for part in value:
                yield from _texts(part)
        case _:
            pass


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"is not a setting; did you mean {near[0]}?" if near else f"is not a setting; there are {', '.join(known)}"


def _missing(loc: tuple[int | str, ...], document: Mapping[str, Any]) -> str:
    table: Any = document
    for part in loc[:-1]:
        table = table.get(part, {}) if isinstance(table, dict) else {}
    known = _model_at(loc[:-1])
    spare = [str(key) for key in table if key not in known] if isinstance(table, dict) else []
    near = difflib.get_close_matches(str(loc[-1]), spare, n=1, cutoff=0.6)
    return f"is required; is {near[0]} meant to be it?" if near else "is required"


def _model_at(loc: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """The settings that may stand at a place of the file, by the name they have there."""
    model: type[BaseModel] | None = Settings
    for part in loc:
        field = model.model_fields.get(str(part)) if model else None
        if field is not None:
            model = _section_in(field.annotation)
    return {field.alias or key: field for key, field in model.model_fields.items() if key != "options"} if model else {}


def _section_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _section_in(part))), None)


def _with_line(fault: Fault, loc: tuple[int | str, ...], text: str) -> Fault:
    line = line_of([str(part) for part in loc if not isinstance(part, int)], text)
    return Fault(fault.key, f"{fault.problem} (line {line})", fault.code) if line else fault


# --- a connector's secrets


def _is_secret(field: FieldInfo) -> bool:
    return _mentions_secret(field.annotation)


def _mentions_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_mentions_secret(part) for part in typing.get_args(annotation))


def _resolved(raw: object, here: Environment) -> object:
    if isinstance(raw, list):
        return [_resolved(one, here) for one in raw]
    return SecretStr(resolve(raw, here).get_secret_value())
