"""What each endpoint of the Marketing API answers: plain functions from what was asked to an answer.

Nothing here knows of HTTP connections, faults or counting. Source: specification 3.0.55 and
answers that the Grouparoo project recorded in 2021 and 2022 (plugins/@grouparoo/mailchimp), as read in August 2026.
"""

from collections.abc import Iterator, Mapping

from dpsync.sandbox.asked import Answer, Json, Table
from dpsync.sandbox.mailchimp.asked import LIST, MEMBER, Asked, Change
from dpsync.sandbox.mailchimp.audience import Account, Member, Problem, check_return, check_status, digest, invalid
from dpsync.sandbox.mailchimp.beside import ROUTES as BESIDE
from dpsync.sandbox.mailchimp.beside import add_members
from dpsync.sandbox.mailchimp.interests import ROUTES as INTERESTS
from dpsync.sandbox.mailchimp.rendering import account_body, audience_body, chosen, member_body, page_of
from dpsync.sandbox.mailchimp.webhooks import ROUTES as HOOKS


def root(asked: Asked) -> Answer:
    return Answer(200, chosen(account_body(asked.owner), asked.query))


def ping(_: Asked) -> Answer:
    return Answer(200, {"health_status": "Everything's Chimpy!"})


def lists(asked: Asked) -> Answer:
    offset, count = page_of(asked.query)
    held = list(asked.owner.audiences.values())
    if address := asked.query.get("email"):
        found = [(audience, audience.members.get(digest(address))) for audience in held]
        held = [audience for audience, member in found if member and _in_filter(asked, member)]
    page: Json = {
        "lists": [audience_body(audience) for audience in held[offset : offset + count]],
        "total_items": len(held),
        "constraints": {"may_create": True, "max_instances": 5, "current_total_instances": len(held)},
        "_links": [],
    }
    return Answer(200, chosen(page, asked.query))


def _in_filter(asked: Asked, member: Member) -> bool:
    return asked.switches.lists_hide_archived is False or member.status != "archived"


def one_list(asked: Asked) -> Answer:
    return Answer(200, chosen(audience_body(asked.audience), asked.query))


def members(asked: Asked) -> Answer:
    audience = asked.audience
    offset, count = page_of(asked.query)
    status = asked.query.get("status")
    # Whether archived contacts come unasked is not documented: a roster that needs them has to ask.
    held = [
        member
        for member in audience.members.values()
        if (member.status == status if status else member.status != "archived")
    ]
    page: Json = {
        "members": [member_body(audience, member) for member in held[offset : offset + count]],
        "list_id": audience.id,
        "total_items": len(held),
        "_links": [],
    }
    return Answer(200, chosen(page, asked.query))


def add_member(asked: Asked) -> Answer:
    audience = asked.audience
    address = _text(asked.body, "email_address")
    status = check_status(asked.body.get("status"))
    present = audience.members.get(digest(address))
    if present is not None and present.status == "archived":
        return _update(asked, present)
    return _create(asked, address, status)


def read_member(asked: Asked) -> Answer:
    audience = asked.audience
    return Answer(200, chosen(member_body(audience, audience.find(asked.reference)), asked.query))


def patch_member(asked: Asked) -> Answer:
    return _update(asked, asked.audience.find(asked.reference))


def put_member(asked: Asked) -> Answer:
    audience = asked.audience
    address = _text(asked.body, "email_address")
    try:
        present = audience.find(asked.reference)
    except Problem:
        status = check_status(asked.body.get("status_if_new", asked.body.get("status")))
        return _create(asked, address, status)
    return _update(asked, present)


def archive_member(asked: Asked) -> Answer:
    audience = asked.audience
    member = audience.find(asked.reference)
    audience.archive(member)
    member.last_changed = asked.stamp
    return Answer(204, None, (Change("archived", audience, member),))


def delete_permanent(asked: Asked) -> Answer:
    audience = asked.audience
    member = audience.find_by_hash(asked.reference)
    audience.forget(member)
    return Answer(204, None, (Change("deleted", audience, member),))


def read_tags(asked: Asked) -> Answer:
    member = asked.audience.find_by_hash(asked.reference)
    tags = [{"id": number, "name": name, "date_added": asked.stamp} for name, number in member.tags.items()]
    return Answer(200, {"tags": tags, "total_items": len(tags), "_links": []})


