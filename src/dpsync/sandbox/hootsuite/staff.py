"""What Hootsuite holds besides the Inbox: the organisation, its people, its own accounts and its outgoing posts.

Source: the vendor notes, sections 1, 2 and 7.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from dpsync.sandbox.asked import Json
from dpsync.sandbox.hootsuite.inbox import Inbox, stamp

State = Literal["PENDING_APPROVAL", "REJECTED", "SENT", "SCHEDULED", "SEND_FAILED_PERMANENTLY"]


@dataclass(slots=True)
class Post:
    """One outgoing message."""

    id: str
    text: str
    at: datetime
    state: State
    profile: str
    author: str

    def body(self) -> Json:
        """In the vendor's shape."""
        return {
            "id": self.id,
            "state": self.state,
            "text": self.text,
            "scheduledSendTime": stamp(self.at),
            "socialProfile": {"id": self.profile},
            "createdByMember": {"id": self.author},
            "lastUpdatedByMember": {"id": self.author},
            "emailNotification": False,
            "sequenceNumber": None,
            "webhookUrls": [],
            "tags": [],
        }


@dataclass(slots=True)
class Member:
    """One member of staff. `paying`: the account's owner, whom nobody removes."""

    id: str
    name: str
    email: str
    active: bool = True
    paying: bool = False

    def scim(self) -> Json:
        """As SCIM shows it."""
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": self.id,
            "userName": self.email,
            "displayName": self.name,
            "emails": [{"value": self.email, "type": "work", "primary": True}],
            "active": self.active,
            "meta": {"resourceType": "User"},
        }


@dataclass(slots=True)
class Organization:
    """One organisation with its Inbox. `linked`: the apps that the vendor's support has linked to it."""

    id: str
    name: str
    linked: tuple[str, ...] = ()
    members: dict[str, Member] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    inbox: Inbox = field(default_factory=Inbox)

    def profile_rows(self) -> list[Json]:
        """Its own accounts on the networks; of X the vendor shows neither name nor picture."""
        return [
            {
                "id": number,
                "type": kind,
                "socialNetworkId": f"9{number}",
                "socialNetworkUsername": None if kind == "TWITTER" else self.name,
                "avatarUrl": None if kind == "TWITTER" else "https://pictures.example.org/one.png",
                "owner": "ORGANIZATION",
                "ownerId": self.id,
                "isReauthRequired": 0,
            }
            for number, kind in self.profiles.items()
        ]
