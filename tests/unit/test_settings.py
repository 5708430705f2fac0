"""The settings: every fault at once, with its key path and never with its value."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from dpsync import settings as configuration
from dpsync.errors import ConfigurationError, Fault
from dpsync.model import Mode, Right
from dpsync.settings import ProcessorSection, Settings
from dpsync.settings.sources import SourceSection
from dpsync.settings.values import SHORTEST_PASSPHRASE, Environment, duration

EXAMPLE = Path(__file__).parents[2] / "config" / "dpsync.example.toml"
CANARY = "c4n4ry-5ecret"
SMALL: dict[str, str] = {
    "controller": 'name = "Kent"\ndpo = "dpo@example.org"\noperator = "it@example.org"',
    "ledger": 'origin = "example.org/dpsync"',
}
EU = SMALL["controller"] + '\nregime = "eu"\ntime_zone = "Europe/Berlin"\n'
NEWSLETTER = 'connector = "mailchimp"\ncontact = "privacy@processor.example"'


@dataclass
class Folder:
    """A folder in which a settings file is written and read."""

    path: Path

    def write(self, **sections: str) -> Path:
        parts = {**SMALL, **sections}
        lines = [f"[{name.replace('__', '.')}]\n{body}\n" for name, body in parts.items()]
        file = self.path / "dpsync.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return file

    def load(self, environ: Mapping[str, str] | None = None, /, **sections: str) -> Settings:
        return configuration.load(self.write(**sections), environ or {})

    def faults(self, environ: Mapping[str, str] | None = None, /, **sections: str) -> dict[str, Fault]:
        with pytest.raises(ConfigurationError) as caught:
            self.load(environ, **sections)
        assert CANARY not in str(caught.value)
        assert caught.value.__cause__ is None
        return {fault.key: fault for fault in caught.value.faults}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_what_must_be_said_is_little_and_the_rest_has_safe_defaults(folder: Folder) -> None:
    settings = folder.load()
    assert settings.controller.time_zone == "Europe/London"
    assert settings.safety.mode is Mode.LIVE
    assert settings.safety.irreversible_per_day == 50
    assert settings.safety.cooling_off == timedelta(0)
    assert settings.mail is None
    assert settings.processors == {}
    assert settings.unset == ()


def test_relative_paths_begin_at_the_settings_file(folder: Folder) -> None:
    settings = folder.load(ledger=SMALL["ledger"] + '\nanchor = "../outside"\nreceipts = "/srv/receipts"')
    assert settings.keys.directory == folder.path / "keys"
    assert settings.ledger.anchor == folder.path / ".." / "outside"
    assert settings.ledger.receipts == Path("/srv/receipts")
    assert settings.store.url == f"sqlite:///{folder.path}/var/dpsync.db"


def test_every_fault_is_told_at_once_with_its_key_path(folder: Folder) -> None:
    faults = folder.faults(
        controller='name = "Kent"\ndpo = "nobody"\ntme_zone = "x"\nholidays = "GB"\nregime = "us"',
        safety='mode = "off"\napprovals = 4\ncooling_off = "3 moons"\nirreversible_per_day = "50"',
        mail='host = "smtp.example.org"\ntls = "none"\nfrom = "dp@example.org"\nuser = "dp"',
        intake=f'secrets = [{{ env = "UNSET_ONE" }}, "{CANARY}"]\nlisten = "8460"\nmetrics_listen = "0.0.0.0:9460"',
        processors__news='connector = "mailchimp"\ncontct = "a@b.example"',
        surprise="x = 1",
    )
    assert set(faults) == {
        "controller.dpo", "controller.operator", "controller.tme_zone", "controller.holidays", "controller.regime",
        "safety.mode", "safety.approvals", "safety.cooling_off", "safety.irreversible_per_day",
        "mail.tls", "mail.password",
        "intake.secrets[0]", "intake.secrets[1]", "intake.listen", "intake.metrics_listen",
        "processors.news.contact", "surprise",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sections", "key", "says"),
    [
        ({"controller": SMALL["controller"] + '\ntme_zone = "x"'}, "controller.tme_zone", "did you mean time_zone?"),
        ({"controller": SMALL["controller"] + '\nholidays = "GB"'}, "controller.holidays", "lacks Easter Monday"),
        ({"controller": SMALL["controller"] + '\nregime = "us"'}, "controller.regime", 'must be "uk" or "eu"'),
        ({"controller": SMALL["controller"] + '\ncountry = "IE"'}, "controller.country", 'belongs to regime = "eu"'),
        ({"controller": SMALL["controller"] + '\nlanguage = "English"'}, "controller.language", "form"),
        ({"controller": EU + 'country = "GB"'}, "controller.country", "must be one of AT, BE"),
        ({"controller": EU}, "controller.country", "must be one of AT, BE"),
        ({"controller": EU + 'country = "DE"'}, "controller.authority", "each Land"),
        ({"controller": EU + 'country = "FR"\nsubdivision = "75"'}, "controller.subdivision", "57, 6AE, 971"),
        ({"controller": EU + 'country = "IE"\nsubdivision = "C"'}, "controller.subdivision", "must be left out"),
        (
            {"controller": EU + 'country = "IE"\ncategories = ["public", "bank"]'},
            "controller.categories",
            "no other",
        ),
        ({"controller": EU + 'country = "IE"\ncategories = ["optional"]'}, "controller.categories", "must name public"),
        ({"controller": EU + 'country = "IE"\nholidays = "GB-ENG"'}, "controller.holidays", 'regime = "uk"'),
        ({"controller": EU.replace("time_zone", "#") + 'country = "IE"'}, "controller.time_zone", "Europe/Dublin"),
        ({"controller": SMALL["controller"] + '\ntime_zone = "Europe/Kent"'}, "controller.time_zone", "time zone"),
        ({"controller": SMALL["controller"] + "\nrehearsal = 1"}, "controller.rehearsal", "true or false"),
        ({"proccessors__news": NEWSLETTER}, "proccessors", "did you mean processors?"),
        ({"processors__News": NEWSLETTER}, "processors.News", "named in a-z"),
        ({"processors__news": 'connector = "notice"\ncontct = "x"'}, "processors.news.contact", "is contct meant"),
        ({"ledger": 'origin = "example.org/REHEARSAL"'}, "ledger.origin", "must not say REHEARSAL"),
        ({"ledger": 'origin = "a b"'}, "ledger.origin", "without spaces"),
        ({"store": 'url = "mysql://x"'}, "store.url", "must begin with sqlite:///"),
        ({"store": 'url = "sqlite:///:memory:"'}, "store.url", "lost"),
        ({"store": f'url = "postgresql://dp:{CANARY}@db/dp"'}, "store.url", "has a password in it"),
        ({"safety": 'irreversible_per_day = "50"'}, "safety.irreversible_per_day", "whole number"),
        ({"intake": 'public_url = "http://dpsync.example.org"'}, "intake.public_url", "https://"),
        ({"intake": f'secrets = ["{CANARY}"]'}, "intake.secrets[0]", "never write a secret into this file"),
        ({"intake": f'secrets = [{{ env = "{CANARY}" }}]'}, "intake.secrets[0]", "not the secret itself"),
        ({"intake": f'secrets = "{CANARY}"'}, "intake.secrets", "must be a list"),
        ({"alerts": f'heartbeat = "https://x.example/{CANARY}"'}, "alerts.heartbeat", "must be a reference"),
        ({"processors__news": NEWSLETTER + '\nanswer_within = "0h"'}, "processors.news.answer_within", "zero"),
    ],
)
def test_a_fault_says_what_is_allowed(folder: Folder, sections: dict[str, str], key: str, says: str) -> None:
    faults = folder.faults(**sections)
    assert list(faults) == [key]
    assert says in faults[key].problem


@pytest.mark.parametrize(
    "text",
    [
        "'privacy@processor.example'",
        "mailto:privacy@processor.example",
        "privacy@processor.example)",
        "größe@b.example",
    ],
)
def test_a_contact_is_one_address_that_any_mail_host_takes(folder: Folder, text: str) -> None:
    faults = folder.faults(processors__news=f'connector = "mailchimp"\ncontact = "{text}"')
    assert "email address" in faults["processors.news.contact"].problem


def test_a_contacts_domain_may_be_written_in_letters_and_is_kept_as_an_envelope_carries_it(folder: Folder) -> None:
    settings = folder.load(processors__news='connector = "mailchimp"\ncontact = " privacy@bücher.example "')
    assert settings.processors["news"].contact == "privacy@xn--bcher-kva.example"


def test_a_fault_names_the_line(folder: Folder) -> None:
    fault = folder.faults(safety="\n\n# here\napprovals = 9")["safety.approvals"]
    lines = (folder.path / "dpsync.toml").read_text().splitlines()
    assert fault.problem.endswith(f"(line {lines.index('approvals = 9') + 1})")


def test_no_fault_repeats_a_value_wherever_it_stands(folder: Folder) -> None:
    document = tomllib.loads(EXAMPLE.read_text())
    for section, table in document.items():
        for key in table if section != "processors" else ():
            body = {name: value for name, value in SMALL.items() if name != section}
            body[section] = f'{key} = "{CANARY} \\u0001"\n'
            folder.faults(**{**{name: "" for name in SMALL if name == section}, **body})
    for key in ("title", "connector", "account", "contact", "backup_contact", "answer_within", "base_url", "exempt"):
        folder.faults(processors__news=f'{key} = "{CANARY} \\u0001"')


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f'[controller]\nname = "Kent"\nkey = {CANARY}\n'.encode(), "line 3, column"),
        (f"[controller]\npassword = '{CANARY}".encode(), "not valid TOML at"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a = " + b"[" * 2000, "not valid TOML at an unknown place"),
        (b"a = " + b"9" * 5000, "not valid TOML at an unknown place"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_named_with_the_line_and_not_quoted(
    tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "dpsync.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        configuration.load(file, {})
    assert CANARY not in str(caught.value)
    assert caught.value.faults[0].key == str(file)


def test_a_missing_file_is_a_fault_that_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="dpsync init"):
        configuration.load(tmp_path / "dpsync.toml", {})


# --- secrets


def test_a_secret_comes_from_the_environment_or_a_file_and_is_never_shown(folder: Folder) -> None:
    (folder.path / "hook").write_text(f"{CANARY}-2\n")
    (folder.path / "hook").chmod(0o640)
    settings = folder.load({"HOOK": CANARY}, intake='secrets = [{ env = "HOOK" }, { file = "hook" }]')
    assert [secret.get_secret_value() for secret in settings.intake.secrets] == [CANARY, f"{CANARY}-2"]
    assert [secret.reference for secret in settings.intake.secrets] == ["env:HOOK", f"file:{folder.path}/hook"]
    assert CANARY not in repr(settings)
    assert CANARY not in settings.model_dump_json(by_alias=True)


def test_a_passphrase_is_long_enough_not_to_be_guessed(folder: Folder) -> None:
    setting = SMALL["controller"] + '\ndpo_passphrase = { env = "SAID" }'
    fault = folder.faults({"SAID": "fifteen   letters"}, controller=setting)["controller.dpo_passphrase"]
    assert "too short: 16 or more characters, blanks apart" in fault.problem
    assert folder.load({"SAID": "sixteen lettersxx"}, controller=setting).controller.dpo_passphrase


def test_a_secret_file_that_everybody_may_read_is_refused(folder: Folder) -> None:
    (folder.path / "hook").write_text(CANARY)
    (folder.path / "hook").chmod(0o644)
    fault = folder.faults(intake='secrets = [{ file = "hook" }]')["intake.secrets[0]"]
    assert "chmod o-rwx" in fault.problem
    assert fault.code == "DP-201"


@pytest.mark.parametrize("reference", ['{ env = "UNSET" }', '{ env = "EMPTY" }', '{ file = "nowhere" }'])
def test_unset_here_is_told_apart_from_wrong_and_comes_last(folder: Folder, reference: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        folder.load({"EMPTY": ""}, intake=f"secrets = [{reference}]", safety="approvals = 9")
    assert [(fault.key, fault.code) for fault in caught.value.faults] == [
        ("safety.approvals", "DP-201"),
        ("intake.secrets[0]", "DP-204"),
    ]


def test_without_secrets_what_is_merely_unset_here_is_listed_and_not_refused(folder: Folder) -> None:
    file = folder.write(intake='secrets = [{ env = "UNSET" }]')
    with pytest.raises(ConfigurationError):
        configuration.load(file, {})
    settings = configuration.load(file, {}, secrets=False)
    assert {fault.key: fault.code for fault in settings.unset} == {"intake.secrets[0]": "DP-204"}
    with pytest.raises(ConfigurationError, match="not set here"):
        settings.intake.secrets[0].get_secret_value()
    file.write_text(file.read_text() + "\n[safety]\napprovals = 9\n")
    with pytest.raises(ConfigurationError) as caught:
        configuration.load(file, {}, secrets=False)
    assert len(caught.value.faults) == 2


def test_no_command_goes_on_without_the_address_of_the_store(folder: Folder) -> None:
    file = folder.write(intake='secrets = [{ env = "UNSET" }]', store='url = { env = "UNSET_URL" }')
    with pytest.raises(ConfigurationError) as caught:
        configuration.load(file, {}, secrets=False)
    assert [(fault.key, fault.code) for fault in caught.value.faults] == [("store.url", "DP-204")]


@pytest.mark.parametrize("reference", ["{}", '{ env = "A", file = "b" }', "{ env = 1 }", '{ vault = "A" }', "7"])
def test_a_secret_reference_has_exactly_one_source(folder: Folder, reference: str) -> None:
    assert "intake.secrets[0]" in folder.faults({"A": CANARY}, intake=f"secrets = [{reference}]")


# --- single values


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("24h", timedelta(days=1)),
        ("90 s", timedelta(seconds=90)),
        ("30 min", timedelta(minutes=30)),
        ("10 days", timedelta(days=10)),
        ("1 day", timedelta(days=1)),
        ("2 weeks", timedelta(days=14)),
        ("0h", timedelta(0)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "10", "h", "-1 h", "1.5 h", "10 months", "1h30m", "999999 weeks", 10, None])
def test_what_is_no_duration_is_refused(text: object, folder: Folder) -> None:
    assert "safety.cooling_off" in folder.faults(safety=f"cooling_off = {json.dumps(text) if text else '[]'}")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgresql_url_gets_the_driver_we_use_and_its_password_stays_hidden(folder: Folder, scheme: str) -> None:
    settings = folder.load({"DB": f"{scheme}://dp:{CANARY}@db/dp"}, store='url = { env = "DB" }')
    assert settings.store.url == f"postgresql+psycopg://dp:{CANARY}@db/dp"
    assert CANARY not in repr(settings)
    assert CANARY not in settings.model_dump_json()


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_usual_port_follows_from_the_encryption(folder: Folder, tls: str, port: int) -> None:
    mail = f'host = "127.0.0.1"\nfrom = "dp@example.org"\ntls = "{tls}"'
    usual, own = folder.load(mail=mail).mail, folder.load(mail=f"{mail}\nport = 2525").mail
    assert usual is not None
    assert own is not None
    assert (usual.port, own.port, usual.sender) == (port, 2525, "dp@example.org")


MAIL = 'host = "smtp.example.org"\nfrom = "dp@example.org"\n'
OAUTH = 'token_url = "https://login.example.org/token"\nclient_id = "app"\nclient_secret = { env = "SECRET" }\n'


def test_a_mail_host_may_be_reached_by_token(folder: Folder) -> None:
    there = {"SECRET": CANARY, "REFRESH": CANARY}
    mail = folder.load(there, mail=MAIL + 'user = "dp@example.org"', mail__oauth=OAUTH + 'scope = "s"').mail
    assert mail is not None
    assert mail.oauth is not None
    assert (mail.oauth.client_secret.get_secret_value(), mail.oauth.scope) == (CANARY, "s")
    assert CANARY not in repr(mail)
    google = OAUTH + 'refresh_token = { env = "REFRESH" }'
    assert folder.load(there, mail=MAIL + 'user = "dp@example.org"', mail__oauth=google).mail


@pytest.mark.parametrize(
    ("mail", "oauth", "key", "says"),
    [
        ("", 'scope = "s"', "mail.user", "the address of the mailbox"),
        ('user = "dp"\npassword = { env = "SECRET" }', 'scope = "s"', "mail.password", "take one of them out"),
        ('user = "dp"', "", "mail.oauth.scope", "except with refresh_token"),
        ('user = "dp"', 'scope = "s"\ntenant = "x"', "mail.oauth.tenant", "is not a setting"),
        ('user = "dp"', f'scope = "s"\nrefresh_token = "{CANARY}"', "mail.oauth.refresh_token", "a reference"),
    ],
)
def test_what_is_wrong_with_access_by_token_is_told(folder: Folder, mail: str, oauth: str, key: str, says: str) -> None:
    faults = folder.faults({"SECRET": CANARY}, mail=MAIL + mail, mail__oauth=OAUTH + oauth)
    assert list(faults) == [key]
    assert says in faults[key].problem


def test_a_secret_crosses_no_network_in_the_clear(folder: Folder) -> None:
    mail, plain = MAIL + 'user = "dp"', OAUTH.replace("https://login.example.org", "http://127.0.0.1:9") + 'scope = "s"'
    faults = folder.faults({"SECRET": CANARY}, mail=mail, mail__oauth=plain)
    assert list(faults) == ["mail.oauth.token_url"]
    rehearsal = SMALL["controller"] + "\nrehearsal = true"
    assert folder.load({"SECRET": CANARY}, controller=rehearsal, mail=mail, mail__oauth=plain).mail


# --- processors


def test_a_processor_is_called_and_billed_by_its_own_name_unless_it_says_otherwise(folder: Folder) -> None:
    settings = folder.load(
        processors__news=NEWSLETTER, processors__web=NEWSLETTER + '\naccount = "main"\ntitle = "Web"'
    )
    assert [(p.title, p.account) for p in settings.processors.values()] == [("news", "news"), ("Web", "main")]


EXEMPT = '{{ code = "art19_impossible", reason = "r", by = "Dana", until = {until} }}'


@pytest.mark.parametrize("until", ['"2027-06-30"', "2027-06-30"])
def test_an_exemption_has_a_code_a_reason_a_person_and_an_end(folder: Folder, until: str) -> None:
    exempt = f"\nexempt = {{ restriction = {EXEMPT.format(until=until)} }}"
    section = folder.load(processors__news=NEWSLETTER + exempt).processors["news"]
    assert section.exempt[Right.RESTRICTION].until == date(2027, 6, 30)
    assert "Dana" not in repr(section)


def test_a_controller_of_its_own_may_be_exempt_for_erasure(folder: Folder) -> None:
    exempt = f"exempt = {{ erasure = {EXEMPT.format(until='2027-06-30')} }}"
    section = folder.load(processors__news=f'{NEWSLETTER}\nkind = "controller"\n{exempt}').processors["news"]
    assert set(section.exempt) == {Right.ERASURE}
    stop = exempt.replace("erasure", "opt_out")
    assert set(folder.faults(processors__news=f'{NEWSLETTER}\nkind = "controller"\n{stop}')) == {
        "processors.news.exempt"
    }
    assert "processors.news.kind" in folder.faults(processors__news=f'{NEWSLETTER}\nkind = "friend"\n{exempt}')


@pytest.mark.parametrize("right", ["erasure", "opt_out", "everything"])
def test_erasure_and_opt_out_are_never_exempt(folder: Folder, right: str) -> None:
    until = EXEMPT.format(until='"2027-06-30"')
    faults = folder.faults(processors__news=f"{NEWSLETTER}\nexempt = {{ {right} = {until} }}")
    assert "Art. 19 excuses telling" in faults["processors.news.exempt"].problem


@pytest.mark.parametrize("until", ['"soon"', "7", "2027-06-30T10:00:00Z", '"2027-02-30"'])
def test_an_exemption_without_a_day_to_end_is_refused(folder: Folder, until: str) -> None:
    exempt = f"\nexempt = {{ restriction = {EXEMPT.format(until=until)} }}"
    assert set(folder.faults(processors__news=NEWSLETTER + exempt)) == {"processors.news.exempt.restriction.until"}


class VendorSettings(BaseModel):
    """As a connector might declare them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr
    tokens: tuple[SecretStr, ...] = ()
    base_url: str | None = None
    lists: Annotated[tuple[str, ...], "ids"] = ()

    @field_validator("lists")
    @classmethod
    def _ids(cls, lists: tuple[str, ...]) -> tuple[str, ...]:
        for one in lists:
            if not one.isdigit():
                raise ValueError(f"bad list {one}" if one.startswith("c4n") else "must be digits")
        return lists


