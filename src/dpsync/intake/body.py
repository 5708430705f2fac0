"""Reading a request's body with a cap that holds whatever the sender claims or does not claim."""

from starlette.requests import ClientDisconnect, Request

LONGEST_BODY = 64 * 1024


class TooLarge(Exception):
    """The body is, or says it is, longer than the cap. The connection is to be closed: the rest is never read."""


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


__all__ = ["LONGEST_BODY", "ClientDisconnect", "TooLarge", "read"]
