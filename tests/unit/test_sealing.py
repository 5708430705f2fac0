"""The key directory: never overwritten, never readable by others, and able to forget."""

import hashlib
import hmac
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsync.ciphers import RequestKey
from dpsync.errors import KeyProblem
from dpsync.key_files import CARD, MONTHS, PEPPER, SIGNING
from dpsync.model import NameKind
from dpsync.sealing import Keys

MONTH = "2026-11"
NOW = datetime(2027, 2, 3, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keys(directory: Path) -> Keys:
    made = Keys.create(directory)
    made.begin_month(MONTH)
    return made


def _everything(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.rglob("*")]}


def test_a_new_key_directory_is_readable_by_its_owner_only_whatever_the_umask(directory: Path) -> None:
    before = os.umask(0)
    try:
        keys = Keys.create(directory)
        keys.begin_month(MONTH)
        keys.wrap(keys.new_request_key(), "r-1", MONTH)
    finally:
        os.umask(before)
    assert _modes(directory) == {
        "keys": 0o700,
        MONTHS: 0o700,
        SIGNING: 0o600,
        PEPPER: 0o600,
        CARD: 0o600,
        f"{MONTH}.key": 0o600,
    }


def test_creating_twice_changes_nothing_and_opens_the_same_keys(directory: Path) -> None:
    first = Keys.create(directory)
    before = _everything(directory)
    assert Keys.create(directory).fingerprint() == first.fingerprint()
    assert _everything(directory) == before


def test_an_empty_folder_is_filled_and_no_draft_is_left_beside_it(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    Keys.create(directory)
    assert _modes(directory)["keys"] == 0o700
    assert [path.name for path in directory.parent.iterdir()] == ["keys"]


@pytest.mark.parametrize("name", [SIGNING, PEPPER])
def test_a_lost_key_is_never_made_anew_beside_the_others(directory: Path, keys: Keys, name: str) -> None:
    (directory / name).unlink()
    before = _everything(directory)
    for way in (Keys.load, Keys.create):
        with pytest.raises(KeyProblem, match=f"{name} is missing"):
            way(directory)
    assert _everything(directory) == before


def test_a_missing_directory_is_refused_and_not_made_by_loading(directory: Path) -> None:
    with pytest.raises(KeyProblem, match="missing"):
        Keys.load(directory)
    assert not directory.exists()


def test_a_file_where_the_folder_should_be_is_refused_and_kept(directory: Path) -> None:
    directory.write_text("x")
    with pytest.raises(KeyProblem):
        Keys.create(directory)
    assert directory.read_text() == "x"


@pytest.mark.parametrize("name", [".", MONTHS, SIGNING, PEPPER, CARD])
@pytest.mark.parametrize("bit", [0o040, 0o004, 0o010])
def test_what_group_or_others_may_open_is_refused(directory: Path, keys: Keys, name: str, bit: int) -> None:
    path = directory / name
    path.chmod(path.stat().st_mode | bit)
    with pytest.raises(KeyProblem, match="open to group or others"):
        Keys.load(directory)


def test_a_month_key_that_others_may_read_is_refused(directory: Path, keys: Keys) -> None:
    wrapped = keys.wrap(keys.new_request_key(), "r-1", MONTH)
    (directory / MONTHS / f"{MONTH}.key").chmod(0o640)
    with pytest.raises(KeyProblem, match="open to group or others"):
        Keys.load(directory).unwrap(wrapped, "r-1", MONTH)


@pytest.mark.parametrize("content", [b"", b"ab" * 31, b"ab" * 33, b"zz" * 32, b"\xff" * 32])
def test_a_file_that_is_no_key_is_refused_without_repeating_it(directory: Path, keys: Keys, content: bytes) -> None:
    (directory / PEPPER).write_bytes(content)
    with pytest.raises(KeyProblem) as caught:
        Keys.load(directory)
    assert "abab" not in str(caught.value)
    assert "zz" not in str(caught.value)


def test_the_card_restores_the_keys_when_typed_with_its_spaces(directory: Path, keys: Keys, tmp_path: Path) -> None:
    card = (directory / CARD).read_text()
    typed = tmp_path / "typed"
    (typed / MONTHS).mkdir(parents=True, mode=0o700)
    typed.chmod(0o700)
    for name in (SIGNING, PEPPER):
        lines = card.split(name, 1)[1].splitlines()[1:3]
        (typed / name).write_text("\n".join(lines))
        (typed / name).chmod(0o600)
    assert Keys.load(typed).fingerprint() == keys.fingerprint()


def test_other_keys_have_another_fingerprint(directory: Path, keys: Keys, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Keys.create(other)
    for name in (SIGNING, PEPPER):
        mixed = tmp_path / f"mixed-{name}"
        (mixed / MONTHS).mkdir(parents=True, mode=0o700)
        mixed.chmod(0o700)
        for part in (SIGNING, PEPPER):
            (mixed / part).write_bytes(((other if part == name else directory) / part).read_bytes())
            (mixed / part).chmod(0o600)
        assert Keys.load(mixed).fingerprint() != keys.fingerprint()


def test_nothing_secret_is_in_a_repr(directory: Path, keys: Keys) -> None:
    key = keys.new_request_key()
    keys.wrap(key, "r-1", MONTH)
    shown = f"{keys!r} {key!r} {keys._months!r}"
    for secret in (*(_everything(directory)[name].decode().strip() for name in (SIGNING, PEPPER)), key._secret.hex()):
        assert secret not in shown
        assert repr(bytes.fromhex(secret)) not in shown


def test_one_address_in_two_spellings_is_one_pseudonym_and_an_id_is_another(keys: Keys, directory: Path) -> None:
    pseudonym = keys.pseudonym("address", " ADA@Example.org ")
    assert pseudonym == keys.pseudonym("address", "ada@example.org")
    assert pseudonym != keys.pseudonym("id", "ada@example.org")
    assert keys.pseudonym("id", "A1") != keys.pseudonym("id", "a1")
    pepper = bytes.fromhex((directory / PEPPER).read_text())
    assert pseudonym == hmac.new(pepper, b"address\nada@example.org", hashlib.sha256).hexdigest()


def test_each_purpose_has_a_key_of_its_own(keys: Keys) -> None:
    assert keys.mac("answer", b"x") != keys.mac("contact", b"x")
    sealed = keys.seal("shelf", b"x", b"here")
    assert keys.open("shelf", sealed, b"here") == b"x"
    with pytest.raises(KeyProblem):
        keys.open("answer", sealed, b"here")
    with pytest.raises(KeyProblem):
        keys.open("shelf", sealed, b"there")


@given(plain=st.binary(max_size=200), context=st.binary(max_size=50), flip=st.integers(min_value=0))
@settings(max_examples=60)
def test_whatever_is_sealed_opens_again_and_no_changed_byte_passes(plain: bytes, context: bytes, flip: int) -> None:
    key = RequestKey(bytes(range(32)))
    sealed = key.seal(plain, context)
    assert key.open(sealed, context) == plain
    at = flip % len(sealed)
    with pytest.raises(KeyProblem):
        key.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], context)
    with pytest.raises(KeyProblem):
        key.open(sealed[:at], context)


