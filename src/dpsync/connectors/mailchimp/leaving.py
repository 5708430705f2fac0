"""How a contact leaves a part of Mailchimp alone: one audience, or one interest group of an audience.

Source: specification 3.0.55, `interests` of /lists/{list_id}/members/{subscriber_hash}: by the id of each group of the
audience, whether the contact is in it.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from dpsync.connector import Applied, Outcome, Reply
from dpsync.connectors.mailchimp.calls import NO_GROUP, SILENT, Calls, Member
from dpsync.vendor.errors import misplaced
from dpsync.vendor.outcomes import nobody

PARTS: Final[Mapping[str, str]] = {
    "audience": "[A-Za-z0-9_-]{1,40}",
    "interest": "[A-Za-z0-9_-]{1,40}/[A-Za-z0-9]{1,40}",
}
"""What an opt-out can be narrowed down to: an audience, or AUDIENCE/GROUP."""


def audience_of(part: str) -> str:
    """The audience that a part is, or is in."""
    return part.partition("=")[2].partition("/")[0]


def group_of(part: str) -> str:
    """The interest group that a part is, "" for a whole audience."""
    return part.partition("/")[2]


def leave_part(calls: Calls, audience: str, member: Member, group: str) -> Outcome:
    """Take a contact out of one group, or (where it is "") unsubscribe it if it may be mailed. Raises `Ended`."""
    if group:
        return _leave_group(calls, audience, member, group)
    return Applied(evidence=()) if member.status in SILENT else unsubscribe(calls, audience, member)


def unsubscribe(calls: Calls, audience: str, member: Member) -> Outcome:
    """PATCH, never PUT: a PUT would create a contact. Raises `Ended`."""
    body = {"status": "unsubscribed"}
    reply: Reply = calls.lists.update_list_member(audience, member.id, body, skip_merge_validation=True)
    if calls.not_there(reply, audience):
        return nobody(calls.at(audience, member.id))
    now = calls.member_in(reply, audience, member.id)
    return Applied(evidence=()) if now.status == "unsubscribed" else calls.unchanged()


def _leave_group(calls: Calls, audience: str, member: Member, group: str) -> Outcome:
    """Whatever its status. But archived it is not mailed, and a change might bring it back: then it is left alone."""
    if group not in member.interests:
        raise misplaced(NO_GROUP)
    if member.status == "archived" or member.interests[group] is False:
        return Applied(evidence=())
    body = {"interests": {group: False}}
    reply: Reply = calls.lists.update_list_member(audience, member.id, body, skip_merge_validation=True)
    if calls.not_there(reply, audience):
        return nobody(calls.at(audience, member.id))
    now = calls.member_in(reply, audience, member.id)
    return Applied(evidence=()) if now.interests.get(group) is False else calls.unchanged()


def still_in(members: Iterable[Member], group: str) -> str:
    """Why one of them is still mailed in a group, or (where it is "") in the audience; "" where none is."""
    if group:
        inside = any(one.status != "archived" and one.interests.get(group) is not False for one in members)
        return "a contact is still in the interest group" if inside else ""
    return "" if {one.status for one in members} <= SILENT else "a contact is not unsubscribed"
