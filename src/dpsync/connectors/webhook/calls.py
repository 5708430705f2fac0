"""The calls of a webhook: signed as Standard Webhooks says, to one address, which is never left by a redirect.

Source: standard-webhooks/standard-webhooks, spec/standard-webhooks.md, read in November 2026.
"""

import json
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from dpsync.connector import Instruction, Kit, Reply
from dpsync.connectors.webhook.message import PING
from dpsync.http import json_of
from dpsync.settings.values import WebAddress, wrong
from dpsync.signature import signed_headers
from dpsync.urls import is_loopback, is_public
from dpsync.vendor import calls
from dpsync.vendor.calls import Secret
from dpsync.vendor.connector import VendorSettings
from dpsync.vendor.errors import Error, Meaning, unreadable

TEMPLATE: Final = "/webhook"
LONGEST: Final = 30.0
"""Seconds that one message may take: the specification wants 15 to 30."""
GONE: Final = 410
NOT_TAKEN: Final = "the processor does not take the message"
ERRORS: Final[tuple[Error, ...]] = (
    Error((401, 403), (), Meaning.REJECTED, "compare `secrets` with what the processor verifies with"),
    Error(
        (GONE,), (), Meaning.REJECTED, "it takes no messages there any more (410): ask for its new address, for `url`"
    ),
    Error((404, 405), (), Meaning.MISPLACED, "nothing there takes messages in: compare `url` with the processor's"),
    Error((400, 413, 415, 422), (), Meaning.NO, NOT_TAKEN),
)


class WebhookSettings(VendorSettings):
    """`url`: where the processor takes our messages in. `secrets`: what dpsync signs with, two during a change:
    `whsec_`, or a private key (`whsk_`). `answer_secrets`: what the processor's outcomes are checked with: `whsec_`, or
    its public key (`whpk_`). `private_host`: the host of `url` once more, if it is inside your own network. `own_ids`:
    under which name in `references` its own ids of a person come.
    """

    url: WebAddress = Field(repr=False)
    secrets: tuple[Secret, ...] = Field(min_length=1, max_length=2)
    answer_secrets: tuple[Secret, ...] = Field(min_length=1, max_length=2)
    private_host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.:-]{1,253}$")
    own_ids: str = Field(default="", pattern=r"^[a-z0-9_-]{0,40}$")
    base_url: WebAddress | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _means_this_host(self) -> "WebhookSettings":
        if self.private_host is not None and self.private_host.lower() != urlsplit(self.url).hostname:
            raise wrong("private_host must be the host of url: it lets dpsync call that one inside your network")
        return self


class Calls(calls.Calls):
    """The messages of one instruction, or of a probe."""

    errors = ERRORS

    def __init__(self, kit: Kit, settings: WebhookSettings, order: Instruction | None) -> None:
        super().__init__(kit, order)
        self._url = settings.base_url or settings.url
        self._private = settings.private_host
        self._secrets = [one.get_secret_value() for one in settings.secrets]

    def speaks(self, reply: Reply) -> bool:
        """As docs/processor-webhook.md asks of it: a JSON object with `error`, a text. All else may be a firewall's."""
        return self.shaped(reply, error=str)

    def is_own(self, reply: Reply, *, writing: bool) -> bool:
        """A 410 may look like anything: what stands before a processor says a 502 or a 404 of it."""
        return reply.status == GONE or super().is_own(reply, writing=writing)

    def ping(self) -> None:
        """Have it check our signature, with a message that asks for nothing. Raises `Ended`, `CredentialsRejected`."""
        at = self._kit.clock.now()
        self.deliver(f"ping.{at:%Y%m%d%H%M%S}", json.dumps({"type": PING, "data": {}}).encode())

    def deliver(self, message_id: str, body: bytes) -> None:
        """Send one message; whoever returns knows of a 2xx. Raises `Ended`, `CredentialsRejected`."""
        headers = {"Content-Type": "application/json", **self._signed(message_id, body)}
        reply = self.ask(
            "POST",
            self._url,
            template=TEMPLATE,
            headers=headers,
            body=body,
            reach=self._may_be_reached,
            longest=LONGEST,
        )
        self.demand_sense(reply, writing=True)
        self.no(reply)
        if reply.body.strip() and json_of(reply) is None:
            raise unreadable(doubtful=True)

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        now = self._kit.clock.now()
        by_each = [signed_headers(secret, message_id, now, body) for secret in self._secrets]
        # of one message and moment, so that they differ in the signature alone
        return {name: " ".join(dict.fromkeys(one[name] for one in by_each)) for name in by_each[0]}

    def _may_be_reached(self, host: str, address: str) -> bool:
        # A name that leads into our own network is an attack, or a mistake: what we send names a person.
        own = self._private is not None and host.lower() == self._private.lower()
        return own or is_public(address) or (self._kit.rehearsal and is_loopback(host))
