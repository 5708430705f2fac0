"""What may stand in the settings file, section by section. The descriptions are the reference that people read."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from dpsync.errors import Fault
from dpsync.model import ExemptionCode, Mode, Right
from dpsync.settings.about import AboutSection
from dpsync.settings.callbacks import CallbackSection
from dpsync.settings.controller import ControllerSection
from dpsync.settings.databases import Database
from dpsync.settings.housekeeping import BackupSection, ForgettingSection, RetentionSection
from dpsync.settings.opendsr import OpenDsrSection
from dpsync.settings.scopes import Scopes
from dpsync.settings.section import Section, as_written
from dpsync.settings.sources import SIGNED_DOOR, Sources
from dpsync.settings.sweeping import SweepSection
from dpsync.settings.values import (
    NAME,
    Address,
    Day,
    Duration,
    Folder,
    Listener,
    Name,
    OwnListener,
    PathSecret,
    Period,
    SecretReference,
    Text,
    WebAddress,
    wrong,
)

_TELLING_ONLY = frozenset({Right.RECTIFICATION, Right.RESTRICTION})


def _origin(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or "+" in text:
        raise wrong("must be ASCII without spaces or +, such as example.org/dpsync")
    if "REHEARSAL" in text:
        raise wrong("must not say REHEARSAL: a rehearsal adds that itself, and a live ledger may not look like one")
    return text


class StoreSection(Section):
    """Where requests and their states are kept."""

    url: Database = Field(
        default="sqlite:///var/dpsync.db",
        repr=False,
        description="The database: sqlite:/// and a file, or postgresql://. If it has a password: a secret reference.",
    )


class KeysSection(Section):
    """Where the keys lie: outside the database, backed up apart from it."""

    directory: Folder = Field(default=as_written("keys"), description="Signing key, pepper and month keys; mode 0700.")


KeyLine = Annotated[str, StringConstraints(pattern=r"^[!-*,-~]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{43,64}={0,2}$")]
"""A verifier key line: name+id+key."""


class CosigningSection(Section):
    """A witness that cosigns this ledger's checkpoints."""

    url: WebAddress = Field(description="Where it answers, without /add-checkpoint.")
    key: KeyLine = Field(description="Its key line, as `dpsync witness --show-key` prints it there.")


class StampSection(Section):
    """An authority that stamps this ledger's checkpoints with the time (RFC 3161). Needs the extra `stamps`."""

    url: WebAddress = Field(description="Where it answers.")
    root: Folder = Field(description="The file with its root certificate (PEM).")
    policy: Annotated[str, StringConstraints(pattern=r"^[0-2](\.[0-9]{1,20}){1,30}$")] | None = Field(
        default=None, description="The policy that it must stamp under, such as 1.2.3.4. Default: any."
    )


class WitnessSection(Section):
    """This installation as a witness of other ledgers: `dpsync witness`."""

    listen: Listener = Field(default="127.0.0.1:8461", description="Where the witness listens, behind your proxy.")
    logs: tuple[KeyLine, ...] = Field(
        default=(), description="The key line of each ledger that it witnesses, as `dpsync init` printed it there."
    )


class LedgerSection(Section):
    """The proof."""

    origin: Annotated[Text, AfterValidator(_origin)] = Field(
        description="The ledger's name under every signature, such as example.org/dpsync. You can never change it."
    )
    anchor: Folder = Field(
        default=as_written("anchors/"),
        description="The folder for signed checkpoints. Best on another disk or machine than the database.",
    )
    receipts: Folder = Field(
        default=as_written("receipts/"), description="The folder for the receipt of each closed request."
    )
    tiles: StrictBool = Field(default=False, description="Also write the ledger's hashes as files to publish them.")
    witnesses: tuple[CosigningSection, ...] = Field(
        default=(), description="Who cosigns the daily checkpoint: each with its url and its key line."
    )
    stamps: tuple[StampSection, ...] = Field(
        default=(), description="Who stamps the daily checkpoint with the time: each with its url and root certificate."
    )


class IntakeSection(Section):
    """How requests come in."""

    secrets: tuple[SecretReference, ...] = Field(
        default=(), description="Webhook secrets (whsec_…). Two during a change: both are valid."
    )
    listen: Listener = Field(default="127.0.0.1:8460", description="Where the receiver listens, behind your proxy.")
    public_url: WebAddress | None = Field(
        default=None,
        description="The receiver's address as others see it. Without it, emails have no links.",
    )
    metrics_listen: OwnListener | None = Field(
        default=None, description="The address for /metrics, on this machine only. Default: none."
    )
    callback: CallbackSection | None = Field(
        default=None, description="Where the main database is told what became of its requests. Default: nowhere."
    )


