"""How what a vendor's webhook brings is read: by its form alone, and what has another is named and never quoted."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from pydantic import SecretStr

from dpsync.errors import PayloadInvalid, SignatureInvalid


def demand_signed(secret: SecretStr | None, given: str, body: bytes) -> None:
    """Raise `SignatureInvalid` unless `given` is the HMAC-SHA256 of the body, both it and the secret in hexadecimal."""
    if secret is None:
        raise SignatureInvalid("no webhook_secret is configured, so nothing can be checked")
    wanted = hmac.new(bytes.fromhex(secret.get_secret_value()), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), given.strip().lower().encode()):
        raise SignatureInvalid("the signature is not that of the shared secret")


def part(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A part that is an object; an empty one where it is anything else."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def identifier(value: object, field: str, form: re.Pattern[str], *, needed: bool = False) -> str:
    """An id of this form, "" where there is none. Raises `PayloadInvalid`."""
    if isinstance(value, str) and form.fullmatch(value):
        return value
    if needed or value not in (None, ""):
        raise PayloadInvalid(field, "is not an id")
    return ""


def moment(value: object, field: str) -> datetime:
    """A moment in ISO 8601; without a zone it is taken for UTC. Raises `PayloadInvalid`.

    Also for one from which no day can be counted on, or back: outside the years 1970 to 9998.
    """
    try:
        found = datetime.fromisoformat(cast("str", value))
        moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        moment = None
    if moment is None or not 1970 <= moment.year <= 9998:
        raise PayloadInvalid(field, "is not a moment")
    return moment
