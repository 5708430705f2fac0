"""The settings file that `dpsync init` writes: complete, commented, with a mark at each value only a person knows."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from dpsync.address import NotAnAddress, in_a_labels, mailbox
from dpsync.connector import Connector, ReportsOutcomes, Roster
from dpsync.errors import UsageError

MARK = "# FILL IN"
AS_PRINTED = "# as `dpsync sandbox` prints it"
"""What stands in a rehearsal in place of `MARK`."""

SANDBOX_COMMAND = "dpsync sandbox --http-port 9101 --smtp-port 9125"
LONGEST_NAME = 200
SECRET_FOLDER = "secrets"
WEBHOOK = "webhook"
SWEPT = (
    "sweep = {}             # each night dpsync looks who is back there that was erased or opted out: docs/sweeps.md"
)

SANDBOX = {
    "mailchimp": "http://127.0.0.1:9101/3.0",
    "campaign_monitor": "http://127.0.0.1:9102/api/v3.3",
    "eventbrite": "http://127.0.0.1:9103/v3",
    "hootsuite": "http://127.0.0.1:9104",
    "google_analytics": "http://127.0.0.1:9105",
    "brevo": "http://127.0.0.1:9106/v3",
    "webhook": "http://127.0.0.1:9107/webhook",
    "opendsr": "http://127.0.0.1:9108/v2",
}
"""Where `SANDBOX_COMMAND` imitates each connector's vendor."""

_BESIDE = {
    "opendsr": (
        'domain = "opendsr.sandbox.example"',
        'authorities = {{ file = "{folder}/{name}.authorities" }}  {mark}: from http://127.0.0.1:9108/authority.pem',
    )
}
"""What else is needed before an imitation."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_HEAD_OF_SECTION = re.compile(r"\s*\[([A-Za-z0-9_.-]+)\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


@dataclass(frozen=True, slots=True)
class Answers:
    """What `init` was told. `processors`: connector by name. `rehearsal`: all of it is played, before `SANDBOX`."""

    name: str
    dpo: str = field(repr=False)
    operator: str = field(repr=False)
    processors: Mapping[str, str]
    mode: str
    rehearsal: bool = False


def processors_of(pairs: Sequence[str]) -> dict[str, str]:
    """Connector by processor, of `NAME=CONNECTOR` words. Raises `UsageError`."""
    from dpsync.known_connectors import connector_names

    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, connector = pair.strip().rstrip(",").partition("=")
        connector = connector if equals else name
        if not _NAME.fullmatch(name) or name in found:
            raise UsageError(
                "write --processor as NAME=CONNECTOR. A name has only a-z, 0-9, _ and -, and you can use it once"
            )
        if connector not in connector_names():
            raise UsageError(
                f"there is no such connector for --processor {name}. The connectors are {', '.join(connector_names())}"
            )
        found[name] = connector
    return found


def address_of(option: str, text: str) -> str:
    """The address that `option` gives, as the settings keep it. Raises `UsageError`."""
    try:
        return in_a_labels(mailbox(text))
    except NotAnAddress:
        raise UsageError(f"{option} must be an email address, without a name") from None


def name_of(text: str) -> str:
    """The organisation's name. Raises `UsageError` where it is empty, or holds what cannot stand in a letter's head."""
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"--name must be the name of the organisation, in one line of at most {LONGEST_NAME} characters"
        )
    return name


def unfilled(text: str) -> list[str]:
    """The key of each value that still has the mark, with its section and line, such as `mail.host (line 36)`."""
    found, section = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := _HEAD_OF_SECTION.match(line):
            section = head[1]
        elif MARK in line and (key := _KEY.match(line)):
            found.append(f"{section}.{key[1]} (line {number})".lstrip("."))
    return found


def settings_text(answers: Answers) -> str:
    """The file."""
    dpo, operator = answers.dpo, answers.operator
    domain = dpo.rpartition("@")[2].lower()
    careful = answers.mode != "live"
    mail = _MAIL.format(domain=domain, operator=_quoted(operator), folder=SECRET_FOLDER, mark=MARK)
    head = _HEAD.format(
        name=_quoted(answers.name),
        dpo=_quoted(dpo),
        operator=_quoted(operator),
        origin=_quoted(f"{domain}/dpsync"),
        mode=_quoted(answers.mode),
        # nobody who rehearses waits for a day: the yes is what is practised
        cooling_off="24h" if careful and not answers.rehearsal else "0h",
        approvals=1 if careful else 0,
        folder=SECRET_FOLDER,
        webhook=WEBHOOK,
        rehearsal=_REHEARSAL if answers.rehearsal else "",
        public_url=_PUBLIC_URL if answers.rehearsal else f'# public_url = "https://dpsync.{domain}"',
        mail=_REHEARSAL_MAIL.format(operator=_quoted(operator)) if answers.rehearsal else mail,
    )
    sections = (_section(name, kind, rehearsal=answers.rehearsal) for name, kind in answers.processors.items())
    return head + "".join(sections)


def _quoted(text: str) -> str:
    # A TOML basic string is a JSON string, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _section(name: str, kind: str, *, rehearsal: bool) -> str:
    from dpsync.known_connectors import connector_class

    who = "" if rehearsal else f"  {MARK}: who there does what no API can do"
    lines = [
        f"\n[processors.{name}]",
        f"title = {_quoted(name)}",
        f"connector = {_quoted(kind)}",
        f'contact = "privacy@{name.replace("_", "-")}.example"{who}',
        'answer_within = "10 days"',
    ]
    found = connector_class(kind)
    if found and issubclass(found, Roster):
        lines.append(SWEPT)
    if found and issubclass(found, ReportsOutcomes):
        secret, told = f"{SECRET_FOLDER}/{name}.inbound_secret", f"the processor sends its outcomes to /in/{name}/THAT"
        lines.append(f'inbound_secret = {{ file = "{secret}" }}  {MARK}: 22 or more letters and digits; {told}')
    own = found.Settings.model_fields if found and issubclass(found, Connector) else {}
    needed = [key for key, one in own.items() if one.is_required()]
    # Campaign Monitor lets in by one of two ways, so that neither is required by itself: the first is what most have.
    needed = needed or [key for key, one in own.items() if _is_secret(one)][:1]
    if rehearsal and kind in SANDBOX:
        lines.insert(5, f"{'url' if 'url' in needed else 'base_url'} = {_quoted(SANDBOX[kind])}")
        needed = [key for key in needed if key != "url"]
        lines += [one.format(folder=SECRET_FOLDER, name=name, mark=AS_PRINTED) for one in _BESIDE.get(kind, ())]
    written = [_option(name, key, own[key]) for key in needed]
    lines += [line.replace(MARK, AS_PRINTED) for line in written] if rehearsal else written
    return "\n".join(lines) + "\n"


def _is_secret(one: FieldInfo) -> bool:
    return _mentions_secret(one.annotation)


def _mentions_secret(kind: object) -> bool:
    return kind is SecretStr or any(map(_mentions_secret, get_args(kind)))


def _option(name: str, key: str, one: FieldInfo) -> str:
    several = get_origin(one.annotation) is tuple
    if _is_secret(one):
        reference = f'{{ file = "{SECRET_FOLDER}/{name}.{key}" }}'
        return f"{key} = {f'[{reference}]' if several else reference}  {MARK}: put it into that file, mode 0600"
    return f"{key} = {'[]' if several else _quoted('')}  {MARK}"


_HEAD = """\
# Settings of dpsync. Unknown keys are errors; `dpsync check` names every fault at once.
# A secret never stands here: it is a reference, {{ env = "NAME" }} or {{ file = "path" }} (from this file's folder).

