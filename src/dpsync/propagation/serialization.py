"""The form in which a request rests in the store, before it is sealed. Pure; `from_bytes(to_bytes(r)) == r`."""

import json
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from dpsync.model import Changes, Lifted, Request, Right, Subject


def to_bytes(request: Request) -> bytes:
    """The request as JSON. Personal data: only ever written sealed."""
    plain = asdict(request)
    return json.dumps(plain, default=_text, ensure_ascii=False, separators=(",", ":")).encode()


def _text(value: object) -> str:
    if isinstance(value, date):  # datetime is a date too
        return value.isoformat()
    raise TypeError(type(value).__name__)


def from_bytes(plain: bytes) -> Request:
    """The request as it was."""
    raw: dict[str, Any] = json.loads(plain)
    subject = raw["subject"]
    subject["other_emails"] = tuple(subject["other_emails"])
    subject["references"] = {name: tuple(ids) for name, ids in subject["references"].items()}
    lifted = raw["lifted"]
    return Request(
        source=raw["source"],
        event_id=raw["event_id"],
        right=Right(raw["right"]),
        subject=Subject(**subject),
        received_at=datetime.fromisoformat(raw["received_at"]),
        received_assumed=raw["received_assumed"],
        ground=raw["ground"],
        version=raw["version"],
        changes=Changes(**raw["changes"]) if raw["changes"] else None,
        lifted=Lifted(date.fromisoformat(lifted["told_on"]), lifted["how"]) if lifted else None,
        by=raw["by"],
        identity_confirmed_at=_moment(raw.get("identity_confirmed_at")),
        fee_paid_at=_moment(raw.get("fee_paid_at")),
        scope=raw.get("scope", ""),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
