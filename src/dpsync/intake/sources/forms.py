"""In what form the messages of a sender stand in its body: read into what the paths of a mapping lead through.

Each form is a named way of reading, like the ways of signing. A form that repeats a name, or does not look like its
vendor's, is refused whole: the rest of it might name another person.
"""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dpsync import strict_json
from dpsync.errors import PayloadInvalid

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SOAP: Final = "{http://schemas.xmlsoap.org/soap/envelope/}"
_OUTBOUND: Final = "{http://soap.sforce.com/2005/09/outbound}"
_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"

_ACKNOWLEDGEMENT: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
)
"""What Salesforce wants to hear once all is kept; without it, it sends the same message again for a day."""


class BodyForm(StrEnum):
    """How the messages stand in a body."""

    JSON = "json"
    MAUTIC = "mautic"
    DATAVERSE = "dataverse"
    SALESFORCE = "salesforce"
    FIDES = "fides"
    KETCH = "ketch"


def read(form: BodyForm, body: bytes) -> object:
    """What a body says, as JSON has it. Raises `PayloadInvalid`, without a word of what stands there."""
    if form is BodyForm.SALESFORCE:
        return _notifications(body)
    said = strict_json.load(body, quoting=True)  # what the mapping does not take may hold anything
    try:
        return _formed(form, said)
    except RecursionError:
        raise PayloadInvalid("", "is nested too deeply") from None


def _formed(form: BodyForm, said: object) -> object:
    match form:
        case BodyForm.MAUTIC:
            return _by_event(said)
        case BodyForm.DATAVERSE:
            return _without_pairs(said)
        case BodyForm.JSON | BodyForm.SALESFORCE | BodyForm.FIDES | BodyForm.KETCH:
            return said


def answer(form: BodyForm, body: bytes) -> tuple[str, str] | None:
    """What a sender wants to hear, with a 200, once all is kept, and in which type; None where any such answer will do.

    Nothing at all is said with a 204. `body`: what `read` took.
    """
    match form:
        case BodyForm.SALESFORCE:
            return _ACKNOWLEDGEMENT, "text/xml"
        case BodyForm.FIDES:  # it waits for no more than this: a halt would run into its time limit
            return '{"halt": false}', "application/json"
        case BodyForm.KETCH:
            return _pending(strict_json.load(body, quoting=True)), "application/json"
        case BodyForm.JSON | BodyForm.MAUTIC | BodyForm.DATAVERSE:
            return None


def job(form: BodyForm, said: object, called: str) -> str:
    """By what the job behind a message is answered, "" for none. `said`: what `read` took; `called`: of its header."""
    if form is not BodyForm.KETCH:
        return called
    match said:
        case {
            "kind": str(kind),
            "metadata": {"uid": str(uid), "tenant": str(tenant)},
            "request": {"callbacks": [_, *_] as callbacks},
        }:
            head = {"kind": kind.removesuffix("Request"), "uid": uid, "tenant": tenant}
            return json.dumps({**head, "callbacks": callbacks})
    return ""


def _pending(asked: object) -> str:
    """Ketch: the same head as the request's, and that it is under way; of consent, it waits for no word."""
    said = asked if isinstance(asked, dict) else {}
    if not f"{said.get('apiVersion')}".startswith("dsr/"):
        return ""
    head = said.get("metadata")
    named = {name: head.get(name) for name in ("uid", "tenant")} if isinstance(head, dict) else {}
    kind = f"{said.get('kind')}".removesuffix("Request")
    head = {"apiVersion": said.get("apiVersion"), "kind": f"{kind}Response", "metadata": named}
    return json.dumps({**head, "response": {"status": "pending"}})


def _by_event(said: object) -> object:
    """Mautic: an object with a list of events under the name of each kind. One list, each item with its kind."""
    if not isinstance(said, dict) or not all(isinstance(some, list) for some in said.values()):
        raise PayloadInvalid("", "must hold a list under the name of each kind of event")
    return [{"event": name, "data": one} for name, some in said.items() for one in some]


def _without_pairs(said: object) -> object:
    """Dataverse: what .NET writes as a list of pairs of key and value is an object."""
    match said:
        case dict():
            return {name: _without_pairs(value) for name, value in said.items()}
        case list() if said and all(isinstance(one, dict) and {"key", "value"} <= one.keys() for one in said):
            if len({str(one["key"]) for one in said}) < len(said):
                raise PayloadInvalid("", "holds one key twice")
            return {str(one["key"]): _without_pairs(one["value"]) for one in said}
        case list():
            return [_without_pairs(one) for one in said]
        case _:
            return said


def _notifications(body: bytes) -> object:
    """Salesforce: an outbound message in SOAP. Its session id, with which one could log in there, goes no further."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, LookupError, ValueError):
        raise PayloadInvalid("", "is not XML, or XML that declares types or entities") from None
    told = root.find(f"{_SOAP}Body/{_OUTBOUND}notifications")
    if root.tag != f"{_SOAP}Envelope" or told is None:
        raise PayloadInvalid("", "is not an outbound message")
    return [
        {"organization": told.findtext(f"{_OUTBOUND}OrganizationId"), **_notification(one)}
        for one in told.findall(f"{_OUTBOUND}Notification")
    ]


def _notification(one: "Element") -> dict[str, object]:
    found = one.findall(f"{_OUTBOUND}Id"), one.findall(f"{_OUTBOUND}sObject")
    if [len(some) for some in found] != [1, 1]:
        raise PayloadInvalid("", "must hold one Id and one sObject in each notification")
    ((own_id,), (record,)) = found
    fields = [(_local(field.tag), _text(field)) for field in record]
    if len({name for name, _ in fields}) < len(fields):
        raise PayloadInvalid("", "holds one field of a record twice")
    kind = record.get(f"{_XSI}type", "").rpartition(":")[2]
    return {"Id": own_id.text, "type": kind, "sObject": dict(fields)}


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _text(field: "Element") -> str | None:
    if len(field):
        raise PayloadInvalid("", "holds a field of a record that is no text")
    return None if field.get(f"{_XSI}nil") == "true" else field.text
