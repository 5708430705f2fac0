"""What somebody at a processor does with a mail: finds its links, opens them, fills in the form and sends it."""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

LINK = re.compile(r"""https?://[^\s<>"'()\[\]{}\\]+""")
SECONDS = 60


def links_of(raw: bytes) -> list[str]:
    """Every http(s) link in the text and JSON parts of a mail, in order, each once; attachments included."""
    found = dict.fromkeys(link.rstrip(".,;:!?") for text in _parts(raw) for link in LINK.findall(text))
    return list(found)


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as somebody reads it: all its words, attachments included, and the first JSON object that it brings."""

    words: str
    data: Mapping[str, object]


def read(raw: bytes) -> Letter:
    """The letter in a mail."""
    found: Mapping[str, object] = {}
    for part in message_from_bytes(raw, policy=policy.default).walk():
        if isinstance(part, EmailMessage) and part.get_content_type() == "application/json" and not found:
            try:
                given = json.loads(part.get_content())
            except ValueError:
                continue
            found = given if isinstance(given, dict) else {}
    return Letter("\n".join(_parts(raw)), found)


def _parts(raw: bytes) -> list[str]:
    return [
        text
        for part in message_from_bytes(raw, policy=policy.default).walk()
        if isinstance(part, EmailMessage)
        and (part.get_content_maintype() == "text" or part.get_content_type() == "application/json")
        for text in _texts(part)
    ]


def _texts(part: EmailMessage) -> list[str]:
    content = part.get_content()
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    if part.get_content_type() == "application/json":
        try:
            # In JSON a link may be spelled with escapes.
            return _strings(json.loads(text))
        except ValueError:
            return [text]
    return [text]


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return []


def path_of(link: str) -> str:
    """The path of a link."""
    return urlsplit(link).path


def is_near(link: str) -> bool:
    """Whether a link stays on this machine: a sandbox opens nothing beyond it."""
    host = urlsplit(link).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class Form:
    """One form of a page: where it goes, and its fields as a browser would send them untouched."""

    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
            self.inside = True
        elif self.inside and tag in {"input", "textarea", "select", "button"} and given.get("name"):
            self._note(self.forms[-1], tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False

    @staticmethod
    def _note(form: Form, tag: str, given: Mapping[str, str]) -> None:
        form.names.add(given["name"])
        kind = given.get("type", "text").lower()
        if tag == "button" or kind in {"submit", "button", "reset", "image", "file"}:
            return
        if kind in {"radio", "checkbox"} and "checked" not in given:
            return
        form.fields[given["name"]] = given.get("value", "")


def forms_of(page: str) -> list[Form]:
    """The forms of an HTML page."""
    reader = _FormReader()
    reader.feed(page)
    reader.close()
    return reader.forms


@dataclass(frozen=True, slots=True)
class Deed:
    """One HTTP call a recipient made: `GET` or `POST`, the status (0: no answer)."""

    method: str
    path: str
    status: int


def look(link: str) -> list[Deed]:
    """Asks for a link's head, opens it, and does nothing more, as a mail scanner does."""
    with _session() as session:
        try:
            head = Deed("HEAD", path_of(link), session.head(link, timeout=SECONDS).status_code)
        except requests.RequestException:
            head = Deed("HEAD", path_of(link), 0)
        deed, _ = _get(session, link)
        return [head, deed]


def fill_in(link: str, wanted: Mapping[str, str]) -> list[Deed]:
    """Opens the link and sends the first form that asks for one of the `wanted` fields.

    The form's own hidden fields and presets are sent along; of `wanted` only what the form has. Without such a form
    there is no POST.
    """
    with _session() as session:
        deed, page = _get(session, link)
        deeds = [deed]
        for form in forms_of(page):
            if form.method == "post" and form.names & wanted.keys():
                data = form.fields | {name: value for name, value in wanted.items() if name in form.names}
                target = urljoin(link, form.action) if form.action else link
                deeds.append(_post(session, target, data))
                break
        return deeds


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _get(session: requests.Session, link: str) -> tuple[Deed, str]:
    try:
        reply = session.get(link, timeout=SECONDS, allow_redirects=False)
    except requests.RequestException:
        return Deed("GET", path_of(link), 0), ""
    return Deed("GET", path_of(link), reply.status_code), reply.text


def _post(session: requests.Session, target: str, data: Mapping[str, str]) -> Deed:
    try:
        reply = session.post(target, data=dict(data), timeout=SECONDS, allow_redirects=False)
    except requests.RequestException:
        return Deed("POST", path_of(target), 0)
    return Deed("POST", path_of(target), reply.status_code)
