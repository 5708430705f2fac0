"""CiviCRM: what happens in its tables, on a real MariaDB, becomes requests by the ready-made triggers and mapping.

The tables are a cut of CiviCRM's own, written for this test: the columns that the triggers read, and the foreign keys
by which rows go with a contact.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.intake.polling.inspection import problems_of
from dpsync.intake.reconciliation.people_list import SourcePeople
from dpsync.intake.sources import reading
from dpsync.intake.sources.reading import READY
from dpsync.store import tables as t
from tests.journeys.polled import Polled, polled
from tests.journeys.reconciled import reconciled
from tests.maindatabase import MainDatabase, MariaDb
from tests.waiting import until

SCHEMA = """
CREATE TABLE civicrm_contact (id INT UNSIGNED PRIMARY KEY, display_name VARCHAR(128), last_name VARCHAR(64),
  do_not_email TINYINT NOT NULL DEFAULT 0, do_not_phone TINYINT NOT NULL DEFAULT 0,
  do_not_mail TINYINT NOT NULL DEFAULT 0, do_not_sms TINYINT NOT NULL DEFAULT 0,
  do_not_trade TINYINT NOT NULL DEFAULT 0,
  is_opt_out TINYINT NOT NULL DEFAULT 0,
  modified_date TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  is_deleted TINYINT NOT NULL DEFAULT 0) ENGINE=InnoDB;
