"""/metrics answers on its own listener, with how things stand."""

import urllib.request
from pathlib import Path

from dpsync.model import Right
from dpsync.running import metrics
from tests.builders import World


def test_metrics_tell_how_things_stand(world: World, tmp_path: Path) -> None:
    world.vendors["alpha"].hold("ada@example.org")
    world.ask(Right.ERASURE, "ada@example.org", id="crm-1")
    world.drive()

    class Shown:
        clock = world.clock
        log = world.log

        class settings:  # noqa: N801 - because it stands for an attribute
            class intake:  # noqa: N801 - because it stands for an attribute
                metrics_listen = "127.0.0.1:0"

        @staticmethod
        def read(work):  # type: ignore[no-untyped-def]  # because it stands for Installation.read
            with world.engine.connect() as connection:
                return work(connection)

    with (
        metrics.listening(Shown()) as where,  # type: ignore[arg-type]  # because only these three are asked
        urllib.request.urlopen(f"http://{where}/metrics") as answer,
    ):
        told = answer.read().decode()
    assert 'dpsync_propagations{processor="alpha",state="verified"} 1.0' in told
    assert "dpsync_anchored_timestamp_seconds NaN" in told, "this ledger has no anchor yet"
    assert "ada" not in told