def _section(folder: Folder, extra: str) -> ProcessorSection:
    return folder.load(processors__news=f"{NEWSLETTER}\n{extra}").processors["news"]


def _vendor_faults(folder: Folder, extra: str, environ: dict[str, str] | None = None) -> dict[str, Fault]:
    with pytest.raises(ConfigurationError) as caught:
        configuration.connector_section(VendorSettings, "news", _section(folder, extra), environ or {}, folder.path)
    assert CANARY not in str(caught.value)
    return {fault.key: fault for fault in caught.value.faults}


def test_a_connector_gets_its_own_keys_with_secrets_resolved_and_the_base_url(folder: Folder) -> None:
    (folder.path / "token").write_text("t\n")
    (folder.path / "token").chmod(0o600)
    extra = 'api_key = { env = "K" }\ntokens = [{ file = "token" }]\nbase_url = "http://127.0.0.1:9101"'
    section = _section(folder, extra)
    made = configuration.connector_section(VendorSettings, "news", section, {"K": CANARY}, folder.path)
    assert made.api_key.get_secret_value() == CANARY
    assert [token.get_secret_value() for token in made.tokens] == ["t"]
    assert made.base_url == "http://127.0.0.1:9101"


@pytest.mark.parametrize(
    ("extra", "key", "says", "code"),
    [
        (f'api_key = "{CANARY}"', "processors.news.api_key", "never write a secret into this file", "DP-201"),
        ('api_key = { env = "UNSET" }', "processors.news.api_key", "UNSET is not set here", "DP-204"),
        ("", "processors.news.api_key", "is required", "DP-201"),
        ('api_key = { env = "K" }\nanswer_withn = "1 h"', "processors.news.answer_withn", "answer_within?", "DP-201"),
        ('api_key = { env = "K" }\nlists = ["x1"]', "processors.news.lists", "must be digits", "DP-201"),
        (f'api_key = {{ env = "K" }}\nlists = ["{CANARY}"]', "processors.news.lists", "is not what belongs", "DP-201"),
        ('api_key = { env = "K" }\nlists = { env = "K" }', "processors.news.lists", "must be a list", "DP-201"),
    ],
)
def test_a_fault_in_a_connectors_own_key_has_its_full_path(
    folder: Folder, extra: str, key: str, says: str, code: str
) -> None:
    faults = _vendor_faults(folder, extra, {"K": CANARY})
    assert list(faults) == [key]
    assert says in faults[key].problem
    assert faults[key].code == code


