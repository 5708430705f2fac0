"""How the vendors call a webhook: plainly, without proxies and without following anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

ANSWER_SECONDS = 60


@dataclass(slots=True)
class Sent:
    """What a vendor has sent of its own accord: every attempt, with `status` 0 where nobody answered."""

    deliveries: list[Any] = field(default_factory=list)


def probe(url: str) -> int:
    """The status of a GET; 0 where nobody answered."""
    return _status("GET", url, b"", {})


def post(url: str, raw: bytes, headers: Mapping[str, str]) -> int:
    """The status of a POST; 0 where nobody answered."""
    return _status("POST", url, raw, headers)


def _status(method: str, url: str, raw: bytes, headers: Mapping[str, str]) -> int:
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, url, data=raw, headers=dict(headers), timeout=ANSWER_SECONDS, allow_redirects=False
            ).status_code
    except requests.RequestException:
        return 0
