"""What the sandbox counted by itself: calls, effects, parallelism. The yardstick a client under test cannot bend."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Effect:
    """One change that really happened. `at`: Unix seconds; `place`: a list there; `was`: the address before a move."""

    at: float
    account: str
    place: str
    kind: str
    address: str
    was: str = ""


@dataclass(slots=True)
class Call:
    """One call, from its arrival. `endpoint`: method and template, never a path with a person in it; status 0 until
    it is answered, and for good where the connection was cut."""

    at: float
    account: str
    endpoint: str
    status: int


@dataclass(slots=True)
class Journal:
    """Everything counted since the last reset. `kinds`: the effects that are shown even where there were none."""

    kinds: tuple[str, ...] = ()
    calls: list[Call] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)
    peak: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def enter(self, account: str) -> int:
        """A call of this account begins; how many of it run now, this one included."""
        self.in_flight[account] += 1
        running = self.in_flight[account]
        self.peak[account] = max(self.peak[account], running)
        return running

    def leave(self, account: str) -> None:
        """A call of this account is over."""
        self.in_flight[account] -= 1

    def clear(self) -> None:
        """Forgets what was counted; calls that still run stay counted as running."""
        self.calls.clear()
        self.effects.clear()
        self.peak.clear()
        self.faults.clear()

    def counters(self, after: float = 0.0, before: float = float("inf")) -> dict[str, object]:
        """The counts, optionally of the calls and effects between two Unix times."""
        calls = [call for call in self.calls if after <= call.at < before]
        effects = [effect for effect in self.effects if after <= effect.at < before]
        return {
            "calls_total": len(calls),
            "calls": dict(Counter(call.endpoint for call in calls)),
            "calls_by_account": dict(Counter(call.account for call in calls)),
            "statuses": dict(Counter(str(call.status) for call in calls)),
            "effects": dict.fromkeys(self.kinds, 0) | dict(Counter(effect.kind for effect in effects)),
            "effects_by_account": dict(Counter(effect.account for effect in effects)),
            "peak_parallel": dict(self.peak),
            "running": {name: count for name, count in self.in_flight.items() if count},
            "faults": dict(self.faults),
            "first_call_at": min((call.at for call in calls), default=None),
            "last_call_at": max((call.at for call in calls), default=None),
        }

    def effects_on(self, address: str) -> list[tuple[str, str]]:
        """(place, kind) of every change made to this address, in order."""
        wanted = address.strip().lower()
        return [
            (effect.place, effect.kind)
            for effect in self.effects
            if wanted in {effect.address.lower(), effect.was.lower()}
        ]
