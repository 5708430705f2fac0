"""The schema; `columns` says how times are kept.

Externally visible ids are random, never row numbers: a restored back-up must not give an old number to a new person.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from dpsync.store import (  # noqa: F401 - because whoever makes the schema must make these too
    brake_tables,
    callback_tables,
    case_tables,
    contact_tables,
    conversation_tables,
    page_link_tables,
    platform_tables,
    proof_tables,
    question_tables,
    reconciling_tables,
    source_tables,
)
from dpsync.store.columns import EPOCH, Instant, Serial, metadata

__all__ = ["EPOCH", "metadata"]

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# --- who is who

alias = Table(
    "alias",
    metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("person", Text, primary_key=True),  # see intake/identity.py
    Column("key_version", Integer, nullable=False),
    Column("subject_id", Text, nullable=False),  # the group within which requests are ordered
    Index("alias_subject", "subject_id"),
    Index("alias_person", "person"),
)

# --- what was asked
request = Table(
    "request",
    metadata,
    Column("ordinal", Serial, primary_key=True, autoincrement=True),  # order of receipt; never shown
    Column("id", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("body_mac", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("right", Text, nullable=False),
    Column("lifting", Boolean, nullable=False),
    Column("ground", Text, nullable=False),
    Column("version", BigInteger),
    Column("received_at", Instant, nullable=False),
    Column("received_assumed", Boolean, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("starts_on", Text, nullable=False),  # dates: ISO, in the controller's zone
    Column("target_at", Instant, nullable=False),
    Column("strict_on", Text, nullable=False),
    Column("due_on", Text, nullable=False),
    Column("letter_by", Text, nullable=False),
    Column("due_at", Instant, nullable=False),  # the first moment that is overdue
    Column("clock_rule", Text, nullable=False),
    Column("processors", Text, nullable=False),  # sorted names, one a line
    Column("sealed", LargeBinary),
    Column("wrapped_key", LargeBinary),
    Column("key_month", Text, nullable=False),
    Column("closed_at", Instant),
    Column("shredded_at", Instant),
    Column("scope", Text, nullable=False, server_default=""),  # see opt_out_scope
    UniqueConstraint("source", "event_id"),
    Index("request_subject", "subject_id"),
    Index("request_received", "received_at"),
)

withdrawal = Table(
    "withdrawal",
    metadata,
    Column("source", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("body_mac", Text, nullable=False),
    Column("request_id", Text, ForeignKey("request.id"), nullable=False),
    Column("at", Instant, nullable=False),
)

# --- on its way to one processor

propagation = Table(
    "propagation",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("request_id", Text, ForeignKey("request.id"), nullable=False),
    Column("processor", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("right", Text, nullable=False),
    Column("lifting", Boolean, nullable=False),
    Column("version", BigInteger),
    Column("covers", Text, nullable=False, server_default=""),  # keyed digests of the names of what is rectified
    Column("state", Text, nullable=False),
    Column("causes", Text, nullable=False, server_default=""),  # of being held; sorted, comma between
    Column("released", Text, nullable=False, server_default=""),  # causes that a person released it from, for good
    Column("rung", Integer, nullable=False, server_default="0"),
    Column("way", Text, nullable=False),
    Column("task", Text, nullable=False, server_default=""),  # a sentence of ours: what a person must do by hand
    Column("handed", LargeBinary),  # sealed: the vendor's own ids that help that person
    Column("doubtful", Boolean, nullable=False, server_default=text("false")),
    Column("touched", Boolean, nullable=False, server_default=text("false")),  # some attempt may have had an effect
    Column("defects", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("notices", Integer, nullable=False, server_default="0"),
    Column("rereads", Integer, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("opened_at", Instant, nullable=False),
    Column("told_at", Instant),
    Column("done_at", Instant),
    Column("state_since", Instant, nullable=False),
    Column("answer_by", Instant),
    Column("timer", Text, nullable=False, server_default=""),
    Column("timer_at", Instant),
    Column("released_contact", Text, nullable=False, server_default=""),  # whom a release from contact_unverified meant
    Column("brake_at", Instant),  # when it was counted against the brake
    UniqueConstraint("request_id", "processor"),
    Index(
        "propagation_pending",
        "account_id",
        "subject_id",
        "ordinal",
        postgresql_where=text("state = 'pending'"),
        sqlite_where=text("state = 'pending'"),
    ),
    Index(
        "propagation_timer",
        "account_id",
        "timer_at",
        postgresql_where=text("timer_at IS NOT NULL"),
        sqlite_where=text("timer_at IS NOT NULL"),
    ),
    Index(
        "propagation_brake",
        "brake_at",
        "account_id",
        postgresql_where=text("brake_at IS NOT NULL"),
        sqlite_where=text("brake_at IS NOT NULL"),
    ),
    Index("propagation_subject", "subject_id", "ordinal"),
    Index("propagation_state", "state"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("propagation_id", BigInteger, ForeignKey("propagation.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # carry_out, verify, notice, reminder
    Column("worker", Text, nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Index("attempt_propagation", "propagation_id", "id"),
    Index(
        "attempt_unanswered",
        "propagation_id",
        postgresql_where=text("ended_at IS NULL"),
        sqlite_where=text("ended_at IS NULL"),
    ),
)

evidence = Table(
    "evidence",
    metadata,
    Column("attempt_id", BigInteger, ForeignKey("attempt.id"), primary_key=True),
    Column("part", Text, primary_key=True),  # outcome or finding
    Column("seq", Integer, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("status", Integer),
    Column("request_id", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("digest", Text, nullable=False),
    Column("note", Text, nullable=False),
)

# --- execution

account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("paused_until", Instant),
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row; a success clears it
    Column("blocked_since", Instant),  # since when no answer was the processor's own
    Column("stopped", Text, nullable=False, server_default=""),  # "", credential or person: until `resume`
    Column("owner", Text),
    Column("epoch", Integer, nullable=False, server_default="0"),
)

worker = Table(
    "worker",
    metadata,
    Column("id", Text, primary_key=True),
    Column("beat_until", Instant, nullable=False),
)

lane = Table(
    "lane",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("subject_id", Text, primary_key=True),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("kept_due_at", Instant),  # the back-off of what was overtaken, and how often it had failed
    Column("kept_attempts", Integer, nullable=False, server_default="0"),
    Index("lane_due", "account_id", "due_at"),
)

job = Table(
    "job",
    metadata,
    Column("name", Text, primary_key=True),
    Column("due_at", Instant, nullable=False),
    Column("owner", Text),
    Column("owner_until", Instant),
    Column("last_ok_at", Instant),
)

shelf = Table(
    "shelf",
    metadata,
    Column("processor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

# --- people: notices, answers, decisions, alerts

notice = Table(
    "notice",
    metadata,
    Column("propagation_id", BigInteger, ForeignKey("propagation.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("message_id", Text, nullable=False, unique=True),
    Column("reference", Text, nullable=False, unique=True),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("recipient", Text, nullable=False),  # pseudonym of the address
    Column("digest", Text, nullable=False, server_default=""),  # SHA-256 of the letter's bytes, once it was sent
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("expires_at", Instant, nullable=False),
)

answer = Table(
    "answer",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("propagation_id", BigInteger, ForeignKey("propagation.id"), nullable=False),
    Column("number", Integer, nullable=False),  # of the notice it answers; 0: told to us in another way
    Column("kind", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # name typed, remark, peer: personal data of the one who answered
    Column("at", Instant, nullable=False),
    Column("receipted_at", Instant),  # when the receipt of an answer by link was dealt with
    Index("answer_propagation", "propagation_id"),
)

post = Table(
    "post",
    metadata,
    Column("digest", Text, primary_key=True),  # SHA-256 of a message that came in: each is handled once
    Column("kind", Text, nullable=False),
    Column("propagation_id", BigInteger, ForeignKey("propagation.id")),
    Column("waits_for", Text, nullable=False),  # why a person must read it, "" where nobody must
    Column("at", Instant, nullable=False),
    Column("read_at", Instant),
    Index("post_propagation", "propagation_id"),
)

contact = Table(
    "contact",
    metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("processor", Text, primary_key=True),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("asked_at", Instant),
    Column("confirmed_at", Instant),
)

decision = Table(
    "decision",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("request_id", Text, ForeignKey("request.id"), nullable=False),
    Column("processor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # who decides and why: people write names there
    Column("os_user", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Index("decision_request", "request_id"),
)

alert = Table(
    "alert",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("cause", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("part", Integer, nullable=False, server_default="1"),  # what came after the first went is another
    Column("role", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sent_at", Instant),
    UniqueConstraint("cause", "day", "part"),
    Index("alert_due", "due_at", postgresql_where=text("sent_at IS NULL"), sqlite_where=text("sent_at IS NULL")),
)

alert_concern = Table(
    "alert_concern",
    metadata,
    Column("cause", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("about", Text, primary_key=True),  # request, processor, job: what is told once a day
    Column("alert_id", BigInteger, ForeignKey("alert.id"), nullable=False),
    Column("place", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("alert_concern_alert", "alert_id"),
)

# --- what was refused

refusal = Table(
    "refusal",
    metadata,
    Column("day", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("status", Integer, primary_key=True, autoincrement=False),
    Column("field", Text, primary_key=True),  # a name of ours, never a value
    Column("told", Boolean, primary_key=True),  # whether a person must hear of it
    Column("times", BigInteger, nullable=False),  # a flood is one row that counts
    Column("said", BigInteger, nullable=False),  # of how many an alert has told
    Column("last_at", Instant, nullable=False),
)

# --- the ledger

entry = Table(
    "entry",
    metadata,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", Text),  # an index into the bytes, for receipts; not part of the proof
    Column("body", LargeBinary, nullable=False),
    Index("entry_request", "request_id"),
)

node = Table(
    "node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("verified_at", Instant),
    Column("mailed_at", Instant),
)