def test_all_faults_of_a_connectors_section_are_told_at_once(folder: Folder) -> None:
    faults = _vendor_faults(folder, 'api_key = "x"\napi_kye = 1\nlists = "7"')
    assert set(faults) == {f"processors.news.{key}" for key in ("api_key", "api_kye", "lists")}


# --- digest, schema, example


def test_the_digest_follows_the_effective_settings_and_no_secret(folder: Folder) -> None:
    def of(value: str = "1", **sections: str) -> str:
        return configuration.digest(folder.load({"A": value, "B": value}, **sections))

    plain = of()
    assert re.fullmatch(r"[0-9a-f]{64}", plain)
    assert of(safety="irreversible_per_day = 50") == plain
    assert of(safety='cooling_off = "24h"') != plain
    assert of("1", intake='secrets = [{ env = "A" }]') == of("2", intake='secrets = [{ env = "A" }]')
    assert of(intake='secrets = [{ env = "A" }]') != of(intake='secrets = [{ env = "B" }]')
    first, other = NEWSLETTER + '\nlists = ["1"]', NEWSLETTER + '\nlists = ["2"]'
    assert of(processors__news=first) != of(processors__news=other)


def _example(*, everything: bool) -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    return re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE) if everything else text


API = ("password", "reconcile_by_api")
ONLY_EU = ("country", "subdivision", "categories")


