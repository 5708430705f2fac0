"""Everything in one event loop on loopback: each vendor's API on a port of its own, and a mailbox."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from dpsync.sandbox.brevo.api import Brevo
from dpsync.sandbox.campaign_monitor.api import PREFIX as CAMPAIGN_MONITOR
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.sandbox.control import PREFIX as CONTROL
from dpsync.sandbox.control import ControlPlane
from dpsync.sandbox.eventbrite.api import PREFIX as EVENTBRITE
from dpsync.sandbox.eventbrite.api import Eventbrite
from dpsync.sandbox.google_analytics.api import GoogleAnalytics
from dpsync.sandbox.hootsuite.api import Hootsuite
from dpsync.sandbox.hootsuite.staff import Member
from dpsync.sandbox.mailbox import Mailbox
from dpsync.sandbox.mailchimp.api import PREFIX as MAILCHIMP
from dpsync.sandbox.mailchimp.api import Mailchimp
from dpsync.sandbox.mailchimp.audience import digest
from dpsync.sandbox.mailchimp.filling import audience_of
from dpsync.sandbox.opendsr.api import OpenDsr
from dpsync.sandbox.raw_socket import OpenConnection
from dpsync.sandbox.scenario import Scenario, set_rules
from dpsync.sandbox.smtp_host import MailHost
from dpsync.sandbox.vendor import Vendor
from dpsync.sandbox.waits import Waits
from dpsync.sandbox.webhook.api import Webhook

HOST = "127.0.0.1"
KEY = "sandbox-key-us1"
CAMPAIGN_MONITOR_KEY = "sandbox-campaign-monitor-key"
EVENTBRITE_TOKEN = "sandbox-eventbrite-token"
EVENTBRITE_DESK = "privacy@eventbrite.example"
HOOTSUITE_ORGANIZATION = "626731"
HOOTSUITE_CLIENT = "sandbox-hootsuite-client"
HOOTSUITE_SECRET = "sandbox-hootsuite-secret"
GOOGLE_CLIENT = "sandbox-google-client"
GOOGLE_SECRET = "sandbox-google-secret"
GOOGLE_REFRESH = "sandbox-google-refresh"
BREVO_KEY = "sandbox-brevo-key"
WEBHOOK_SECRET = "whsec_c2FuZGJveC13aGF0LWRwc3luYy1zaWducy13aXRoISE="
WEBHOOK_ANSWER_SECRET = "whsec_c2FuZGJveC13aGF0LXRoZXktc2lnbi10aGVpcnMtd2l0aA=="
OPENDSR_TOKEN = "sandbox:opendsr-token"
AUDIENCES = ("Newsletter", "Events")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the sandbox answers, and what opens it. `control_url`: of Mailchimp; each vendor has it on its port.

    `opendsr_url`: /v2 is below it, and /v3 and /api/gdpr/v1 as mParticle and AppsFlyer have them.
    """

    mailchimp_url: str
    campaign_monitor_url: str
    eventbrite_url: str
    hootsuite_url: str
    google_analytics_url: str
    brevo_url: str
    webhook_url: str
    opendsr_url: str
    control_url: str
    smtp_host: str
    smtp_port: int
    api_keys: tuple[str, ...]
    campaign_monitor_key: str = CAMPAIGN_MONITOR_KEY
    eventbrite_token: str = EVENTBRITE_TOKEN
    eventbrite_desk: str = EVENTBRITE_DESK
    hootsuite_organization: str = HOOTSUITE_ORGANIZATION
    hootsuite_client: str = HOOTSUITE_CLIENT
    hootsuite_secret: str = HOOTSUITE_SECRET
    google_client: str = GOOGLE_CLIENT
    google_secret: str = GOOGLE_SECRET
    google_refresh: str = GOOGLE_REFRESH
    brevo_key: str = BREVO_KEY
    webhook_secret: str = WEBHOOK_SECRET
    webhook_answer_secret: str = WEBHOOK_ANSWER_SECRET
    opendsr_token: str = OPENDSR_TOKEN


