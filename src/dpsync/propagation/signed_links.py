"""Links that are mailed to people of the controller: a random id, and a signature over what the link is good for.

So the database holds no secret of a link, and whoever can only write there makes or prolongs none.
"""

import base64
import hmac
import secrets
from typing import Final

from dpsync.sealing import Keys

_ID_BYTES: Final = 16
_ID_LENGTH: Final = 22  # of base64 without its padding


def fresh_id() -> str:
    """The id of a new link, which nobody can guess; never one that a command would take for an option."""
    while (made := _text(secrets.token_bytes(_ID_BYTES))).startswith("-"):
        pass
    return made


def id_in(token: str) -> str:
    """The id that a token begins with, whoever made it."""
    return token[:_ID_LENGTH]


def token(keys: Keys, purpose: str, link_id: str, said: str) -> str:
    """The secret part of a link: its id, signed with what it is good for."""
    return link_id + _text(keys.mac(purpose, said.encode()))


def is_signed(keys: Keys, purpose: str, given: str, said: str | None) -> bool:
    """Whether `token` made it. `said` is None where there is no such id: compared all the same, so that the time taken
    says nothing."""
    signed = token(keys, purpose, id_in(given), id_in(given) if said is None else said)
    return hmac.compare_digest(signed.encode(), given.encode()) and said is not None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
