"""Files that people write or export: settings, mappings, lists, a vendor's export; and the mail that comes in."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dpsync import strict_json
from dpsync.errors import ConfigurationError, PayloadInvalid, UsageError
from dpsync.intake import delivery_report
from dpsync.intake.lists import importing, reading, screening
from dpsync.intake.reconciliation import listed
from dpsync.intake.sources import forms
from dpsync.intake.sources import reading as mappings
from dpsync.intake.sources.rules import SourceDelivery
from dpsync.intake.sources.source import merging_of, request_of
from dpsync.model import Right
from dpsync.retention import export_check
from dpsync.settings import reading as settings
from dpsync.settings.upgrading import upgrade
from dpsync.store.database import reading as reading_from
from tests.builders import START
from tests.fuzz.target import Target, as_json, folder, laid, pick
from tests.gardens import GARDENS
from tests.keeping import HEADER, RULE, export, postbox
from tests.returned import mail, report

_MORE = """
[store]
url = "sqlite:///dpsync.db"
[intake]
secrets = [{ env = "A_SECRET" }]
public_url = "https://dpsync.example.org"
[mail]
host = "localhost"
port = 25
from = "privacy@example.org"
[calendar]
zone = "Europe/London"
[processors.newsletter]
title = "Newsletter"
connector = "mailchimp"
contact = "privacy@mailchimp.example"
api_key = { env = "A_KEY" }
[sources.crm]
mapping = "supabase"
scheme = "static-header"
header = "X-Key"
secrets = [{ env = "A_SECRET" }]
"""


def read_settings(raw: bytes) -> None:
    path = laid("dpsync.toml", raw)
    found = settings.load(path, {"A_SECRET": "whsec_" + "QUFB" * 10, "A_KEY": "key-us1"})
    settings.digest(found)


def upgrade_settings(raw: bytes) -> None:
    path = laid("old.toml", raw)
    settings.processors_as_written(path)
    upgrade(path, (), {"mail.host": "mail.name", "processors.*.title": "called"})


def read_mapping(raw: bytes) -> None:
    """A mapping file, and a message under it."""
    text, _, body = raw.decode(errors="replace").partition("\f")
    found = mappings.parse(text)
    try:
        understood = found.understand(SourceDelivery("crm", forms.read(found.form, body.encode()), "e-1"), bytes.hex)
        for wish in understood.wishes:
            request_of(wish, "crm", START)
        for told in understood.merges:
            merging_of(told, "crm", START)
    except PayloadInvalid as refusal:
        refusal.message.encode()


def read_message(raw: bytes) -> None:
    """A message under a mapping that comes with dpsync."""
    found = mappings.load(pick(mappings.ready(), raw[0] if raw else 0), folder())
    delivery = SourceDelivery("crm", forms.read(found.form, raw[1:]), "e-1")
    understood = found.understand(delivery, bytes.hex)
    for wish in understood.wishes:
        request_of(wish, "crm", START)
    for told in understood.merges:
        merging_of(told, "crm", START)


def import_list(raw: bytes) -> None:
    people = reading.read(laid(pick(("a.csv", "a.jsonl"), raw[0] if raw else 0), raw[1:]), {})
    from tests.fuzz.house import house

    there, bulk = house().service, importing.Bulk(Right.OPT_OUT, "Dana Officer")
    importing.look(there, people.rows(), bulk, START)


def screen_list(raw: bytes) -> None:
    people = reading.read(laid(pick(("a.csv", "a.jsonl"), raw[0] if raw else 0), raw[1:]), {})
    from tests.fuzz.house import house

    there, found = house().service, screening.Screened()
    with reading_from(there.engine) as connection:
        for row in screening.screen(connection, there.keys, people.rows(), found):
            "".join(row.cells)


def read_export(raw: bytes) -> None:
    path = laid("export.csv", raw)
    export_check.read(path, postbox(), RULE, ZoneInfo("America/New_York"), datetime(2026, 11, 20, 12, tzinfo=UTC))


def read_mail(raw: bytes) -> None:
    """Never raises, and no tag is anything but a tag."""
    found = delivery_report.read(raw[: delivery_report.LOOKED_AT], "0" * 64)
    assert all(len(tag) == 32 and tag.isascii() and tag.isalnum() for tag in found.tags)
    assert len(found.tags) <= delivery_report.MOST_TAGS


def read_listed(raw: bytes) -> None:
    """A row of a main database's list of people."""
    row = strict_json.load(raw, quoting=True)
    if isinstance(row, dict) and {"id", "emails"} <= row.keys() and (found := listed.listed(row)):
        found.digested()


def _messages() -> list[bytes]:
    names = mappings.ready()
    return [bytes([place]) + mappings.sample_of(name).encode() for place, name in enumerate(names)]


def _mappings() -> list[bytes]:
    names = ("civicrm", "salesforce", "shopify")
    texts = {name: (mappings.READY / f"{name}.toml").read_text("utf-8") for name in names}
    return [f"{text}\f{mappings.sample_of(name)}".encode() for name, text in texts.items()]


def _lists() -> list[bytes]:
    rows = as_json(
        [{"email": "ada@example.org", "name": "Ada", "phone": "+44 20 7946 0018"}, {"email": "b@example.org"}]
    )
    return [
        b"\0email;name;other emails\nada@example.org;Zo\xc3\xab;bob@example.org\n",
        b'\0sep=,\nEmail,Phone\n"ada@example.org","+44 20 7946 0018"\n',
        *(b"\x01" + b"\n".join(some) for some in (rows, rows[:1])),
    ]


def _rows() -> list[bytes]:
    row = {
        "id": 7,
        "emails": '["ada@example.org", "b@example.org"]',
        "opted_out": 1,
        "version": "3",
        "merged_into": None,
    }
    return as_json([row, {**row, "emails": "ada@example.org, b@example.org", "changed_at": "2026-11-20T09:00:00Z"}])


def _mails() -> list[bytes]:
    tag = "abcd2345" * 4
    return [
        report(("failed", "5.1.1"), to=f"bounce+{tag}@example.org", message_id=tag),
        report(("delivered", "2.0.0"), envelope_id=tag),
        mail(to=f"bounce+{tag}@example.org", headers="Auto-Submitted: auto-replied\n", body="I am away."),
    ]


TARGETS = (
    Target("settings", read_settings, lambda: [(GARDENS + _MORE).encode()], (ConfigurationError,), examples=15),
    Target("old settings", upgrade_settings, lambda: [(GARDENS + _MORE).encode()], (ConfigurationError,)),
    Target("mappings", read_mapping, _mappings, (ConfigurationError,)),
    Target("messages of sources", read_message, _messages, (PayloadInvalid,), chosen=1, examples=30),
    Target("import", import_list, _lists, (UsageError,), chosen=1, housed=True),
    Target("screen", screen_list, _lists, (UsageError,), chosen=1, housed=True),
    Target(
        "exports",
        read_export,
        lambda: [export(("c-1", "2026-09-01T09:00:00Z")).encode(), HEADER.encode()],
        (UsageError,),
    ),
    Target("rows of people", read_listed, _rows, (PayloadInvalid,)),
    Target("mail", read_mail, _mails),
)
