"""What of a message is several: an object of topics, or a list of channels, each with its own answer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from dpsync.intake.sources.paths import Path


@dataclass(frozen=True, slots=True)
class Spread:
    """An object or a list whose entries are messages of their own: each has `key` and `value` of one under `name`."""

    name: str
    at: Path

    def messages(self, message: object) -> list[object]:
        """One message for each entry; the message itself where there is none."""
        found = self.at.find(message)
        entries = list(enumerate(found)) if isinstance(found, list) else []
        entries = list(found.items()) if isinstance(found, dict) else entries
        beside = message if isinstance(message, dict) else {}
        return [{**beside, self.name: {"key": key, "value": value}} for key, value in entries] or [message]


def spread_out(messages: Sequence[object], spreads: Sequence[Spread]) -> Sequence[object]:
    """All messages, each divided by every one of `spreads` in turn."""
    for spread in spreads:
        messages = [one for message in messages for one in spread.messages(message)]
    return messages
