"""A running sandbox as a test or a demo holds it in its hand."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from dpsync.sandbox.box import Addresses, Sandbox
from dpsync.sandbox.control import Holding, PersonActs, act, holdings, reset
from dpsync.sandbox.faults import Fault
from dpsync.sandbox.mailbox import Message, Rule
from dpsync.sandbox.scenario import Scenario, SeedMember, Switches, apply, plant, switch

T = TypeVar("T")


class RunningSandbox:
    """A sandbox in a thread of its own, for tests and demos; every method may be called from any thread."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop, addresses: Addresses) -> None:
        self._sandbox = sandbox
        self._loop = loop
        self.addresses = addresses
        self.mailchimp_url = addresses.mailchimp_url
        self.control_url = addresses.control_url
        self.smtp_host = addresses.smtp_host
        self.smtp_port = addresses.smtp_port
        self.api_keys = addresses.api_keys

    def _there(self, deed: Callable[[Sandbox], T]) -> T:
        async def run() -> T:
            return deed(self._sandbox)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def audiences(self, account: str | None = None) -> list[str]:
        """The ids of the audiences of one account, by default of the first."""
        return self._there(lambda box: list(box.vendor.accounts[account or next(iter(box.vendor.accounts))].audiences))

    def seed(self, scenario: Scenario | Mapping[str, object]) -> None:
        """Adds accounts, audiences, contacts, faults, switches and rules.

        Raises:
            pydantic.ValidationError: the scenario has unknown or misfitting keys.
            Problem: the vendor would refuse a contact.
        """
        wanted = scenario if isinstance(scenario, Scenario) else Scenario.model_validate(scenario)
        self._there(lambda box: apply(wanted, box.vendor, box.mailbox))

    def add(
        self,
        email: str,
        status: str = "subscribed",
        merge_fields: Mapping[str, str | int | float] | None = None,
        *,
        list_id: str | None = None,
        account: str | None = None,
        left_by_link: bool = False,
    ) -> None:
        """Adds one contact, by default to the first audience of the first account."""
        member = SeedMember(
            email=email, status=status, merge_fields=dict(merge_fields or {}), left_by_link=left_by_link
        )

        def do(box: Sandbox) -> None:
            held = box.vendor.accounts[account or next(iter(box.vendor.accounts))].audiences
            plant(held[list_id or next(iter(held))], member, box.vendor.now())

        self._there(do)

    def counters(self, after: float = 0.0, before: float = float("inf")) -> dict[str, object]:
        """What was counted between two Unix times; see Journal.counters."""
        return self._there(lambda box: box.vendor.journal.counters(after, before))

    def calls(self, endpoint: str | None = None) -> int:
        """How many calls arrived, at all or at one endpoint such as `GET /lists/{list_id}`."""
        return self._there(lambda box: sum(endpoint in {None, call.endpoint} for call in box.vendor.journal.calls))

    def effects(self, kind: str | None = None) -> int:
        """How many changes really happened, at all or of one kind."""
        return self._there(lambda box: sum(kind in {None, effect.kind} for effect in box.vendor.journal.effects))

    def effects_on(self, address: str) -> list[tuple[str, str]]:
        """(audience, kind) of every change made to this address, in order."""
        return self._there(lambda box: box.vendor.journal.effects_on(address))

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(audience, status) wherever the address is held; an erased address is held nowhere."""
        return [(held.list_id, held.status) for held in self.holdings(address) if held.status != "forgotten"]

    def holdings(self, address: str) -> list[Holding]:
        """The same with account, contact id and merge fields, and with `forgotten` where it was erased."""
        return self._there(lambda box: holdings(box.vendor, address))

    def fault(self, kind: str, **details: object) -> None:
        """Switches one fault on; `details` are the fields of Fault."""
        made = Fault.model_validate({"kind": kind, **details})
        self._there(lambda box: box.vendor.faults.add(made))

    def clear_faults(self) -> None:
        """Switches all faults off."""
        self._there(lambda box: box.vendor.faults.clear())

    def release(self) -> None:
        """Ends every hang, drip and slow mail of this moment."""
        self._there(lambda box: box.vendor.release())

    def switch(self, **switches: object) -> None:
        """Sets switches; see Switches."""
        wanted = Switches.model_validate(switches)
        self._there(lambda box: switch(wanted, box.vendor))

    def act(self, address: str, deed: str, **details: object) -> int:
        """Lets the person or an operator act at the vendor; see PersonActs. How many audiences were concerned."""
        wanted = PersonActs.model_validate({"address": address, "act": deed, **details})

        async def run() -> int:
            done = act(self._sandbox.vendor, wanted)
            await self._sandbox.vendor.delivered()
            return done

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def rule(self, address: str | None, *behaviours: str, **details: object) -> None:
        """Sets the rule of a recipient, or with None of everybody else; `details` are the fields of Rule."""
        made = Rule.model_validate({"behaviours": behaviours, **details})
        self._there(lambda box: box.mailbox.set_rule(address, made))

    def messages(self, to: str | None = None, *, settled: bool = False) -> list[Message]:
        """Mail that was accepted, of one recipient or all; `settled` waits until the recipients have acted."""
        if settled:
            asyncio.run_coroutine_threadsafe(self._sandbox.mailbox.settled(), self._loop).result(60)
        wanted = to.lower() if to else None
        return self._there(
            lambda box: [
                message
                for message in box.mailbox.messages
                if wanted is None or wanted in {address.lower() for address in message.recipients}
            ]
        )

    def reset(self) -> None:
        """Empties everything but the accounts' keys."""
        self._there(lambda box: reset(box.vendor, box.mailbox))
