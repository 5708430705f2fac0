"""The bill of materials in CycloneDX 1.6, and the list of licences: the same bytes for the same lock."""

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dpsync import __version__
from release.parts import LOCK, LockedPart, Use

OURS: Final = f"pkg:generic/dpsync@{__version__}"
_USES: Final = {Use.SERVICE: "the service", Use.EXTRA: "an extra", Use.DEVELOPMENT: "development and tests alone"}


def bill(found: Sequence[LockedPart], lock: Path = LOCK) -> str:
    """CycloneDX as JSON. It has no time and no random number in it: its number is made of the lock."""
    number = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(lock.read_bytes()).hexdigest())
    names = {one.name: _reference(one) for one in found}
    service = [names[one.name] for one in found if one.use is Use.SERVICE]
    value: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": OURS,
                "name": "dpsync",
                "version": __version__,
                "purl": OURS,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": [_component(one) for one in found],
        "dependencies": [
            {"ref": OURS, "dependsOn": service},
            *({"ref": names[one.name], "dependsOn": [names[name] for name in one.needs]} for one in found),
        ],
    }
    return json.dumps(value, indent=2) + "\n"


def _reference(one: LockedPart) -> str:
    return f"pkg:pypi/{one.name}@{one.version}"


def _component(one: LockedPart) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(one),
        "name": one.name,
        "version": one.version,
        "scope": one.use.value,
        "purl": _reference(one),
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in one.hashes],
    }
    if one.licence:
        value["licenses"] = [{"license": {"name": one.licence}}]
    if one.marker:
        value["properties"] = [{"name": "dpsync:marker", "value": one.marker}]
    return value


def licences(found: Sequence[LockedPart]) -> str:
    """The list as Markdown, by licence."""
    by_licence: dict[str, list[LockedPart]] = defaultdict(list)
    for one in found:
        by_licence[one.licence or "not known here: it is not installed on this system, or names none"].append(one)
    lines = ["# Licences of the parts of dpsync", "", "dpsync itself: Apache-2.0."]
    for licence, ones in sorted(by_licence.items()):
        lines += ["", f"## {licence}", "", "| part | version | for |", "| --- | --- | --- |"]
        lines += [f"| {one.name} | {one.version} | {_USES[one.use]} |" for one in ones]
    return "\n".join(lines) + "\n"
