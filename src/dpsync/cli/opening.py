"""An installation, opened for one command; what several commands ask of it."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dpsync import durable, paths
from dpsync import settings as configuration
from dpsync.cli.collecting import sparing_what_is_loaded
from dpsync.cli.console import Talk
from dpsync.durable import FULL
from dpsync.errors import ConfigurationError, Fault, NotFound, NotWritten, StoreAway, UsageError
from dpsync.installation import Installation
from dpsync.known_connectors import connector_class, unknown_connector
from dpsync.propagation.decisions import find_request
from dpsync.settings import Settings
from dpsync.settings.values import UNSET_CODE
from dpsync.store import tables as t
from dpsync.store.trouble import trouble
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

if TYPE_CHECKING:
    from dpsync.reports.who import Who


_FIRST_YEAR, _LAST_YEAR = 1970, 9998


@contextmanager
def installation(
    talk: Talk, *, secrets: bool = True, compare: bool = True, told: Callable[[str], None] | None = None
) -> Iterator[Installation]:
    """The service of `talk.config`, its store found to be its own; closed at the end.

    `secrets=False` for what tells nobody anything: it works in a shell without the service's environment.
    `compare=False` for what only reads, or compares by itself: all else begins only where nothing was lost, before
    anything is written. `told` hears of a database that somebody else holds, in place of whoever ran the command.
    Raises what `Custody.demand` does.
    """
    settings = load_settings(talk.config, secrets=secrets)
    there = Installation(talk.config, os.environ, settings=settings, told=told or talk.warn)
    with store_errors_named(settings.store.url), there:
        there.demand_own_store()
        if compare:
            there.custody.demand(there.read)
        talk.detail(f"settings {talk.config}, database {place_of_store(there)}")
        with sparing_what_is_loaded():
            yield there


def load_settings(config: Path, *, secrets: bool) -> Settings:
    """The settings; where they have faults, those of the connectors' own keys are told with them, in one round.

    Raises `ConfigurationError`.
    """
    try:
        return configuration.load(config, os.environ, secrets=secrets)
    except ConfigurationError as refused:
        told = {fault.key for fault in refused.faults}
        both = [*refused.faults, *(fault for fault in _connector_faults(config) if fault.key not in told)]
        # As `load` has it: what is merely not set here comes last.
        raise ConfigurationError(sorted(both, key=lambda fault: fault.code == UNSET_CODE)) from None


def faults_of_settings(config: Path) -> list[Fault]:
    """All that is wrong with the settings, those of the connectors' own keys too."""
    try:
        load_settings(config, secrets=False)
    except ConfigurationError as refused:
        return list(refused.faults)
    return _connector_faults(config)


def _connector_faults(config: Path) -> list[Fault]:
    found: list[Fault] = []
    try:
        sections = configuration.processors_as_written(config)
    except ConfigurationError:
        return found  # told already
    for name, section in sections.items():
        kind = connector_class(section.connector)
        if kind is None:
            found.append(unknown_connector(name))
            continue
        try:
            configuration.connector_section(kind.Settings, name, section, os.environ, config.parent)
        except ConfigurationError as error:
            found += error.faults
    return found


@contextmanager
def store_errors_named(url: str = "") -> Iterator[None]:
    """Turn what the database library raises into an error of ours. Its text may hold values, so none of it is kept."""
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreAway("the database answers nobody in time; try again in a moment") from error
    except DBAPIError as error:
        found = trouble(error, url)
        if found is None:
            raise  # a defect of ours, not the database's state
        raise found from error


def place_of_store(there: Installation) -> str:
    """The database as the settings name it: never the password in a URL."""
    reference: str = getattr(there.settings.store.url, "reference", "the database")
    return reference.removeprefix("sqlite:///")


def full_id(there: Installation, prefix: str) -> str:
    """The one request that begins so. Raises `NotFound`."""
    return there.read(lambda connection: find_request(connection, prefix))