CREATE TABLE civicrm_email (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, contact_id INT UNSIGNED, email VARCHAR(254),
  is_primary TINYINT NOT NULL DEFAULT 0, on_hold INT UNSIGNED NOT NULL DEFAULT 0,
  FOREIGN KEY (contact_id) REFERENCES civicrm_contact (id) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE TABLE civicrm_group (id INT UNSIGNED PRIMARY KEY, name VARCHAR(64), title VARCHAR(255), group_type VARCHAR(128));
CREATE TABLE civicrm_group_contact (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, group_id INT UNSIGNED,
  contact_id INT UNSIGNED, status VARCHAR(8));
CREATE TABLE civicrm_option_group (id INT UNSIGNED PRIMARY KEY, name VARCHAR(64));
CREATE TABLE civicrm_option_value (id INT UNSIGNED PRIMARY KEY, option_group_id INT UNSIGNED, value VARCHAR(512),
  name VARCHAR(255));
CREATE TABLE civicrm_activity (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, activity_type_id INT UNSIGNED,
  source_record_id INT UNSIGNED, parent_id INT UNSIGNED);
CREATE TABLE civicrm_activity_contact (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, activity_id INT UNSIGNED,
  contact_id INT UNSIGNED, record_type_id INT UNSIGNED);
INSERT INTO civicrm_option_group VALUES (2, 'activity_type');
INSERT INTO civicrm_option_value VALUES (1, 2, '47', 'Contact Merged'), (2, 2, '48', 'Contact Deleted by Merge'),
  (3, 2, '3', 'Email');
INSERT INTO civicrm_group VALUES (1, 'Newsletter', 'Our newsletter', CONCAT(CHAR(1), '2', CHAR(1))),
  (2, 'Appeals', 'Appeals', CONCAT(CHAR(1), '2', CHAR(1))), (3, 'Tea_rota', 'Tea rota', CONCAT(CHAR(1), '1', CHAR(1)));
INSERT INTO civicrm_contact (id, display_name, last_name) VALUES (7, 'Ada Lovelace', 'Lovelace'),
  (8, 'A. Lovelace', 'Lovelace');
INSERT INTO civicrm_email (contact_id, email, is_primary) VALUES (7, 'ada@example.org', 1),
  (7, 'countess@example.org', 0),  (8, 'lovelace@example.org', 1);
INSERT INTO civicrm_group_contact (group_id, contact_id, status) VALUES (1, 7, 'Added'), (2, 7, 'Added'),
  (3, 7, 'Added');
"""
ANONYMISE = """UPDATE civicrm_contact SET display_name = 'Anonymous', last_name = 'Anonymous', do_not_email = 1,
  do_not_phone = 1, do_not_mail = 1, do_not_sms = 1, do_not_trade = 1, is_opt_out = 1 WHERE id = 7"""
TRIGGERS = reading.load("civicrm", Path()).triggers
ADDRESSES = {"ada@example.org", "countess@example.org"}


@pytest.fixture
def main(mariadb_server: MariaDb) -> Iterator[MainDatabase]:
    with mariadb_server.main() as database:
        database.apply(SCHEMA)
        database.apply(reading.sql_of("civicrm")["mysql"])
        yield database


@pytest.fixture
def there(tmp_path: Path, sqlite_template: Path, main: MainDatabase) -> Iterator[Polled]:
    with polled(tmp_path, sqlite_template, main, "civicrm") as made:
        yield made


def addresses(there: Polled) -> list[set[str]]:
    """Of each request, in order."""
    return [{*filter(None, [one.subject.email]), *one.subject.other_emails} for one in there.asked()]


def test_each_way_to_opt_out_is_one_and_a_bounce_is_none(there: Polled, main: MainDatabase) -> None:
    main.run(
        "UPDATE civicrm_email SET on_hold = 1 WHERE email = 'ada@example.org'",
        "UPDATE civicrm_contact SET do_not_trade = 1, last_name = 'King' WHERE id = 7",
        "UPDATE civicrm_group_contact SET status = 'Removed' WHERE group_id = 3",
    )
    there.look()
    assert (there.rights(), there.rows(t.refusal)) == ([], [])
    main.run(
        "UPDATE civicrm_contact SET is_opt_out = 1 WHERE id = 7",
        "UPDATE civicrm_contact SET do_not_email = 1 WHERE id = 8",
        "UPDATE civicrm_email SET on_hold = 2 WHERE email = 'countess@example.org'",
        "UPDATE civicrm_group_contact SET status = 'Removed' WHERE group_id = 1",
        "INSERT INTO civicrm_email (contact_id, email) VALUES (7, 'new@example.org')",
    )
    there.look()
    assert there.rights() == ["opt_out"] * 5
    assert sorted(one.scope for one in there.asked()) == ["", "", "", "", "list=Newsletter"], (
        "that group alone was left"
    )
    found = [(one.subject.id, *sorted(told)) for one, told in zip(there.asked(), addresses(there), strict=True)]
    of_ada = [tuple(sorted(ADDRESSES))] * 2 + [("countess@example.org",), ("new@example.org",)]
    assert sorted(found) == sorted([("crm:8", "lovelace@example.org"), *(("crm:7", *told) for told in of_ada)])


def test_what_takes_a_wish_back_is_for_people(there: Polled, main: MainDatabase) -> None:
    main.run("UPDATE civicrm_contact SET is_opt_out = 1, do_not_email = 1 WHERE id = 7")
    there.look()
    main.run(
        "UPDATE civicrm_contact SET is_opt_out = 0 WHERE id = 7",
        "UPDATE civicrm_contact SET do_not_email = 0 WHERE id = 7",
        "DELETE FROM civicrm_email WHERE email = 'countess@example.org'",
    )
    there.look()
    there.clock.advance(timedelta(minutes=10))
    there.look_again()
    assert there.rights() == ["opt_out"]
    names = ["opt-out-taken-back", "do-not-email-taken-back", "address-removed"]
    assert {row.field for row in there.rows(t.refusal)} == {f"refuse.{name}" for name in names}
    assert main.states() == ["taken"] + ["refused"] * 3


def test_forget_me_is_one_erasure_with_the_addresses_that_are_gone(there: Polled, main: MainDatabase) -> None:
    main.run("DELETE FROM civicrm_email WHERE email = 'ada@example.org'")
    main.run("DELETE FROM civicrm_email WHERE email = 'countess@example.org'")
    there.look()
    assert (there.rights(), main.states()) == ([], ["new", "new"]), "an address alone may be a tidied address book"
    there.clock.advance(timedelta(minutes=9))
    with main.admin.begin() as connection:
        connection.exec_driver_sql(ANONYMISE)
        connection.exec_driver_sql(
            "UPDATE dpsync_outbox SET made_at = %s WHERE id = 3", (there.clock.now().replace(tzinfo=None),)
        )
    there.look_again()
    assert there.rights() == ["opt_out", "erasure"]
    assert addresses(there) == [ADDRESSES, ADDRESSES]
    assert "maybe_merge" not in "".join(row.causes for row in there.rows(t.propagation))
    assert main.states() == ["taken"] * 3


def test_an_address_that_forget_me_replaces_is_no_correction(there: Polled, main: MainDatabase) -> None:
    main.run("UPDATE civicrm_email SET email = 'lady@example.org' WHERE email = 'lovelace@example.org'")
    main.run("UPDATE civicrm_email SET email = 'forgotten@example.org' WHERE contact_id = 7", ANONYMISE)
    there.look()
    assert there.rights() == ["opt_out", "erasure"]
    there.clock.advance(timedelta(minutes=10))
    there.look_again()
    assert there.rights() == ["opt_out", "erasure", "rectification"], "of somebody else, whom nobody forgot"
    (_, _, corrected) = there.asked()
    assert corrected.changes is not None
    assert (corrected.subject.email, corrected.changes.email) == ("lovelace@example.org", "lady@example.org")


def test_who_was_merged_is_no_erasure_and_stays_opted_out(there: Polled, main: MainDatabase) -> None:
    main.run("UPDATE civicrm_contact SET is_opt_out = 1 WHERE id = 8")
    there.look()
    main.run("UPDATE civicrm_email SET contact_id = 7, is_primary = 0 WHERE contact_id = 8")
    main.run("UPDATE civicrm_contact SET is_deleted = 1 WHERE id = 8")
    there.look()
    assert there.rights() == ["opt_out", "erasure"], "nobody knows yet that it is a merge"
    main.run("INSERT INTO civicrm_activity (id, activity_type_id) VALUES (1, 47)")
    main.run(
        "INSERT INTO civicrm_activity_contact (activity_id, contact_id, record_type_id) VALUES (1, 7, 3), (1, 1, 2)"
    )
    main.run("INSERT INTO civicrm_activity (id, activity_type_id, parent_id) VALUES (2, 48, 1)")
    main.run("INSERT INTO civicrm_activity_contact (activity_id, contact_id, record_type_id) VALUES (2, 8, 3)")
    there.look()
    there.look()
    assert set(main.states()) == {"taken"}
    states = {row.request_id: row.state for row in there.rows(t.propagation)}
    opted_out, erased, again = sorted(there.rows(t.request), key=lambda row: row.ordinal)
    assert (states[erased.id], again.right, again.person) == ("withdrawn", "opt_out", opted_out.person)
    assert addresses(there)[-1] >= ADDRESSES | {"lovelace@example.org"}


def test_who_is_deleted_is_held_with_all_addresses(there: Polled, main: MainDatabase) -> None:
    main.run("DELETE FROM civicrm_contact WHERE id = 7")
    there.look()
    there.clock.advance(timedelta(minutes=10))
    there.look_again()
    assert there.rights() == ["erasure"]
    assert addresses(there) == [ADDRESSES], "MariaDB calls no trigger for the addresses that go with it"
    assert {row.causes for row in there.rows(t.propagation)} == {"contact_unverified,maybe_merge"}


def test_all_triggers_are_counted_as_the_login_of_dpsync(there: Polled, main: MainDatabase) -> None:
    assert problems_of(there.outbox(), TRIGGERS) == []
    main.run("DROP TRIGGER dpsync_email_delete", "DROP TRIGGER dpsync_merge_insert")
    assert problems_of(there.outbox(), TRIGGERS) == [
        "it lacks dpsync_email_delete, dpsync_merge_insert: changes there reach nobody"
    ]
    main.run("DROP PROCEDURE dpsync_triggers")
    assert problems_of(there.outbox(), TRIGGERS)[0].startswith("dpsync cannot count its triggers")


LOOK = """
import sys
from datetime import datetime
from pathlib import Path
from dpsync.installation import Installation
from dpsync.intake.polling import watching
with Installation(Path(sys.argv[1]), {"DPSYNC_TEST_OUTBOX": sys.argv[2]}) as there:
    watching.poll_all(there, datetime.fromisoformat(sys.argv[3]))
"""


def test_killed_between_the_two_commits_everything_is_there_once(
    there: Polled, main: MainDatabase, tmp_path: Path
) -> None:
    main.run("UPDATE civicrm_contact SET is_opt_out = 1")
    main.dated(there.clock.now())
    main.run("CREATE TRIGGER slow BEFORE UPDATE ON dpsync_outbox FOR EACH ROW DO SLEEP(60)")
    command = [sys.executable, "-c", LOOK, str(tmp_path / "dpsync.toml"), main.url, there.clock.now().isoformat()]
    process = subprocess.Popen(command)
    until(lambda: len(there.rows(t.request)) == 2)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    first = there.rows(t.request)
    main.run("DROP TRIGGER slow")
    assert main.states() == ["new", "new"]
    there.look_again()
    assert (there.rows(t.request), main.states()) == (first, ["taken", "taken"])


def test_the_ready_made_query_lists_every_contact_and_what_it_went_into(
    tmp_path: Path, sqlite_template: Path, main: MainDatabase
) -> None:
    grants = (READY / "civicrm-people.sql").read_text("utf-8").replace("\n--     ", " ")
    grants = grants.replace("'dpsync_reader'@'dpsync.example.org'", "'dpsync'@'localhost'")
    main.run(*(line.removeprefix("--   ").rstrip(";") for line in grants.splitlines() if line.startswith("--   GRANT")))
    main.run(
        "INSERT INTO civicrm_contact (id, last_name, is_opt_out, is_deleted) VALUES (9, 'K', 1, 1), (10, 'L', 0, 1)",
        "INSERT INTO civicrm_contact (id, last_name, do_not_email) VALUES (11, 'M', 1)",
        "INSERT INTO civicrm_activity (id, activity_type_id, source_record_id, parent_id) VALUES (1, 47, 9, NULL), "
        "(2, 48, NULL, 1), (3, 47, 12, NULL), (4, 3, 7, NULL)",
        "INSERT INTO civicrm_activity_contact (activity_id, contact_id, record_type_id) VALUES (1, 8, 3), (2, 9, 3), "
        "(3, 8, 3), (4, 7, 3), (1, 2, 2)",
        ANONYMISE.replace("id = 7", "id = 11"),
    )
    with reconciled(tmp_path, sqlite_template, main, "civicrm") as there:
        there.clock.advance(timedelta(days=10_000))  # the server's own clock made the dates
        section = there.service.settings.sources["crm"].reconcile
        assert section is not None
        found = {row.id: row for page in SourcePeople("crm", section, tmp_path).pages() for row in page if row}
        assert sorted(found, key=int) == ["7", "8", "9", "10", "11", "12"]
        assert set(found["7"].addresses) == ADDRESSES
        assert [one for one in found.values() if one.unread] == []
        assert (found["9"].merged_into, found["9"].winner_addresses) == ("8", ("lovelace@example.org",))
        assert (found["10"].deleted, found["10"].merged_into) == (True, "")
        assert (found["11"].erased, found["11"].opted_out, found["7"].opted_out) == (True, True, False)
        assert (found["12"].deleted, found["12"].merged_into) == (True, "8")
        assert there.compare().new == {"missed": 4, "merged": 1}
        assert there.compare().new == {}
        assert {row.right for row in there.requests()} == {"opt_out", "erasure"}
