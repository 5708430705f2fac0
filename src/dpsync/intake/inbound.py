"""Which processors' webhooks are taken in, and under which secret."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from dpsync.connector import Inbound
from dpsync.errors import NotFound
from dpsync.installation import Installation


@dataclass(frozen=True, slots=True)
class Listener:
    """A connector that takes in webhooks, and the secret in their path: 128 bits or more."""

    secret: str = field(repr=False)
    connector: Inbound


class Listeners:
    """All of them, by the processor's name."""

    def __init__(self, listeners: Mapping[str, Listener]) -> None:
        self._listeners = listeners

    def listens(self, processor: str, secret: str) -> bool:
        """Whether this is the processor's secret. What is not known takes as long to refuse as what is wrong."""
        found = self._listeners.get(processor)
        expected = found.secret if found else "-" * 32
        return hmac.compare_digest(expected.encode(), secret.encode(errors="replace")) and found is not None

    def connector(self, processor: str, secret: str) -> Inbound:
        """The connector behind an address. Raises `NotFound`."""
        if not self.listens(processor, secret):
            raise NotFound("no such address")
        return self._listeners[processor].connector


def listeners_of(there: Installation) -> Listeners:
    """The processors that the settings give a secret, and whose connector takes webhooks in."""
    found: dict[str, Listener] = {}
    for name, section in there.settings.processors.items():
        connector = there.controller.processors[name].connector
        if section.inbound_secret is not None and isinstance(connector, Inbound):
            found[name] = Listener(section.inbound_secret.get_secret_value(), connector)
    return Listeners(found)
