"""The first schema, frozen: whatever the tables become, this makes them as they were then.

So it imports nothing of the house. The triggers that keep the ledger growing are no part of it: whoever migrates makes
them anew afterwards (the function `protect` of the ledger), because SQLite drops those of a table that a migration has to rebuild.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("paused_until", sa.BigInteger()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("stopped", sa.Text(), nullable=False, server_default=""),
        sa.Column("owner", sa.Text()),
        sa.Column("epoch", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_table(
        "alert",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("sent_at", sa.BigInteger()),
        sa.UniqueConstraint("cause", "day"),
    )
    op.create_index("alert_due", "alert", ["due_at"], **_where("sent_at IS NULL"))
    op.create_table(
        "alias",
        sa.Column("pseudonym", sa.Text(), primary_key=True),
        sa.Column("person", sa.Text(), primary_key=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
    )
    op.create_index("alias_person", "alias", ["person"])
    op.create_index("alias_subject", "alias", ["subject_id"])
    op.create_table(
        "checkpoint",
        sa.Column("size", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger()),
        sa.Column("mailed_at", sa.BigInteger()),
    )
    op.create_table(
        "contact",
        sa.Column("pseudonym", sa.Text(), primary_key=True),
        sa.Column("processor", sa.Text(), primary_key=True),
        sa.Column("token_hash", sa.Text(), nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger()),
        sa.Column("confirmed_at", sa.BigInteger()),
    )
    op.create_table(
        "conversation",
        sa.Column("processor", sa.Text(), primary_key=True),
        sa.Column("pseudonym", sa.Text(), primary_key=True),
        sa.Column("reference", sa.Text(), nullable=False, unique=True),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("due_on", sa.Text(), nullable=False),
        sa.Column("until_on", sa.Text()),
        sa.Column("overdue_at", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger()),
        sa.Column("contradicted_at", sa.BigInteger()),
    )
    op.create_index("conversation_overdue", "conversation", ["processor", "overdue_at"])
    op.create_table(
        "entry",
        sa.Column("idx", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_index("entry_request", "entry", ["request_id"])
    op.create_table(
        "job",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("owner_until", sa.BigInteger()),
        sa.Column("last_ok_at", sa.BigInteger()),
    )
    op.create_table(
        "lane",
        sa.Column("account_id", sa.Text(), primary_key=True),
        sa.Column("subject_id", sa.Text(), primary_key=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("kept_due_at", sa.BigInteger()),
        sa.Column("kept_attempts", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_index("lane_due", "lane", ["account_id", "due_at"])
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_table(
        "node",
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("idx", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "request",
        sa.Column("ordinal", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("body_mac", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("right", sa.Text(), nullable=False),
        sa.Column("lifting", sa.Boolean(), nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger()),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("received_assumed", sa.Boolean(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("starts_on", sa.Text(), nullable=False),
        sa.Column("target_at", sa.BigInteger(), nullable=False),
        sa.Column("strict_on", sa.Text(), nullable=False),
        sa.Column("due_on", sa.Text(), nullable=False),
        sa.Column("letter_by", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("clock_rule", sa.Text(), nullable=False),
        sa.Column("processors", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("wrapped_key", sa.LargeBinary()),
        sa.Column("key_month", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.BigInteger()),
        sa.Column("shredded_at", sa.BigInteger()),
        sa.UniqueConstraint("source", "event_id"),
    )
    op.create_index("request_received", "request", ["received_at"])
    op.create_index("request_subject", "request", ["subject_id"])
    op.create_table(
        "retention_act",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("conversations", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("os_user", sa.Text(), nullable=False, server_default=""),
        sa.Column("until_on", sa.Text()),
        sa.Column("next_on", sa.Text()),
        sa.Column("file_sha256", sa.Text()),
        sa.Column("file_rows", sa.Integer()),
        sa.Column("older", sa.Integer()),
        sa.Column("oldest_on", sa.Text()),
        sa.Column("from_on", sa.Text()),
        sa.Column("to_on", sa.Text()),
        sa.Column("list_id", sa.Text()),
        sa.Column("reference", sa.Text(), unique=True),
        sa.Column("token_hash", sa.Text(), unique=True),
        sa.Column("answer_by", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("reminded_at", sa.BigInteger()),
        sa.Column("escalated_at", sa.BigInteger()),
    )
    op.create_index("retention_act_kind", "retention_act", ["processor", "kind", "at"])
    op.create_table(
        "shelf",
        sa.Column("processor", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("beat_until", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "decision",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.Text(), sa.ForeignKey("request.id"), nullable=False),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("os_user", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_index("decision_request", "decision", ["request_id"])
    op.create_table(
        "propagation",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.Text(), sa.ForeignKey("request.id"), nullable=False),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("right", sa.Text(), nullable=False),
        sa.Column("lifting", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger()),
        sa.Column("covers", sa.Text(), nullable=False, server_default=""),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("causes", sa.Text(), nullable=False, server_default=""),
        sa.Column("released", sa.Text(), nullable=False, server_default=""),
        sa.Column("rung", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False, server_default=""),
        sa.Column("handed", sa.LargeBinary()),
        sa.Column("doubtful", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("touched", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("defects", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("notices", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("rereads", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("done_at", sa.BigInteger()),
        sa.Column("state_since", sa.BigInteger(), nullable=False),
        sa.Column("answer_by", sa.BigInteger()),
        sa.Column("timer", sa.Text(), nullable=False, server_default=""),
        sa.Column("timer_at", sa.BigInteger()),
        sa.Column("released_contact", sa.Text(), nullable=False, server_default=""),
        sa.Column("brake_at", sa.BigInteger()),
        sa.UniqueConstraint("request_id", "processor"),
    )
    op.create_index("propagation_brake", "propagation", ["brake_at", "account_id"], **_where("brake_at IS NOT NULL"))
    op.create_index("propagation_pending", "propagation", ["account_id", "subject_id", "ordinal"], **_where("state = 'pending'"))
    op.create_index("propagation_state", "propagation", ["state"])
    op.create_index("propagation_subject", "propagation", ["subject_id", "ordinal"])
    op.create_index("propagation_timer", "propagation", ["account_id", "timer_at"], **_where("timer_at IS NOT NULL"))
    op.create_table(
        "retention_act_row",
        sa.Column("act_id", sa.BigInteger(), sa.ForeignKey("retention_act.id"), primary_key=True),
        sa.Column("pseudonym", sa.Text(), primary_key=True),
    )
    op.create_table(
        "retention_letter",
        sa.Column("act_id", sa.BigInteger(), sa.ForeignKey("retention_act.id"), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("message_id", sa.Text(), nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
    )
    op.create_table(
        "withdrawal",
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("event_id", sa.Text(), primary_key=True),
        sa.Column("body_mac", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), sa.ForeignKey("request.id"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "answer",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("propagation_id", sa.BigInteger(), sa.ForeignKey("propagation.id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("receipted_at", sa.BigInteger()),
    )
    op.create_index("answer_propagation", "answer", ["propagation_id"])
    op.create_table(
        "attempt",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("propagation_id", sa.BigInteger(), sa.ForeignKey("propagation.id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("outcome", sa.Text(), nullable=False, server_default=""),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
    )
    op.create_index("attempt_propagation", "attempt", ["propagation_id", "id"])
    op.create_index("attempt_unanswered", "attempt", ["propagation_id"], **_where("ended_at IS NULL"))
    op.create_table(
        "notice",
        sa.Column("propagation_id", sa.BigInteger(), sa.ForeignKey("propagation.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False, unique=True),
        sa.Column("reference", sa.Text(), nullable=False, unique=True),
        sa.Column("token_hash", sa.Text(), nullable=False, unique=True),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "post",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("propagation_id", sa.BigInteger(), sa.ForeignKey("propagation.id")),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger()),
    )
    op.create_index("post_propagation", "post", ["propagation_id"])
    op.create_table(
        "evidence",
        sa.Column("attempt_id", sa.BigInteger(), sa.ForeignKey("attempt.id"), primary_key=True),
        sa.Column("part", sa.Text(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
    )