class SafetySection(Section):
    """What is held until a person looks."""

    mode: Mode = Field(
        default=as_written("live"),
        description="observe: send nothing. confirm: each erasure waits for approval. live: send, with the brake on.",
    )
    irreversible_per_day: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = Field(
        default=50,
        description="The brake: dpsync holds more erasures, opt-outs or address changes per account in 24 hours.",
    )
    cooling_off: Duration = Field(
        default=as_written("0h"), description="How long an erasure waits before anything is sent."
    )
    approvals: Annotated[StrictInt, Field(ge=0, le=2)] = Field(
        default=0, description="How many people must approve an erasure: 0, 1 or 2."
    )


class OAuthSection(Section):
    """Access by token instead of a password, as Microsoft 365 and Google want it (OAuth 2, XOAUTH2)."""

    token_url: WebAddress = Field(description="Where the access tokens come from: the token endpoint of the mail host.")
    client_id: Text = Field(repr=False, description="The id of the app that you registered there.")
    client_secret: SecretReference = Field(description="The secret of that app.")
    scope: Text | None = Field(
        default=None, description="What the token is for. Required, except with a refresh token."
    )
    refresh_token: SecretReference | None = Field(
        default=None, description="For Google: the token that the mailbox's owner gave the app. It must not change."
    )


class MailSection(Section):
    """The mail host for notices, reports and alerts."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")] = Field(description="Name or address of the host.")
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = Field(
        default=587, description="Its port. Default: 587 for starttls, 465 for tls, 25 for none."
    )
    tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is encrypted. none only to this machine itself."
    )
    user: Text | None = Field(default=None, repr=False, description="The user name, if the host asks for one.")
    password: SecretReference | None = Field(default=None, description="The password of that user.")
    oauth: OAuthSection | None = Field(
        default=None, description="Access by token instead of a password: Microsoft 365 and Google."
    )
    sender: Address = Field(
        alias="from", repr=False, description="The address that notices come from. Somebody must read the answers."
    )
    monthly_report: StrictBool = Field(
        default=True, description="Email each month's report to the DPO, on the first working day of the next month."
    )
    daily_checkpoint: StrictBool = Field(
        default=False,
        description="Email the ledger's newest checkpoint to the DPO each morning: a copy of the proof outside.",
    )
    bounces: Literal["tagged", "mailbox"] = Field(
        default="tagged",
        description="Where bounces go: to bounce+TAG at your domain, or to `from` itself if the host takes no other.",
    )
    incoming: Folder | None = Field(
        default=None,
        description="A Maildir, or a folder of .eml files, that your mail system fills with what comes back.",
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_port(cls, raw: Any) -> Any:
        usual = {"tls": 465, "none": 25}
        if isinstance(raw, dict) and raw.get("tls") in usual:
            return {"port": usual[raw["tls"]], **raw}
        return raw


class AlertsSection(Section):
    """How people learn that something waits or is wrong, beside mail."""

    urls: tuple[SecretReference, ...] = Field(
        default=(), description="Channels beside mail, as Apprise URLs: Slack, Teams, PagerDuty and others."
    )
    heartbeat: SecretReference | None = Field(
        default=None, description="A URL that dpsync calls while all is well. A watch service there notices silence."
    )


class ExemptionSection(Section):
    """Why a processor need not be told of a right (Art. 19). After `until` it no longer applies."""

    code: ExemptionCode = Field(description="The ground.")
    reason: Text = Field(description="Why, in a sentence that the report shows.")
    by: Text = Field(repr=False, description="The person who decided it.")
    until: Day = Field(description="The last day it applies.")


def _excusable(raw: object, info: ValidationInfo) -> object:
    if isinstance(raw, dict):
        for right in raw:
            if right == Right.ERASURE and info.data.get("kind") == "controller":
                continue
            if right not in set(_TELLING_ONLY):
                raise wrong(
                    'may name restriction and rectification only, and erasure where kind = "controller": Art. 19 '
                    "excuses telling, never leaving data at a processor or going on with marketing"
                )
    return raw


class ProcessorSection(Section):
    """One processor. Every other key belongs to its connector and is checked there; `dpsync processors` lists them."""

    title: Text = Field(description="What people call it. Default: the section's name.")
    connector: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] = Field(
        description="How it is told: mailchimp, eventbrite and so on; notice for one without an API."
    )
    account: Name = Field(
        description="The name of a credential that several sections share. Default: the section's name."
    )
    kind: Literal["processor", "controller"] = Field(
        default="processor",
        description="A processor holds data for you (Art. 28). A recipient that is a controller is told (Art. 19).",
    )
    contact: Address = Field(
        repr=False, description="Who there does what the API cannot do. Notices go to this address."
    )
    backup_contact: Address | None = Field(
        default=None, repr=False, description="Who gets a letter when the contact does not answer."
    )
    answer_within: Period = Field(
        default=as_written("10 days"), description="How long a notice may wait for its answer."
    )
    base_url: WebAddress | None = Field(
        default=None, description="Another address of its API. Outside the vendor's own hosts only in a rehearsal."
    )
    inbound_secret: PathSecret | None = Field(
        default=None,
        description="The last part of /in/NAME/SECRET, where its own webhooks come in. Without it there are none.",
    )
    exempt: Annotated[Mapping[Right, ExemptionSection], BeforeValidator(_excusable)] = Field(
        default=as_written({}),
        description="Rights it need not be told of: restriction and rectification (at a controller of its own erasure, "
        "too), each with a reason.",
    )
    scopes: Scopes = Field(
        default=as_written({}),
        description="What a part that people opt out of is here: own ids, everything or nothing. See docs/scope.md.",
    )
    retention: RetentionSection | None = Field(
        default=None,
        description="For a processor that keeps private conversations: how long they may stay, and who deletes them.",
    )
    sweep: SweepSection | None = Field(
        default=None,
        description="For a processor that lists whom it holds: its list is compared with what was asked, each night. "
        "Without it, only by `dpsync sweep`.",
    )
    about: AboutSection = Field(
        default=as_written({}), description="What the register of processors says of it; see `dpsync register`."
    )
    leaving: Day | None = Field(
        default=None,
        description="The last day on which it works for you. dpsync goes on telling it until its section is removed.",
    )
    options: Annotated[Mapping[str, object], PlainValidator(lambda raw: raw)] = Field(
        default=as_written({}), repr=False
    )

    @model_validator(mode="before")
    @classmethod
    def _set_apart(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        own = cls.model_fields.keys() - {"options"}
        kept = {key: value for key, value in raw.items() if key in own}
        return {**kept, "options": {key: value for key, value in raw.items() if key not in own}}


def _named(raw: object) -> object:
    """A processor is called by its section's name, and has an account of its own, unless it says otherwise."""
    if not isinstance(raw, dict):
        return raw
    return {name: _with_name(name, table) if isinstance(table, dict) else table for name, table in raw.items()}


