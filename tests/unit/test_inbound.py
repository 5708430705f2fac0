"""Which address a processor's webhooks may use, and which settings are refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from dpsync.connector import Conversation, Inbound
from dpsync.errors import ConfigurationError, NotFound
from dpsync.installation import Installation
from dpsync.intake.inbound import Listener, Listeners
from dpsync.settings import load

SECRET = "Inbound_secret-of_128-bits"
CONFIG = """
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
[ledger]
origin = "example.org/inbound"
[intake]
secrets = [{ env = "WEBHOOK" }]
[processors.forms]
connector = "notice"
contact = "privacy@example.org"
inbound_secret = { env = "INBOUND" }
"""


class Hears(Inbound):
    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:
        return ()


def test_an_address_is_a_processor_with_its_own_secret() -> None:
    here, there = Hears(), Hears()
    listeners = Listeners({"here": Listener(SECRET, here), "there": Listener(SECRET[::-1], there)})
    assert listeners.connector("here", SECRET) is here
    assert listeners.connector("there", SECRET[::-1]) is there
    for processor, secret in (
        ("here", SECRET[::-1]),
        ("here", ""),
        ("nobody", SECRET),
        ("nobody", "-" * 32),
        ("here", "ü"),
    ):
        assert not listeners.listens(processor, secret)
        with pytest.raises(NotFound):
            listeners.connector(processor, secret)
    assert SECRET not in repr(Listener(SECRET, here))


@pytest.mark.parametrize("weak", ["short", "has a space in it and more", "slash/slash/slash/slash/slash"])
def test_a_secret_that_cannot_stand_in_an_address_or_can_be_guessed_is_refused(tmp_path: Path, weak: str) -> None:
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG)
    with pytest.raises(ConfigurationError) as refused:
        load(path, {"WEBHOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "INBOUND": weak})
    assert [fault.key for fault in refused.value.faults] == ["processors.forms.inbound_secret"]
    assert weak not in str(refused.value)


def test_a_secret_for_a_connector_that_takes_in_no_webhooks_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG)
    environ = {"WEBHOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "INBOUND": SECRET}
    settings = load(path, environ)
    from dpsync.sealing import Keys

    Keys.create(settings.keys.directory)
    with Installation(path, environ) as installation, pytest.raises(ConfigurationError, match="takes in no webhooks"):
        _ = installation.controller
