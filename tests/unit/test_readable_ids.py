"""Ids that people read out and type: what is drawn, and what of somebody's spelling is understood."""

import secrets

import pytest

from dpsync import readable_ids

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.mark.parametrize(
    ("drawn", "spelled"),
    [
        (bytes.fromhex("00443214c74254b635cf"), "01234567" + CROCKFORD[8:16]),
        (bytes.fromhex("84653a56d7c675be77df"), CROCKFORD[16:]),
        (bytes(4) + b"\x17", "0" * 7 + CROCKFORD[0x17]),
        (b"\xff" * 16, "Z" * 25 + "W"),
    ],
)
def test_an_id_is_spelled_in_crockfords_base_32(drawn: bytes, spelled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_bytes", lambda size: drawn if size == len(drawn) else b"")

    assert readable_ids.fresh("r-", len(drawn)) == "r-" + spelled


@pytest.mark.parametrize("typed", ["r-01A1", "R-01A1", "01a1", " r-01A1\n", "OIAL", "r-oial", "oiai"])
def test_what_is_misread_in_any_spelling_is_the_same_id(typed: str) -> None:
    assert readable_ids.as_spelled(typed, "r-") == "01A1"