def test_sealing_twice_never_gives_the_same_bytes(keys: Keys) -> None:
    key = keys.new_request_key()
    assert key.seal(b"x", b"") != key.seal(b"x", b"")
    assert keys.seal("shelf", b"x", b"") != keys.seal("shelf", b"x", b"")
    assert box_of(keys) != box_of(keys)


def test_a_disclosed_commit_key_opens_no_sealed_instruction(keys: Keys) -> None:
    key = keys.new_request_key()
    sealed = key.seal(b"x", b"r-1")
    with pytest.raises(KeyProblem):
        RequestKey(key.commit_key).open(sealed, b"r-1")
    with pytest.raises(InvalidTag):
        AESGCM(key.commit_key).decrypt(sealed[1:13], sealed[13:], sealed[:1] + b"r-1")
    assert key.commit_key != RequestKey(key.commit_key).commit_key


def test_a_wrapped_key_comes_back_in_another_process_of_the_same_directory(keys: Keys, directory: Path) -> None:
    key = keys.new_request_key()
    wrapped = keys.wrap(key, "r-1", MONTH)
    again = Keys.load(directory).unwrap(wrapped, "r-1", MONTH)
    assert again.commit_key == key.commit_key
    assert again.open(key.seal(b"x", b"r-1"), b"r-1") == b"x"


def test_a_wrapped_key_opens_for_its_own_request_and_month_only(keys: Keys) -> None:
    wrapped = keys.wrap(keys.new_request_key(), "r-1", MONTH)
    keys.begin_month("2026-12")
    keys.wrap(keys.new_request_key(), "r-2", "2026-12")
    for request_id, month in (("r-2", MONTH), ("r-1", "2026-12"), ("r-1", "2027-01")):
        with pytest.raises(KeyProblem):
            keys.unwrap(wrapped, request_id, month)