def _environment(text: str) -> dict[str, str]:
    given = dict.fromkeys(re.findall(r'env = "([A-Z_]+)"', text), "x" * SHORTEST_PASSPHRASE)
    return given | {"DPSYNC_INBOUND": "Inbound_secret-of_128-bits"}


@pytest.mark.parametrize("without", [(), (*API, *ONLY_EU), ("oauth", "holidays", "reconcile")])  # one of two
def test_the_example_loads_as_it_is_and_with_every_line_in_force(tmp_path: Path, without: tuple[str, ...]) -> None:
    file = tmp_path / "dpsync.toml"
    text = _example(everything=bool(without))
    for key in without:
        text = re.sub(rf"(?m)^{key} = .*$", "", text)
    if "holidays" in without:
        text = text.replace('regime = "uk"', 'regime = "eu"')
    file.write_text(text, encoding="utf-8")
    settings = configuration.load(file, _environment(text))
    assert set(settings.processors) == {"newsletter", "web-agency", "own-database"}
    jsonschema.validate(tomllib.loads(text), configuration.schema())


def _fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        if name != "options":
            yield (*path, field.alias or name), field


NAMED: dict[str, tuple[type[BaseModel], str]] = {
    "processors": (ProcessorSection, "newsletter"),
    "sources": (SourceSection, "crm"),
}
"""Where people choose a name: the section's type, and the name in the example."""


