"""Our faster keyed digest is that of the standard, for keys of every length."""

import hmac

import pytest

from dpsync.ledger.mac import Mac


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 128, 200])
def test_it_gives_what_the_standard_gives(length: int) -> None:
    key = bytes(range(length))
    one = Mac(key)
    for message in (b"", b"x", b"y" * 1000):
        assert one.digest(message) == hmac.digest(key, message, "sha256")