def shown_to(there: Installation, request_id: str, by: str, command: str) -> "Who":
    """Whom a request is about; that it was shown, and to whom, is on the record first. Raises `NotFound`."""
    from dpsync.cli.console import os_user
    from dpsync.propagation.decisions import Person
    from dpsync.propagation.showing import show
    from dpsync.reports.who import who_of

    there.custody.demand(there.read)
    now, user = there.clock.now(), os_user()
    person = Person(by.strip() or user, user, f"shown by `{command}`")
    return who_of(there.write(lambda unit: show(unit, there, request_id, person, now)))


def demand_processors(there: Installation, names: list[str]) -> None:
    """Refuse a name that no section has. Raises `NotFound`, and says which there are."""
    unknown = sorted(set(names) - set(there.settings.processors))
    if unknown:
        known = ", ".join(there.settings.processors) or "none"
        raise NotFound(f"there is no processor {', '.join(unknown)}; there are: {known}")


def worker_alive(there: Installation, now: datetime) -> bool:
    """Whether a `serve` (or another worker) has given a sign of life that still counts."""
    until = t.worker.c.beat_until  # one that holds for long was given by a clock that was ahead
    alive = select(t.worker.c.id).where(until > now, until < now + timedelta(minutes=2)).limit(1)
    return there.read(lambda connection: connection.execute(alive).first()) is not None


def what_goes_on(there: Installation, now: datetime) -> str:
    """What the end of a command says about the work that it left to the worker."""
    if worker_alive(there, now):
        return "the running service goes on within a second, and tries again for days."
    return "nothing yet: no service is running. `dpsync serve` (or `dpsync run-once`) begins it."


def known_accounts(there: Installation, names: list[str]) -> Mapping[str, str]:
    """Account by processor, each account with its row: those of `names`, or all."""
    chosen = names or list(there.settings.processors)
    accounts = {name: there.settings.processors[name].account for name in chosen}

    def work(unit: Unit) -> None:
        for account_id in sorted(set(accounts.values())):
            insert_or_ignore(unit.connection, t.account, {"id": account_id})

    there.write(work)
    return accounts


def sent_of(said: Iterable[str]) -> dict[str, int]:
    """What each `SOURCE=N` says. Raises `UsageError` for what says nothing, or says two things of one source."""
    found: dict[str, int] = {}
    for one in said:
        source, _, number = one.rpartition("=")
        if not source or not (number.isascii() and number.isdigit()) or source in found:
            raise UsageError("write --sent as SOURCE=N, such as crm=12, once for each source")
        found[source] = int(number)
    return found


def day_of(text: str, option: str) -> date:
    """The day that an option names. Raises `UsageError`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} is not a date. Write dates like 2026-11-20") from None
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise UsageError(f"{option} is not a date in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


def ending_of(path: Path) -> str:
    """What a file's name ends in, in lower case, also where the name is nothing else."""
    name = path.name.rstrip(". ")
    return name.rpartition(".")[2].lower() if "." in name else ""


def written(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. It may tell of a person's request, so only its owner may read it.

    Raises `NotWritten` where the system refuses, or something other than a file stands there (a pipe, a device, which
    root could otherwise replace for the whole machine); what stood there before still stands then.
    """
    other = paths.trouble_of(lambda: paths.demand_replaceable(path))
    if other:
        raise NotWritten(f"{path} is not written: {other.what}; name a file", full=False)
    try:
        durable.replace(path, content)
    except OSError as error:
        raise NotWritten(f"{path} is not written: {error.strerror}", full=error.errno in FULL) from None


def doubts_of(there: "Installation") -> Sequence[str]:
    """Where what is kept outside the database does not bear it out, or a key of it is lost or another one: with that no
    service would begin; and what waits and cannot be opened. Looks quickly.
    """
    from dpsync import key_register
    from dpsync.propagation import receipts

    if there.custody.unrecovered:
        return (there.custody.unrecovered,)
    lying = there.custody.lying(there.read, quick=True)
    found = there.read(lambda connection: there.custody.against(connection, lying))
    keys = there.read(lambda connection: key_register.problems(connection, there.keys))
    unopened = there.read(lambda connection: receipts.unopened(connection, there.keys))
    return (*found.contradicted, *found.lost, *found.damaged, *keys, *unopened)
