"""How an installation begins: its database and ledger once, and what must be so each time before anything is sent."""

from datetime import datetime
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from dpsync import journal_comparison, key_register, own_store, telemetry
from dpsync import settings as configuration
from dpsync.alerts import tell_of_useless
from dpsync.channels import useless
from dpsync.custody.differences import Differences, first_few
from dpsync.custody.marks import anchored
from dpsync.errors import KeyProblem, StoreProblem
from dpsync.installation import Installation
from dpsync.ledger import entry
from dpsync.ledger.audit import Verification
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import protect
from dpsync.propagation import contacts, proof_boxes
from dpsync.propagation.correspondence import acknowledgement
from dpsync.retention import acts
from dpsync.running import key_changes, stamping, timekeeping, witnessing
from dpsync.soundness import key_problems, verify_ledger
from dpsync.store import integrity, meta
from dpsync.store import tables as t
from dpsync.store.schema import Migration, migrate, schema_version
from dpsync.store.trouble import RESTORE
from dpsync.store.writer import Unit


def initialise(there: Installation, *, backed_up: bool = False) -> tuple[bool, Migration | None]:
    """Make or migrate the database and begin the ledger. Whether it is new, and what was migrated.

    Twice changes nothing. Raises what `store.schema.migrate` does; what `Custody.demand` does where the database
    lost something, before it is migrated; what `Verification.demand` does where the migrated ledger is not in order,
    and nothing is migrated then; and `KeyProblem` where it was made with other keys.
    """
    if schema_version(there.engine) is not None:
        there.custody.demand(there.read)
    migrated = migrate(there.engine, backed_up=backed_up, then=protect, verify=partial(_demand_whole, there))
    new = not there.read(own_store.meta)
    if not new:
        there.demand_own_store()
        _begin_custody(there)
        _make_findable(there)
        return False, migrated
    if there.read(there.log.size):
        raise StoreProblem(f"the database holds a ledger, and its table `meta` is empty: {RESTORE}")

    def work(unit: Unit) -> None:
        facts = {"origin": there.origin, "keys": there.keys.fingerprint()}
        for key, value in facts.items():
            unit.connection.execute(t.meta.insert().values(key=key, value=value))
        key = sha256(there.log.signer.verifier.public).hexdigest()
        unit.append(None, entry.encode(EntryKind.KEY, there.clock.now(), digest=key))
        _note_configuration(unit, configuration.digest(there.settings), there.clock.now())

    there.write(work)
    _begin_custody(there)
    _make_findable(there)
    return True, migrated


def _demand_whole(there: Installation, connection: Connection) -> None:
    """Refuse a migrated database, before it counts, that is damaged or whose ledger is not in order."""
    if unsound := integrity.problem(connection):
        raise StoreProblem(f"the migrated database would be damaged ({unsound}); nothing was changed")
    there.log.verify(connection, full=True).demand()


def _make_findable(there: Installation) -> None:
    """Have the names of requests from before there were boxes lead to their proof, too. Cut off, it begins anew."""
    if there.read(proof_boxes.unfindable) is not None:
        return
    last, shut, more = 0, 0, True
    while more:
        last, some = there.write(partial(_make_boxes, there, last))
        shut, more = shut + some, last > 0
    there.write(lambda unit: meta.put(unit.connection, proof_boxes.UNFINDABLE, str(shut)))


def _make_boxes(there: Installation, after: int, unit: Unit) -> tuple[int, int]:
    return proof_boxes.make_missing(unit.connection, there, after)


def _begin_custody(there: Installation) -> None:
    """Begin what is kept outside, or what lacks of it after a beginning that was cut off; nothing is made anew."""

    def work(unit: Unit) -> None:
        key_register.register(unit.connection, there.keys)
        journal_comparison.mark(unit.connection, 0, 0)

    if there.read(journal_comparison.marked) is None:
        there.custody.begin()
        there.write(work)
    if there.read(anchored) is None:
        there.anchor(there.clock.now())


def start(there: Installation) -> Verification:
    """What must be so before anything is sent: own store, its file whole, every key there, ledger in order and no
    older than what is kept outside, nothing accepted missing. A clock that does not fit, and a channel for alerts of
    which nobody would ever hear, are told of.

    Raises `StoreProblem`, `KeyProblem`, `LedgerTampered`, `AcceptedLost`, `ProofDamaged`.
    """
    there.demand_own_store()
    clock = timekeeping.trouble(there)  # before anything is written under it
    verification = _demand_sound(there)
    key_changes.finish(there, there.clock.now())
    there.write(lambda unit: key_register.found_again(unit.connection, there.keys))
    there.write(lambda unit: key_register.take_over(unit.connection, there.keys))
    key_changes.retire(there, there.clock.now())
    _register(there)
    _make_findable(there)
    timekeeping.tell(there, clock)
    _tell_of_channels(there)
    return verification


def _demand_sound(there: Installation) -> Verification:
    _ = there.controller  # every fault of every section, before anything is written
    if unsound := there.read(integrity.problem):
        raise StoreProblem(f"the database file is damaged: {unsound}. {RESTORE}")
    if problems := key_problems(there):
        raise KeyProblem(first_few(problems))
    there.custody.demand_recovered()
    witnessing.demand_others(there)
    if there.settings.ledger.stamps:
        stamping.demand_library()
    verification = verify_ledger(there, full=False)
    Differences(verification.problems, verification.damaged, verification.lost).demand()
    there.keys.demand_room()
    there.custody.demand_room()
    there.custody.settle(there.read, there.write, there.clock.now())
    there.custody.publish(there.read)
    return verification


def _register(there: Installation) -> None:
    """Put on the record what the settings say, and who is who in them."""
    digest = configuration.digest(there.settings)
    if there.read(own_store.meta).get("configuration") != digest:
        there.write(lambda unit: _note_configuration(unit, digest, there.clock.now()))

    def work(unit: Unit) -> None:
        for processor in there.controller.processors.values():
            contacts.register(unit.connection, there.controller, processor, there.clock.now())
        acknowledgement.release_confirmed(unit, there.controller, there.clock.now())
        acts.begin(unit, there.controller, there.clock.now())

    there.write(work)


def _note_configuration(unit: Unit, digest: str, now: datetime) -> None:
    meta.put(unit.connection, "configuration", digest)
    unit.append(None, entry.encode(EntryKind.CONFIGURATION, now, digest=digest))


def _tell_of_channels(there: Installation) -> None:
    found = useless(there.settings.alerts, rehearsal=there.settings.controller.rehearsal)
    if found:
        telemetry.log("service").error("channels for alerts are useless", code="DP-302", count=len(found))
        there.write(lambda unit: tell_of_useless(unit.connection, found, there.clock.now(), there.zone))