[controller]
name = {name}
dpo = {dpo}            # reads the reports, decides
operator = {operator}  # runs this machine, does by hand what no API can do
time_zone = "Europe/London"
holidays = "GB-ENG"    # or GB-WLS, GB-SCT, GB-NIR: whose bank holidays move a legal date
{rehearsal}
[store]
url = "sqlite:///var/dpsync.db"

[keys]
directory = "keys"     # back this folder up separately from the database

[ledger]
origin = {origin}      # the name under every signature. You can never change it
anchor = "anchors/"    # best on another disk or machine
receipts = "receipts/"

[intake]
secrets = [{{ file = "{folder}/{webhook}" }}]  # your main database signs with the same secret
listen = "127.0.0.1:8460"
{public_url}  # where processors open the links that they answer by

[safety]
mode = {mode}          # observe: send nothing. confirm: each erasure waits for approval. live: send, with the brake on
irreversible_per_day = 50
cooling_off = "{cooling_off}"
approvals = {approvals}

{mail}
[alerts]
urls = []              # Apprise URLs beside mail, each {{ file = "..." }}: Slack, Teams, PagerDuty and others
# heartbeat = {{ file = "{folder}/heartbeat.url" }}  # called while all is well: a watch service then notices silence
"""

_MAIL = """\
[mail]
host = "smtp.{domain}"  {mark}: the host that sends your mail
port = 587
tls = "starttls"
from = {operator}  {mark}: a mailbox that somebody reads. Notices come from it
daily_checkpoint = true  # your DPO gets a copy of the proof each morning, to be filed and not read
# user = "..."
# password = {{ file = "{folder}/mail.password" }}
# Microsoft 365 and Google want a token instead of a password: docs/first-configuration.md shows how
"""

_REHEARSAL = """\
rehearsal = true       # for `dpsync sandbox --http-port 9101 --smtp-port 9125`. No real processor is told
"""

_PUBLIC_URL = 'public_url = "http://127.0.0.1:8460"'

_REHEARSAL_MAIL = """\
[mail]
host = "127.0.0.1"
port = 9125
tls = "none"
from = {operator}
"""
