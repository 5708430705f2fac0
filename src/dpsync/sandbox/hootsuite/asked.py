"""One call to Hootsuite as its endpoints read it, and what its credential opens.

Source: the vendor notes, sections 1, 7 and 8.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dpsync.sandbox import asked
from dpsync.sandbox.hootsuite.filling import HootsuiteSwitches
from dpsync.sandbox.hootsuite.inbox import Refusal
from dpsync.sandbox.hootsuite.oauth import Token, Tokens
from dpsync.sandbox.hootsuite.staff import Member, Organization, Post

TOKEN = "/oauth2/token"
NOBODY = Token(datetime.min.replace(tzinfo=UTC), "")
"""What stands for a token that is unknown or was revoked."""


class ScimRefusal(Refusal):
    """A no in SCIM's own shape."""

    def __init__(self, message: str, scim_type: str = "", status: int = 400) -> None:
        super().__init__(status, 0, message)
        self.scim_type = scim_type


@dataclass(slots=True)
class Held:
    """Organisations with their Inbox, and what was given out to open them."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(slots=True)
class Asked(asked.Asked[Held, HootsuiteSwitches]):
    """One call. `within`: whether it keeps the account's limits."""

    token: Token = field(default_factory=lambda: NOBODY)
    within: bool = True

    @property
    def of_inbox(self) -> bool:
        """Whether it is one to the Inbox, which words its refusals in its own way."""
        return self.path.startswith("/inbox/")

    @property
    def home(self) -> Organization:
        """The organisation that the token is of, or its member. Raises `Refusal`."""
        for one in self.held.organizations.values():
            if one.id == self.token.organization or self.token.member in one.members:
                return one
        raise Refusal(403, 4004, "The member is in no organization")

    @property
    def inbox(self) -> Organization:
        """The organisation of the Inbox, which only an app's own token opens. Raises `Refusal` 401."""
        if self.token.organization not in self.held.organizations:
            raise Refusal(401, 4003, "The Inbox needs a token of the organization", inbox=True)
        return self.held.organizations[self.token.organization]

    @property
    def organization(self) -> Organization:
        """The organisation of the path. Raises `Refusal` 403 for another's."""
        home = self.home
        if self.names["organization_id"] != home.id:
            raise Refusal(403, 1202, "Not a member of this organization")
        return home

    @property
    def member(self) -> Member:
        """The member of the path. Raises `Refusal`."""
        found = self.home.members.get(self.names["member_id"])
        if found is None:
            raise Refusal(403, 1202, "Not a member of this organization")
        return found

    @property
    def post(self) -> Post:
        """The message of the path. Raises `Refusal` 404."""
        found = self.home.posts.get(self.names["message_id"])
        if found is None:
            raise Refusal(404, 4001, "Message not found")
        return found