def test_a_destroyed_month_is_closed_for_ever_also_in_a_process_that_had_it_open(keys: Keys, directory: Path) -> None:
    other = Keys.load(directory)
    wrapped = keys.wrap(keys.new_request_key(), "r-1", MONTH)
    other.unwrap(wrapped, "r-1", MONTH)
    keys.begin_month("2026-12")
    kept = keys.wrap(keys.new_request_key(), "r-2", "2026-12")
    keys.destroy_month(MONTH, NOW)
    keys.destroy_month(MONTH, NOW)
    for each in (keys, other):
        with pytest.raises(KeyProblem, match="destroyed"):
            each.unwrap(wrapped, "r-1", MONTH)
        with pytest.raises(KeyProblem, match="destroyed"):
            each.wrap(keys.new_request_key(), "r-3", MONTH)
    keys.begin_month(MONTH)
    for each in (keys, other):
        with pytest.raises(KeyProblem):
            each.unwrap(wrapped, "r-1", MONTH)
    keys.unwrap(kept, "r-2", "2026-12")


def test_a_destroyed_month_key_is_overwritten_where_the_file_system_lets_it(keys: Keys, directory: Path) -> None:
    keys.wrap(keys.new_request_key(), "r-1", MONTH)
    held = (directory / MONTHS / f"{MONTH}.key").open("rb")
    with held:
        keys.destroy_month(MONTH, NOW)
        assert set(held.read()) == {0}


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "../../x", "2026-11/..", ""])
def test_a_month_is_never_a_path(keys: Keys, month: str) -> None:
    with pytest.raises(KeyProblem, match="YYYY-MM"):
        keys.wrap(keys.new_request_key(), "r-1", month)
    with pytest.raises(KeyProblem, match="YYYY-MM"):
        keys.begin_month(month)
    with pytest.raises(KeyProblem, match="YYYY-MM"):
        keys.destroy_month(month, NOW)


def test_many_threads_that_need_a_new_month_at_once_share_one_key(directory: Path) -> None:
    Keys.create(directory)
    several = [Keys.load(directory) for _ in range(16)]
    request = several[0].new_request_key()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda keys: keys.begin_month(MONTH), several))
        wrapped = list(pool.map(lambda keys: keys.wrap(request, "r-1", MONTH), several))
    assert {several[0].unwrap(each, "r-1", MONTH).commit_key for each in wrapped} == {request.commit_key}
    assert [path.name for path in (directory / MONTHS).iterdir()] == [f"{MONTH}.key"]


def test_who_comes_second_to_a_new_month_finds_the_first_key_and_leaves_no_draft(tmp_path: Path) -> None:
    first = Keys.create(tmp_path / "keys")
    path = tmp_path / "keys" / MONTHS / f"{MONTH}.key"
    first.begin_month(MONTH)
    made = path.read_bytes()
    Keys.load(tmp_path / "keys").begin_month(MONTH)
    assert path.read_bytes() == made
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_create_at_once_end_with_the_same_keys(directory: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from dpsync.sealing import Keys\n"
        "print(Keys.create(Path(sys.argv[1])).fingerprint())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = {each.communicate()[0].strip() for each in running}
    assert said == {Keys.load(directory).fingerprint()}
    assert [path.name for path in directory.parent.iterdir()] == ["keys"]


def box_of(keys: Keys) -> bytes:
    return keys.proof_box("address", "ada@example.org", "r-1", bytes(32))


@pytest.mark.parametrize(
    ("kind", "named", "again", "other"),
    [
        ("address", "Ada@example.org", " ada@EXAMPLE.org", "grace@example.org"),
        ("phone", "+44 20 7946 0018", "020 7946 0018", "020 7946 0019"),
        ("id", "crm-1", "crm-1", "crm-2"),
    ],
)
def test_only_the_name_leads_to_its_proof_and_opens_it_in_any_spelling(
    kind: NameKind, named: str, again: str, other: str, keys: Keys
) -> None:
    box = keys.proof_box(kind, named, "r-1", bytes(range(32)))
    assert keys.open_proof_box(kind, again, box) == ("r-1", bytes(range(32)))
    assert keys.proof_places(kind, again) == keys.proof_places(kind, named)
    with pytest.raises(KeyProblem) as caught:
        keys.open_proof_box(kind, other, box)
    assert other not in str(caught.value)
    assert named not in repr(keys._purposes)


def test_a_box_stands_under_a_pseudonym_that_no_other_table_has_and_one_kind_of_name_is_no_other(keys: Keys) -> None:
    kinds: tuple[NameKind, ...] = ("address", "phone", "id")
    found = {keys.pseudonym(kind, "44207") for kind in kinds} | {keys.proof_places(kind, "44207")[0] for kind in kinds}
    assert len(found) == 6
    with pytest.raises(KeyProblem):
        keys.open_proof_box("phone", "44207", keys.proof_box("id", "44207", "r-1", bytes(32)))


def test_a_stranger_with_the_database_but_other_keys_opens_no_proof(keys: Keys, tmp_path: Path) -> None:
    box = box_of(keys)
    with pytest.raises(KeyProblem):
        Keys.create(tmp_path / "stranger").open_proof_box("address", "ada@example.org", box)