@pytest.mark.parametrize("section", [name for (name,), _ in _fields(Settings)])
def test_every_setting_is_described_and_stands_in_the_example_with_its_default(section: str) -> None:
    document = tomllib.loads(_example(everything=True))
    model, named = NAMED.get(section) or (_section_model(section), "")
    table = document[section][named] if named else document[section]
    for (name,), field in _fields(model):
        assert field.description, name
        assert name in table, name
        if not field.is_required() and field.default not in (None, (), {}):
            usual = list(field.default) if isinstance(field.default, tuple) else field.default
            assert table[name] == usual, name


def _section_model(section: str) -> type[BaseModel]:
    annotation = Settings.model_fields[section].annotation
    options = [annotation, *getattr(annotation, "__args__", ())]
    return next(one for one in options if isinstance(one, type) and issubclass(one, BaseModel))


def test_the_schema_flags_a_misspelt_key_and_a_plain_secret() -> None:
    good = tomllib.loads(_example(everything=False))
    changes: list[dict[str, object]] = [
        {"controler": {}},
        {"intake": {"secrets": ["plain"]}},
        {"safety": {"mode": "off"}},
    ]
    for change in changes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, **change}, configuration.schema())


def test_settings_cannot_be_changed_after_they_were_read(folder: Folder) -> None:
    settings = folder.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.controller.name = "Other"


def test_settings_are_read_by_load_only() -> None:
    here = Environment({}, Path("/x"))
    document = {name: tomllib.loads(body) for name, body in SMALL.items()}
    assert Settings.model_validate(document, context=here).keys.directory == Path("/x/keys")
    with pytest.raises(TypeError, match="load"):
        Settings.model_validate(document)