def _with_name(name: str, table: dict[str, object]) -> dict[str, object]:
    fits = re.fullmatch(NAME, name)  # a name that does not fit is one fault, not two
    return {"title": name if fits else "?", "account": name if fits else "unnamed", **table}


class Settings(Section):
    """All settings of one installation."""

    controller: ControllerSection = Field(description="Who is responsible, and under which law.")
    store: StoreSection = Field(default=as_written({}), description="Where requests and their states are kept.")
    keys: KeysSection = Field(default=as_written({}), description="The key directory.")
    ledger: LedgerSection = Field(description="The proof.")
    witness: WitnessSection = Field(
        default=as_written({}), description="Which other ledgers this installation witnesses."
    )
    intake: IntakeSection = Field(default=as_written({}), description="How requests come in.")
    safety: SafetySection = Field(default=as_written({}), description="What dpsync holds until a person looks.")
    mail: MailSection | None = Field(default=None, description="The mail host. Without it, no notice can be sent.")
    forgetting: ForgettingSection | None = Field(
        default=None, description="When identifiers are destroyed. Without it, dpsync destroys none."
    )
    backup: BackupSection | None = Field(default=None, description="Where back-ups lie. Without it, none is missed.")
    alerts: AlertsSection = Field(
        default=as_written({}), description="How people hear that something waits, besides email."
    )
    sources: Sources = Field(
        default=as_written({}), description="Main databases with a shape of their own, each under a name of its own."
    )
    opendsr: OpenDsrSection | None = Field(
        default=None, description="Controllers that hand over erasures by OpenDSR 2.0. Without it, nobody can."
    )
    processors: Annotated[Mapping[Name, ProcessorSection], BeforeValidator(_named)] = Field(
        default=as_written({}), description="The processors, each under a name of its own."
    )
    _unset: tuple[Fault, ...] = PrivateAttr(default=())

    @property
    def origin(self) -> str:
        """The ledger's name. A rehearsal's is another ledger, and says so under every signature."""
        return f"{self.ledger.origin}/REHEARSAL" if self.controller.rehearsal else self.ledger.origin

    @property
    def callbacks(self) -> Mapping[str, CallbackSection]:
        """Which main databases are told what became of their requests, by what a request is said to come from."""
        doors = {SIGNED_DOOR: self.intake.callback} | {name: one.callback for name, one in self.sources.items()}
        return {name: callback for name, callback in doors.items() if callback is not None}

    @property
    def asked_elsewhere(self) -> bool:
        """Whether requests come in by another door than the one that `[intake] secrets` is for."""
        return bool(self.sources or self.opendsr)

    @property
    def unset(self) -> tuple[Fault, ...]:
        """The secrets that are not set here (DP-204) or cannot be used; only filled by `load(..., secrets=False)`."""
        return self._unset

    def missing(self, faults: tuple[Fault, ...]) -> Self:
        """These settings, remembering which secrets cannot be had here."""
        self._unset = faults
        return self
