"""Checkpoints: the public format to the byte, one spelling, and who must have signed."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsync.errors import NoteInvalid
from dpsync.ledger import note
from tests.names import plain

SIGNER = note.Signer.from_seed("example.org/dpsync", bytes(range(32)))
WITNESS = note.Signer.from_seed("witness.example.org", bytes(32))
HEAD = note.Checkpoint("example.org/dpsync", 42, bytes(range(32)))
NOTE = note.sign(HEAD, SIGNER)

# The example that the note package of Go publishes with its private key.
GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_LINE = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNED = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def test_the_public_example_of_the_format_is_reproduced() -> None:
    signer = note.Signer.from_seed("PeterNeumann", GO_SEED)
    assert signer.verifier.line == GO_LINE
    assert note.VerifierKey.parse(GO_LINE) == signer.verifier
    assert note.sign_text(GO_TEXT, [signer]) == f"{GO_TEXT}\n— PeterNeumann {GO_SIGNED}\n"


def test_a_checkpoint_is_origin_size_root_and_a_signature_line() -> None:
    lines = NOTE.split("\n")
    assert lines[:4] == ["example.org/dpsync", "42", base64.b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith("— example.org/dpsync ")
    assert lines[5:] == [""]


def test_a_checkpoint_is_believed_when_a_known_key_signed_it() -> None:
    assert note.verify(NOTE, [WITNESS.verifier, SIGNER.verifier]) == HEAD


def test_a_signature_by_an_unknown_key_is_ignored_but_not_enough() -> None:
    both = note.sign(HEAD, WITNESS, SIGNER)
    assert note.verify(both, [SIGNER.verifier]) == HEAD
    assert note.verify(both, [WITNESS.verifier]) == HEAD
    with pytest.raises(NoteInvalid, match="no known key"):
        note.verify(NOTE, [WITNESS.verifier])
    with pytest.raises(NoteInvalid, match="no known key"):
        note.verify(NOTE, [])


def test_a_known_name_with_another_key_is_an_unknown_key() -> None:
    impostor = note.Signer.from_seed(SIGNER.name, bytes(32))
    assert note.verify(note.sign(HEAD, impostor, SIGNER), [SIGNER.verifier]) == HEAD
    with pytest.raises(NoteInvalid, match="no known key"):
        note.verify(note.sign(HEAD, impostor), [SIGNER.verifier])


def test_a_known_keys_wrong_signature_spoils_the_note_beside_a_right_one() -> None:
    forged = NOTE.split("\n")
    forged[1] = "43"
    both = "\n".join(forged) + WITNESS.line("example.org/dpsync\n43\n" + forged[2] + "\n")
    with pytest.raises(NoteInvalid, match="does not fit"):
        note.verify(both, [SIGNER.verifier, WITNESS.verifier])


def test_two_signatures_by_one_known_key_are_refused() -> None:
    with pytest.raises(NoteInvalid, match="does not fit"):
        note.verify(note.sign(HEAD, SIGNER, SIGNER), [SIGNER.verifier])


def signed(text: str) -> str:
    return note.sign_text(text, [SIGNER])


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "spelled",
    [
        "",
        "\n",
        HEAD.text,
        HEAD.text + "\n",
        NOTE + "\n",
        NOTE[:-1],
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("— ", "—  "),
        NOTE + "— a+b AAAAAAA=\n",
        NOTE + "— name AAAA\n",
        NOTE + "— name !!!!!!!!\n",
        NOTE + "— name\n",
        NOTE + "— name AAAAAAB=\n",
        signed(f"o\n042\n{ROOT}\n"),
        signed(f"o\n+42\n{ROOT}\n"),
        signed(f"o\n٤٢\n{ROOT}\n"),
        signed(f"o\n²\n{ROOT}\n"),
        signed(f"o\n-1\n{ROOT}\n"),
        signed(f"o\n{'9' * 19}\n{ROOT}\n"),
        signed(f"\n42\n{ROOT}\n"),
        signed(f"o\n42\n{ROOT}\nextension\n"),
        signed("o\n42\n"),
        signed(f"o\n42\n{ROOT[:-1]}\n"),
        signed(f"o\n42\n{ROOT[:-2]}B=\n"),
        signed("o\n42\nAAAA\n"),
        signed(f"o\u2028x\n42\n{ROOT}\n"),
        NOTE + "— name AAAAAAA=\n" * 5000,
    ],
    ids=lambda spelled: plain(spelled[:24] + "..." + spelled[-12:]),
)
def test_a_note_in_another_spelling_is_refused(spelled: str) -> None:
    with pytest.raises(NoteInvalid):
        note.parse(spelled)


@settings(max_examples=300)
@given(st.data())
def test_no_single_changed_sign_goes_unseen(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(NOTE) - 1))
    mark = data.draw(st.characters(codec="utf-8").filter(lambda mark: mark != NOTE[at]))
    with pytest.raises(NoteInvalid):
        note.verify(NOTE[:at] + mark + NOTE[at + 1 :], [SIGNER.verifier])


@given(st.integers(0, 2**50), st.binary(min_size=32, max_size=32))
def test_what_was_signed_is_parsed_again(size: int, root: bytes) -> None:
    head = note.Checkpoint("example.org/dpsync", size, root)
    assert note.verify(note.sign(head, SIGNER), [SIGNER.verifier]) == head


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a",
        "a+b",
        GO_LINE + "\n",
        GO_LINE.replace("c74f20a3", "C74F20A3"),
        GO_LINE.replace("c74f20a3", "c74f20a4"),
        GO_LINE.replace("Peter", "Paul"),
        GO_LINE[:-1],
        "n+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
    ],
)
def test_a_damaged_verifier_key_is_refused(line: str) -> None:
    with pytest.raises(NoteInvalid):
        note.VerifierKey.parse(line)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused_though_its_id_is_right(length: int) -> None:
    with pytest.raises(NoteInvalid, match="not an Ed25519 key"):
        note.VerifierKey.parse(note.VerifierKey("example.org", bytes(length)).line)


def test_a_key_whose_base64_holds_the_separator_is_read() -> None:
    keys = (note.Signer.from_seed("example.org", bytes([seed]) * 32).verifier for seed in range(64))
    key = next(key for key in keys if "+" in key.line.partition("+")[2].partition("+")[2])
    assert note.VerifierKey.parse(key.line) == key


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb"])
def test_a_name_that_the_format_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(NoteInvalid):
        note.Signer.from_seed(name, bytes(32))


def test_a_signer_does_not_show_its_key() -> None:
    assert "Private" not in repr(SIGNER)


def test_a_note_needs_a_signer() -> None:
    with pytest.raises(ValueError, match="signer"):
        note.sign(HEAD)


def test_the_longest_size_and_the_longest_note_are_still_read() -> None:
    far = note.Checkpoint("o", 10**18 - 1, bytes(32))
    assert note.verify(note.sign(far, SIGNER), [SIGNER.verifier]) == far
    filler = note.LARGEST - len(NOTE.encode()) - len("— x AAAAAAA=\n".encode())
    longest = f"{NOTE}— {'x' * (filler + 1)} AAAAAAA=\n"
    assert len(longest.encode()) == note.LARGEST
    assert note.verify(longest, [SIGNER.verifier]) == HEAD
    with pytest.raises(NoteInvalid, match="too long"):
        note.parse(longest.replace("x", "xx", 1))


def test_an_unknown_signature_may_have_any_length_but_none() -> None:
    one_byte = base64.b64encode(b"key!" + b"s").decode()
    assert note.verify(f"{NOTE}— name {one_byte}\n", [SIGNER.verifier]) == HEAD
    none = base64.b64encode(b"key!").decode()
    with pytest.raises(NoteInvalid, match="holds no signature"):
        note.parse(f"{NOTE}— name {none}\n")


def test_a_text_with_an_empty_line_is_signed_as_a_whole() -> None:
    text = "first\n\nsecond\n"
    assert note.signed_text(note.sign_text(text, [SIGNER]), [SIGNER.verifier]) == text


@pytest.mark.parametrize("public", [b"", b"short", bytes(33)])
def test_what_is_no_public_key_fits_nothing_however_often_it_is_asked(public: bytes) -> None:
    key = note.VerifierKey("example.org/dpsync", public)
    assert [key.fits("text\n", bytes(64)) for _ in range(2)] == [False, False]


@pytest.mark.parametrize("mark", ["\t", "\r", "\x00", "\x7f", "\x85", "\u2028", "\u200b"])
def test_a_control_character_anywhere_in_a_note_is_refused(mark: str) -> None:
    signed = note.sign(note.Checkpoint("example.org/dpsync", 1, bytes(32)), SIGNER)
    note.parse(signed)
    for at in (0, 5, len(signed)):
        with pytest.raises(NoteInvalid, match="control character"):
            note.parse(signed[:at] + mark + signed[at:])