def change_tags(asked: Asked) -> Answer:
    audience = asked.audience
    member = audience.find_by_hash(asked.reference)
    tags = asked.body.get("tags")
    if not isinstance(tags, list):
        raise invalid("tags", "Required fields were not provided: tags")
    for tag in tags:
        if not isinstance(tag, dict) or tag.get("status") not in {"active", "inactive"} or not tag.get("name"):
            raise invalid("tags", "The value must have a name and a status of active or inactive")
    for tag in tags:
        name = str(tag["name"])
        if tag["status"] == "active":
            member.tags.setdefault(name, int(digest(name)[:6], 16))
        else:
            member.tags.pop(name, None)
    return Answer(204, None, (Change("tagged", audience, member),))


def search_members(asked: Asked) -> Answer:
    """Address, first and last name only; nobody archived; stale while the account's search lags."""
    wanted = asked.query.get("query", "")
    if not wanted:
        raise invalid("query", "Required fields were not provided: query")
    pool = search_index(asked.owner) if asked.owner.search is None else iter(asked.owner.search)
    if only := asked.query.get("list_id"):
        pool = (body for body in pool if body["list_id"] == only)
    exact: list[Json] = []
    partial: list[Json] = []
    whole = wanted.count("@") == 1 and not wanted.startswith("@") and not wanted.endswith("@")
    for body in pool:
        if whole:
            if body["id"] == digest(wanted):
                exact.append(body)
        elif wanted.lower() in f"{body['email_address']} {body['full_name']}".lower():
            partial.append(body)
    found: Json = {
        "exact_matches": {"members": exact, "total_items": len(exact)},
        "full_search": {"members": partial, "total_items": len(partial)},
        "_links": [],
    }
    return Answer(200, chosen(found, asked.query))


def search_index(account: Account) -> Iterator[Json]:
    """What an up-to-date search index of this account would hold."""
    for audience in account.audiences.values():
        for member in list(audience.members.values()):
            if member.status != "archived":
                yield member_body(audience, member)


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise invalid(name, f"Required fields were not provided: {name}")
    return value


def _merge_fields(asked: Asked) -> Mapping[str, object]:
    fields = asked.body.get("merge_fields", {})
    if not isinstance(fields, dict):
        raise invalid("merge_fields", "Schema describes object")
    return fields


def _create(asked: Asked, address: str, status: str) -> Answer:
    audience = asked.audience
    groups = audience.asked_groups(asked.body.get("interests", {}))
    member = audience.add(address, status, _merge_fields(asked), asked.stamp, skip_validation=asked.lax)
    audience.regroup(member, groups)
    return Answer(200, member_body(audience, member), (Change("created", audience, member),))


def _update(asked: Asked, member: Member) -> Answer:
    """All checks before the first change: a refused call changes nothing."""
    audience = asked.audience
    address = _text(asked.body, "email_address") if "email_address" in asked.body else member.email_address
    status = check_status(asked.body["status"]) if "status" in asked.body else member.status
    was, left = member.email_address, member.status
    audience.check_move(member, address)
    check_return(member, status)
    groups = audience.asked_groups(asked.body.get("interests", {}))
    audience.merge(member, _merge_fields(asked), skip_validation=asked.lax)
    audience.regroup(member, groups)
    kinds = []
    if address != was:
        audience.move(member, address)
    if digest(address) != digest(was):
        kinds.append("moved")
    if status != left:
        member.status = status
        kinds.append({"unsubscribed": "unsubscribed", "subscribed": "resubscribed"}.get(status, "patched"))
    if asked.body.keys() - {"email_address", "status"}:
        kinds.append("patched")
    if isinstance(language := asked.body.get("language"), str):
        member.language = language
    if isinstance(vip := asked.body.get("vip"), bool):
        member.vip = vip
    if kinds:
        member.last_changed = asked.stamp
    changes = tuple(Change(kind, audience, member, was if kind == "moved" else "") for kind in dict.fromkeys(kinds))
    return Answer(200, member_body(audience, member), changes)


ROUTES: Table = {
    "/": {"GET": root},
    "/ping": {"GET": ping},
    "/lists": {"GET": lists},
    LIST: {"GET": one_list, "POST": add_members},
    LIST + "/members": {"GET": members, "POST": add_member},
    MEMBER: {"GET": read_member, "PATCH": patch_member, "PUT": put_member, "DELETE": archive_member},
    MEMBER + "/actions/delete-permanent": {"POST": delete_permanent},
    MEMBER + "/tags": {"GET": read_tags, "POST": change_tags},
    "/search-members": {"GET": search_members},
    **BESIDE,
    **INTERESTS,
    **HOOKS,
}
