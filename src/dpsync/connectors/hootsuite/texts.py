"""What is said of Hootsuite: to the report, what is and is not done there; to people, what only they can do."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dpsync.connector import Capability, Means
from dpsync.model import Right

_SOURCE: Final = (
    "Hootsuite Inbox 2.0 API reference v1 (OpenAPI) and REST API v1 (Swagger), help pages 'Delete a contact in Inbox "
    "2.0' and 'Create Inbox 2.0 data exports', as read in August 2026"
)
_UNSTOPPED: Final = (
    "Hootsuite does not know our block-list: messages that people send in the app, posts, and proactive messages of "
    "another program are not stopped by it. On social media people write first, so it speaks of proactive WhatsApp "
    "messages only. "
)
_POSTS: Final = "Posts, scheduled ones too, comments and accounts of your own staff are not searched for the person."

UNSEEN: Final[tuple[str, ...]] = (
    "X (Twitter): names, posts, direct messages and attributes of its contacts are left out of write-back.",
    "Inbox 1.0 has no write-back.",
    "What was resolved before write-back was switched on, and what never was resolved or set to pending.",
    "What write-back could not deliver six times in 63 hours is given up and not sent again.",
    "Deletions: no webhook tells of them.",
    "The vendor's back-ups, and the copy that each network keeps itself.",
)

CAPABILITIES: Final[Mapping[Right, Capability]] = MappingProxyType(
    {
        Right.RECTIFICATION: Capability(
            means=Means.API_AND_OPERATOR,
            effect="Where write-back showed the complete CRM-managed attributes of a contact, those that change "
            "are written with all the others. Everything else goes to the operator.",
            limits="Names and handles that the network shows, what staff typed, and contacts that write-back never "
            "showed are the operator's. The vendor deletes a CRM-managed attribute that is not sent: one that "
            "another program set since the last conversation would be lost. An import error names no contact, so "
            "it is held against every change of its quarter of an hour. Messages keep what was written. " + _POSTS,
            verified_by="a later conversation's write-back shows the new value as confirmed by the CRM",
            source=_SOURCE,
            address_change=True,
        ),
        Right.ERASURE: Capability(
            means=Means.OPERATOR,
            effect="The operator, as an Inbox admin, deletes the contact in the web app, with our reference as the "
            "hint: history, attachments and attributes go for good.",
            limits="No call deletes a contact. Who was never seen by write-back must be searched for in every "
            "channel; that nothing is held, only an admin can say. Whoever writes again becomes a new contact. "
            "The network's own copy and the vendor's back-ups stay. " + _POSTS,
            verified_by="only the opposite can be seen: a conversation of the person after the deletion",
            source=_SOURCE,
        ),
        Right.RESTRICTION: Capability(
            means=Means.LIST_AND_NOTICE,
            effect="Addresses and telephone number are put on our own block-list for proactive messages, and the "
            "processor's contact is told by notice.",
            limits=_UNSTOPPED + "There is no state 'restricted': staff see and can use the data. Lifting takes "
            "the entry off and subscribes nobody.",
            verified_by="",
            source=_SOURCE,
        ),
        Right.OPT_OUT: Capability(
            means=Means.OPERATOR,
            effect="Addresses and telephone number are put on our own block-list for proactive messages, and the "
            "operator tells the staff.",
            limits=_UNSTOPPED + "Nothing there shows that the list is kept to.",
            verified_by="",
            source=_SOURCE,
        ),
    }
)

SEARCH: Final = (
    "No contact of the person is known by its profile id. As an Inbox admin with access to all channels, search every "
    "channel of Hootsuite Inbox for the person, X (Twitter) and Inbox 1.0 included, and do what is asked there. Answer "
    "'nothing held' only after that search."
)
LOOK: Final = (
    "Look first whether a contact that is named here, perhaps as 'look first', is this person at all: the address in "
    "it is another one, was typed by staff, or is not shown any more."
)
UNKNOWN: Final = (
    "The CRM-managed attributes of a contact that is named here are not known in full, and Hootsuite deletes those "
    "that are not sent. Correct it in Hootsuite Inbox by hand."
)
BY_HAND: Final = (
    "In a contact that is named here something is kept that no call can change: a name, handle or address of the "
    "network, or an attribute that staff typed. Correct it in Hootsuite Inbox where that is possible."
)
GONE: Final = (
    "Hootsuite does not find a contact that is named here any more. See whether the person is kept as another contact, "
    "and correct that one by hand."
)
DELETE: Final = (
    "In Hootsuite Inbox open each contact that is named here by its profile id, as an Inbox admin with access to all "
    "channels. See that it is this person, for a telephone or an address may be shared, and delete it. Then search "
    "every channel for further contacts of the person, and delete those too."
)
HINT: Final = (
    "As the 'Contact identity hint' of each deletion enter {reference} and nothing else: the hint is kept, so no name "
    "or address may stand in it."
)
OPTED_OUT: Final = (
    "The person wants no messages that they did not ask for. Tell everybody who writes from Hootsuite Inbox to send "
    "the person no proactive message, WhatsApp above all, and take the person off prepared ones."
)
RESTRICTED: Final = (
    "Hootsuite has no state 'restricted'. Please keep what you hold about the person in Inbox and use it for nothing; "
    "nobody is to send the person a proactive message."
)
LIFTED: Final = "The restriction has ended. That is no consent: nobody is to be subscribed to anything by it."
