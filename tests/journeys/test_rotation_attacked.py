"""A key is changed where two do it at once, the folder does not let go of the old one, or the newest is missing."""

from datetime import timedelta
from pathlib import Path

import pytest

from dpsync import key_files
from dpsync.errors import KeyProblem
from dpsync.model import Right
from dpsync.running import key_changes
from dpsync.running.start import start
from tests.journeys.installation import installed, sqlite_url
from tests.journeys.test_rotation import ADA, changed


def test_whoever_waited_at_the_question_while_another_changed_the_key_destroys_no_key_of_theirs(
    tmp_path: Path, database_url: str
) -> None:
    with installed(tmp_path, database_url) as there, there.another_process() as waiting:
        changed(there, "signing")
        signs = (tmp_path / "keys" / "signing.key").read_bytes()
        with pytest.raises(KeyProblem, match="was changed today already"):
            key_changes.change_signing(waiting, there.clock.now())
        assert (tmp_path / "keys" / "signing.key").read_bytes() == signs
        there.restart()
        there.sound()


def test_a_next_key_that_a_file_system_without_links_left_half_written_takes_no_place(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        signs = (tmp_path / "keys" / "signing.key").read_bytes()
        (tmp_path / "keys" / key_files.NEXT).write_text("ab" * 20)
        (tmp_path / "keys" / key_files.NEXT).chmod(0o600)
        with pytest.raises(KeyProblem, match=r"signing.next has another length.*delete it"):
            key_changes.change_signing(there.service, there.clock.now())
        assert (tmp_path / "keys" / "signing.key").read_bytes() == signs


def test_a_former_key_that_cannot_be_destroyed_stops_no_start_and_the_operator_hears_of_it(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        changed(there, "signing")
        (former,) = (tmp_path / "keys").glob("signing-until-*.key")
        kept = former.rename(tmp_path / "kept-elsewhere")  # as an orchestrator mounts secrets: by links, for reading
        former.symlink_to(kept)
        there.clock.advance(timedelta(days=31))
        there.restart()
        there.clock.advance(timedelta(days=8))
        there.restart()
        start(there.service)
        assert ("operator", "former-key") in there.alerts()
        assert kept.read_bytes() == former.read_bytes()
        there.sound()


def test_no_command_goes_on_without_the_newest_pepper(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        changed(there, "pepper")
        there.ask(Right.OPT_OUT, ADA)
        (tmp_path / "keys" / "pepper-2.key").unlink()
        with there.another_process() as command, pytest.raises(KeyProblem, match=r"pepper-2.key is lost: restore it"):
            command.demand_own_store()


def test_a_secret_half_that_was_left_beside_its_public_one_is_destroyed_at_the_next_start(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        changed(there, "signing")
        (former,) = (tmp_path / "keys").glob("signing-until-*.key")
        secret = former.read_bytes()
        there.clock.advance(timedelta(days=31))
        there.restart()
        assert former.exists(), "the clock may have leapt"
        there.clock.advance(timedelta(days=8))
        there.restart()
        assert not former.exists()
        former.write_bytes(secret)  # killed between the two steps
        former.chmod(0o600)
        there.restart()
        assert not former.exists()
        assert former.with_suffix(".pub").exists()
        assert ("operator", "former-key") not in there.alerts()


@pytest.mark.parametrize("which", ["signing", "pepper"])
def test_a_key_that_a_start_puts_on_the_record_is_on_the_card_too(which: str, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        if which == "signing":
            key_changes.change_signing(there.service, there.clock.now())
        else:
            key_changes.add_pepper(there.service)
        (tmp_path / "keys" / "card.txt").unlink()
        there.restart()
        made = tmp_path / "keys" / ("signing.key" if which == "signing" else "pepper-2.key")
        card = "".join((tmp_path / "keys" / "card.txt").read_text().split())
        assert made.read_text().strip() in card
        (tmp_path / "keys" / "card.txt").unlink()
        there.restart()
        assert not (tmp_path / "keys" / "card.txt").exists(), "once printed it is not made again"
