"""A small main database: a SQLite file with people, and an outbox of signed webhooks."""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from dpsync.signature import signed_headers

PEOPLE = (
    ("crm-4711", "ada@example.org", "Ada", "Lovelace"),
    ("crm-4712", "ben@example.org", "Ben", "Miller"),
    ("crm-4713", "cleo@example.org", "Cleo", "Hart"),
    ("crm-4714", "dora@example.org", "Dora", "Finch"),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A webhook that was answered: the event's id, and dpsync's id of the request."""

    event_id: str
    request_id: str
    status: str


class Crm:
    """The main database. It knows its own people and what it has asked of dpsync, nothing of processors."""

    def __init__(self, path: Path, url: str, secret: str) -> None:
        self._db = sqlite3.connect(path)
        self._url = url
        self._secret = secret
        self._db.executescript(
            "CREATE TABLE person(id TEXT PRIMARY KEY, email TEXT, first_name TEXT, last_name TEXT, version INTEGER);"
            "CREATE TABLE outbox(event_id TEXT PRIMARY KEY, body TEXT, request_id TEXT);"
        )
        self._db.executemany("INSERT INTO person VALUES (?, ?, ?, ?, 1)", PEOPLE)
        self._db.commit()

    def close(self) -> None:
        self._db.close()

    def rectify(self, person_id: str, email: str, last_name: str) -> Sent:
        """Somebody moved house and married: change the record, then tell dpsync what changed."""
        old = self._subject(person_id)
        with self._db:
            self._db.execute(
                "UPDATE person SET email = ?, last_name = ?, version = version + 1 WHERE id = ?",
                (email, last_name, person_id),
            )
        return self._post("rectification", old, changes={"email": email, "last_name": last_name}, ground="correction")

    def erase(self, person_id: str) -> Sent:
        """Somebody wants to be forgotten."""
        subject = self._subject(person_id)
        with self._db:
            self._db.execute("DELETE FROM person WHERE id = ?", (person_id,))
        return self._post("erasure", subject, ground="consent_withdrawn")

    def restrict(self, person_id: str) -> Sent:
        """Somebody contests what is stored about them."""
        return self._post("restriction", self._subject(person_id), ground="accuracy_contested")

    def opt_out(self, person_id: str) -> Sent:
        """Somebody wants no more mail."""
        return self._post("opt_out", self._subject(person_id), ground="direct_marketing_objection")

    def _subject(self, person_id: str) -> dict[str, str]:
        row = self._db.execute("SELECT email, first_name, last_name FROM person WHERE id = ?", (person_id,)).fetchone()
        return {"id": person_id, "email": row[0], "name": f"{row[1]} {row[2]}"}

    def _post(self, right: str, subject: Mapping[str, str], **more: Any) -> Sent:
        now = datetime.now(UTC)
        event_id = f"evt_{secrets.token_hex(12)}"
        data = {"right": right, "received_at": now.isoformat(), "subject": subject, **more}
        body = json.dumps({"type": "data_subject.request", "timestamp": now.isoformat(), "data": data}).encode()
        with self._db:
            self._db.execute("INSERT INTO outbox VALUES (?, ?, NULL)", (event_id, body.decode()))
        headers = signed_headers(self._secret, event_id, now, body) | {"content-type": "application/json"}
        answer = requests.post(f"{self._url}/requests", data=body, headers=headers, timeout=60)
        answer.raise_for_status()
        said = answer.json()
        with self._db:
            self._db.execute("UPDATE outbox SET request_id = ? WHERE event_id = ?", (said["request"], event_id))
        return Sent(event_id, said["request"], said["status"])
