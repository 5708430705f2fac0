"""Reading a request's body with a cap that holds whatever the sender claims or does not claim."""

from starlette.requests import ClientDisconnect, Request

LONGEST_BODY = 64 * 1024
LONGEST_JUDGED = 256 * 1024
"""Of what claims to be signed: beyond `LONGEST_BODY` it is refused, but whether it is one of ours can still be said."""


class TooLarge(Exception):
    """The body is, or says it is, longer than the cap. The connection is to be closed: the rest is never read.

    `signed`: it was read all the same, and its signature is good.
    """

    def __init__(self, *, signed: bool = False) -> None:
        super().__init__("too large")
        self.signed = signed


def cap_of(request: Request, *, claimed: bool) -> int:
    """How much is read of what claims to be signed, and of what does not: more only of a length that was announced."""
    return LONGEST_JUDGED if claimed and "content-length" in request.headers else LONGEST_BODY


async def read(request: Request, cap: int = LONGEST_BODY) -> bytes:
    """The whole body. Raises `TooLarge` (before the first byte, where the length was announced), `ClientDisconnect`."""
    announced = request.headers.get("content-length")
    # The server has refused by now what is no plain number; digits are counted first, so that no long one is parsed.
    if announced is not None and (len(announced) > 9 or int(announced) > cap):
        raise TooLarge
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > cap:
            raise TooLarge
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


__all__ = ["LONGEST_BODY", "LONGEST_JUDGED", "ClientDisconnect", "TooLarge", "cap_of", "read"]
