"""The SMTP conversation in front of the mailbox, with DSN on offer.

Source: RFC 5321 for the replies, RFC 3461 for RET, ENVID, NOTIFY and ORCPT.
"""

import asyncio

from aiosmtpd.smtp import SMTP, Envelope, Session

from dpsync.sandbox.mailbox import Mailbox, Message


class MailHost(SMTP):
    """One SMTP conversation that offers DSN.

    aiosmtpd refuses the parameters of RFC 3461 and writes the others in capitals, so they are taken off the command
    before it reads the rest: ENVID and ORCPT are case-sensitive.
    """

    def __init__(self, mailbox: Mailbox, hostname: str) -> None:
        super().__init__(Handler(mailbox), hostname=hostname, enable_SMTPUTF8=True, ident="sandbox")
        self.mailbox = mailbox
        self.sent_options: tuple[str, ...] = ()
        self.rcpt_sent: dict[str, tuple[str, ...]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Notes the connection, so that a stopping sandbox can end it."""
        super().connection_made(transport)
        self.mailbox.connections.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forgets the connection."""
        self.mailbox.connections.discard(self.transport)
        super().connection_lost(error)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802, because aiosmtpd finds commands by this name
        """MAIL FROM."""
        plain, self.sent_options = _without(arg, ("RET=", "ENVID="))
        self.rcpt_sent = {}
        await super().smtp_MAIL(plain)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802, because aiosmtpd finds commands by this name
        """RCPT TO."""
        plain, options = _without(arg, ("NOTIFY=", "ORCPT="))
        before = len(self.envelope.rcpt_tos) if self.envelope else 0
        await super().smtp_RCPT(plain)
        if self.envelope and len(self.envelope.rcpt_tos) > before:
            self.rcpt_sent[self.envelope.rcpt_tos[-1]] = options


def _without(arg: str | None, names: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    if arg is None:
        return None, ()
    words = arg.split(" ")
    taken = tuple(word for word in words[1:] if word.upper().startswith(names))
    return " ".join([words[0], *(word for word in words[1:] if word not in taken)]), taken


class Handler:
    """Hooks of aiosmtpd into the mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_EHLO(  # noqa: N802, because aiosmtpd finds hooks by this name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offers DSN."""
        session.host_name = hostname
        return [*responses[:-1], "250-DSN", responses[-1]]

    async def handle_RCPT(  # noqa: N802, because aiosmtpd finds hooks by this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Takes the recipient, or refuses as its rule says."""
        if refused := self._mailbox.refusal(address):
            return refused
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802, because aiosmtpd finds hooks by this name
        self, server: MailHost, _session: Session, envelope: Envelope
    ) -> str:
        """Takes the message."""
        message = Message(
            number=0,
            at=self._mailbox.now(),
            mail_from=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            mail_options=server.sent_options,
            rcpt_options=dict(server.rcpt_sent),
            raw=envelope.original_content or b"",
        )
        await self._mailbox.take(message)
        return f"250 2.0.0 OK: queued as {message.number}"