def _listener(host: str, port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the socket names TCP; without that a small answer, which
    # uvicorn writes in two parts, waits 40 ms for the caller's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(512)
    return listener


class _Web(uvicorn.Server):
    """uvicorn, which says when it answers and leaves the signals to the sandbox.

    By itself it would take them over and raise them again after its end.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens for calls."""
        await super().startup(sockets)
        self.answering.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals alone."""
        yield


async def _take_no_more(listener: int) -> None:
    """Ends once every connection that was accepted has met its protocol, which takes asyncio three turns.

    Of a server that closes before, CPython 3.11 makes half a transport, and nobody closes its socket.
    """
    asyncio.get_running_loop().remove_reader(listener)
    for _ in range(4):
        await asyncio.sleep(0)


class Port:
    """One vendor's port: its API, and the control plane below `/_sandbox`."""

    def __init__(self, vendor: Vendor, control: ASGIApp) -> None:
        self._vendor = vendor
        self._control = control
        self._web = _Web(
            uvicorn.Config(
                self,
                http=OpenConnection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                timeout_graceful_shutdown=3,
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        to_control = str(scope["path"]).startswith(CONTROL + "/")
        await (self._control if to_control else self._vendor)(scope, receive, send)

    async def open(self, listener: socket.socket) -> str:
        """Returns the address once it answers."""
        self._listener = listener
        self._serving = asyncio.create_task(self._web.serve(sockets=[listener]))
        await self._web.answering.wait()
        host, port = listener.getsockname()
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Ends every connection and the server."""
        if self._serving is not None and self._listener is not None:
            await _take_no_more(self._listener.fileno())
            self._web.should_exit = True
            await self._serving


class Sandbox:
    """The vendors and the mailbox, living in one event loop. All methods belong to that loop's thread."""

    def __init__(self, api_keys: Sequence[str] | Mapping[str, str] = (KEY,), *, now: Callable[[], datetime]) -> None:
        """`api_keys`: of Mailchimp, each an account of its own; or account names by key. Each has two audiences."""
        self.waits = Waits()
        self.mailchimp = Mailchimp(now, self.waits)
        self.campaign_monitor = CampaignMonitor(now, self.waits)
        self.eventbrite = Eventbrite(now, self.waits)
        self.hootsuite = Hootsuite(now, self.waits)
        self.google_analytics = GoogleAnalytics(now, self.waits)
        self.brevo = Brevo(now, self.waits)
        self.webhook = Webhook(now, self.waits, secret=WEBHOOK_SECRET, own_secret=WEBHOOK_ANSWER_SECRET)
        self.opendsr = OpenDsr(now, self.waits, token=OPENDSR_TOKEN)
        self.mailbox = Mailbox(now, self.waits.pause)
        self.mailbox.desks[EVENTBRITE_DESK] = self.eventbrite.desk_reads
        self.keys = tuple(api_keys)
        names = api_keys if isinstance(api_keys, Mapping) else {key: key for key in api_keys}
        for key, name in names.items():
            account = self.mailchimp.open_account(name, (key,))
            for title in AUDIENCES:
                audience_of(account, digest(f"{name}/{title}")[:10], title, now())
        self.campaign_monitor.open_account("main", (CAMPAIGN_MONITOR_KEY,))
        self.eventbrite.open_organization("main", (EVENTBRITE_TOKEN,))
        home = self.hootsuite.open_organization(HOOTSUITE_ORGANIZATION, "main", {HOOTSUITE_CLIENT: HOOTSUITE_SECRET})
        home.profiles = {"115185509": "FACEBOOKPAGE", "115185510": "TWITTER"}
        home.members["15240789"] = Member("15240789", "Pat Owner", "owner@example.org", paying=True)
        self.google_analytics.open_app(GOOGLE_CLIENT, GOOGLE_SECRET, GOOGLE_REFRESH)
        self.brevo.held.keys = (BREVO_KEY,)
        self._ports: list[Port] = []
        self._smtp: asyncio.Server | None = None

    @property
    def vendors(self) -> list[Vendor]:
        """Every vendor, in the order of their ports."""
        older: list[Vendor] = [self.mailchimp, self.campaign_monitor, self.eventbrite, self.hootsuite]
        return [*older, self.google_analytics, self.brevo, self.webhook, self.opendsr]

    def fill(self, scenario: Scenario) -> None:
        """Adds the scenario. Raises `Unwilling` for what a vendor itself would refuse."""
        self.mailchimp.fill(scenario.mailchimp)
        self.campaign_monitor.fill(scenario.campaign_monitor)
        self.eventbrite.fill(scenario.eventbrite)
        self.hootsuite.fill(scenario.hootsuite)
        self.google_analytics.fill(scenario.google_analytics)
        self.brevo.fill(scenario.brevo)
        self.webhook.fill(scenario.webhook)
        self.opendsr.fill(scenario.opendsr)
        set_rules(scenario.mail, self.mailbox)

    def reset(self) -> None:
        """Empties everything: people, lists, hooks, counts, faults, mail, rules. Accounts keep their credentials."""
        for vendor in self.vendors:
            vendor.reset()
        self.mailbox.reset()
        self.mailbox.rules.clear()

    async def start(self, host: str = HOST, http_port: int = 0, smtp_port: int = 0) -> Addresses:
        """Opens all ports and returns once they answer. The vendors have `http_port` and those after it; 0: any.

        Raises:
            OSError: a port is taken.
        """
        try:
            for number, vendor in enumerate(self.vendors):
                listener = _listener(host, http_port and http_port + number)
                port = Port(vendor, ControlPlane(vendor, self).application())
                self._ports.append(port)
                vendor.url = await port.open(listener)
            self._smtp = await asyncio.get_running_loop().create_server(
                lambda: MailHost(self.mailbox, "sandbox.example.org"), host, smtp_port
            )
        except OSError:
            await self.stop()
            raise
        smtp = self._smtp.sockets[0].getsockname()[1]
        return Addresses(
            mailchimp_url=self.mailchimp.url + MAILCHIMP,
            campaign_monitor_url=self.campaign_monitor.url + CAMPAIGN_MONITOR,
            eventbrite_url=self.eventbrite.url + EVENTBRITE,
            hootsuite_url=self.hootsuite.url,
            google_analytics_url=self.google_analytics.url,
            brevo_url=self.brevo.url + Brevo.prefix,
            webhook_url=self.webhook.url + "/webhook",
            opendsr_url=self.opendsr.url,
            control_url=self.mailchimp.url + CONTROL,
            smtp_host=host,
            smtp_port=smtp,
            api_keys=self.keys,
        )

    async def stop(self) -> None:
        """Ends every wait, every connection and all servers."""
        self.waits.stop()
        if self._smtp is not None:
            await _take_no_more(self._smtp.sockets[0].fileno())
            self._smtp.close()
            for connection in list(self.mailbox.connections):
                connection.close()
            await self._smtp.wait_closed()
        await asyncio.gather(*(port.close() for port in self._ports))
        await self.mailbox.settled()
        for vendor in self.vendors:
            await vendor.delivered()
