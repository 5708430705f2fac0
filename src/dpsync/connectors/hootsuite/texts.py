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
    "Hootsuite does not know our block-list. The list does not stop messages that people send in the app, posts, and "
    "proactive messages of another program. On social media people write first, so the list is only about proactive "
    "WhatsApp messages. "
)
_POSTS: Final = (
    "dpsync does not search posts (scheduled ones too), comments and the accounts of your own staff for the person."
)

UNSEEN: Final[tuple[str, ...]] = (
    "X (Twitter): names, posts, direct messages and attributes of its contacts are left out of write-back.",
    "Inbox 1.0 has no write-back.",
    "Conversations resolved before write-back was switched on, and those never resolved or set to pending.",
    "Conversations that write-back could not deliver six times in 63 hours: it gives up and does not send them again.",
    "Deletions: no webhook tells of them.",
    "The vendor's back-ups, and the copy that each network keeps itself.",
)

CAPABILITIES: Final[Mapping[Right, Capability]] = MappingProxyType(
    {
        Right.RECTIFICATION: Capability(
            means=Means.API_AND_OPERATOR,
            effect="If write-back showed the complete CRM-managed attributes of a contact, dpsync writes those that "
            "change together with all the others. Everything else goes to the operator.",
            limits="The operator must change names and handles that the network shows, what staff typed, and contacts "
            "that write-back never showed. Hootsuite deletes a CRM-managed attribute that is not sent: if another "
            "program set one since the last conversation, it is lost. An import error names no contact, so it counts "
            "against every change in the same quarter of an hour. Messages keep what was written. " + _POSTS,
            verified_by="the write-back of a later conversation shows the new value as confirmed by the CRM",
            source=_SOURCE,
            address_change=True,
        ),
        Right.ERASURE: Capability(
            means=Means.OPERATOR,
            effect="The operator, as an Inbox admin, deletes the contact in the web app, with our reference as the "
            "hint. History, attachments and attributes are deleted for good.",
            limits="No API call deletes a contact. If write-back never showed the person, an admin must search every "
            "channel, and only an admin can say that nothing is held. A person who writes again becomes a new contact. "
            "The network's own copy and the vendor's back-ups stay. " + _POSTS,
            verified_by="dpsync can only see the opposite: a conversation of the person after the deletion",
            source=_SOURCE,
        ),
        Right.RESTRICTION: Capability(
            means=Means.LIST_AND_NOTICE,
            effect="Addresses and telephone number are put on our own block-list for proactive messages, and the "
            "processor's contact is told by notice.",
            limits=_UNSTOPPED + "There is no state 'restricted': staff see and can use the data. Lifting takes "
            "the person off the block-list and subscribes nobody.",
            verified_by="",
            source=_SOURCE,
        ),
        Right.OPT_OUT: Capability(
            means=Means.OPERATOR,
            effect="Addresses and telephone number are put on our own block-list for proactive messages, and the "
            "operator tells the staff.",
            limits=_UNSTOPPED + "Nothing at Hootsuite shows whether people follow the list.",
            verified_by="",
            source=_SOURCE,
        ),
    }
)

SEARCH: Final = (
    "We know no profile id of the person. As an Inbox admin with access to all channels, search every channel of "
    "Hootsuite Inbox for the person, also X (Twitter) and Inbox 1.0, and do there what is asked. Answer 'nothing held' "
    "only after that search."
)
LOOK: Final = (
    "First look whether a contact that is named here (perhaps as 'look first') is really this person. Its address is "
    "another one, was typed by staff, or is not shown any more."
)
UNKNOWN: Final = (
    "We do not know all CRM-managed attributes of a contact that is named here, and Hootsuite deletes those that are "
    "not sent. Correct the contact in Hootsuite Inbox by hand."
)
BY_HAND: Final = (
    "A contact that is named here has something that the API cannot change: a name, handle or address of the network, "
    "or an attribute that staff typed. Correct it in Hootsuite Inbox if that is possible."
)
GONE: Final = (
    "Hootsuite does not find a contact that is named here any more. Look whether the person is kept as another "
    "contact, and correct that one by hand."
)
DELETE: Final = (
    "As an Inbox admin with access to all channels, open in Hootsuite Inbox each contact that is named here by its "
    "profile id. Make sure that it is this person, because people may share a telephone or an address. Then delete the "
    "contact. After that, search every channel for other contacts of the person, and delete those too."
)
HINT: Final = (
    "As the 'Contact identity hint' of each deletion, enter {reference} and nothing else. Hootsuite keeps the hint, so "
    "it must hold no name and no address."
)
OPTED_OUT: Final = (
    "The person wants no messages that they did not ask for. Tell everybody who writes from Hootsuite Inbox not to "
    "send the person proactive messages, above all on WhatsApp, and to take the person off messages that are prepared."
)
RESTRICTED: Final = (
    "Hootsuite has no state 'restricted'. Please keep what you hold about the person in Inbox, but do not use it for "
    "anything. Please do not send the person any proactive message."
)
LIFTED: Final = (
    "The restriction has ended. This is not a consent: do not subscribe the person to anything because of it."
)
