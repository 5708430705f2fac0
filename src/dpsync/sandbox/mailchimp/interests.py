"""The interest groups of an audience: categories, their groups, and which of them a contact is in.

Source: the resources that the vendor's own client names (mailchimp-marketing 3.0.80), an answer recorded in a public
gist (dominicsayers, 6fcec1253d7a07d470e6), and refusals in public issues (drewm/mailchimp-api 98 and 294), as read in
December 2026. How many contacts are in a group is told as a text.
"""

from collections.abc import Mapping
from typing import Final

from dpsync.sandbox.asked import Answer, Json, Table
from dpsync.sandbox.mailchimp.asked import LIST, Asked
from dpsync.sandbox.mailchimp.audience import Audience, Group, GroupCategory, digest, invalid, not_found
from dpsync.sandbox.mailchimp.rendering import chosen, page_of

KINDS: Final = ("checkboxes", "dropdown", "radio", "hidden")


def categories(asked: Asked) -> Answer:
    offset, count = page_of(asked.query)
    held = [_category_body(asked.audience, one) for one in asked.audience.categories.values()]
    page = {"list_id": asked.list_id, "categories": held[offset : offset + count]}
    return Answer(200, chosen({**page, "total_items": len(held), "_links": []}, asked.query))


def add_category(asked: Asked) -> Answer:
    audience, kind = asked.audience, asked.body.get("type")
    title = _named(asked, "title")
    if kind not in KINDS:
        raise invalid("type", "The value must be one of: " + ", ".join(KINDS))
    made = GroupCategory(_id(f"{audience.id}/category/{len(audience.categories)}/{title}"), title, str(kind))
    audience.categories[made.id] = made
    return Answer(200, _category_body(audience, made))


def category(asked: Asked) -> Answer:
    return Answer(200, chosen(_category_body(asked.audience, _category(asked)), asked.query))


def delete_category(asked: Asked) -> Answer:
    """Takes its groups along."""
    one = _category(asked)
    for name in [group.id for group in asked.audience.groups.values() if group.category == one.id]:
        _forget(asked.audience, name)
    del asked.audience.categories[one.id]
    return Answer(204)


def interests(asked: Asked) -> Answer:
    offset, count = page_of(asked.query)
    audience, one = asked.audience, _category(asked)
    held = [_body(audience, group) for group in audience.groups.values() if group.category == one.id]
    page = {"interests": held[offset : offset + count], "list_id": audience.id, "category_id": one.id}
    return Answer(200, chosen({**page, "total_items": len(held), "_links": []}, asked.query))


def add_interest(asked: Asked) -> Answer:
    audience, one, name = asked.audience, _category(asked), _named(asked, "name")
    made = Group(_id(f"{audience.id}/{one.id}/{len(audience.groups)}/{name}"), one.id, name)
    audience.groups[made.id] = made
    return Answer(200, _body(audience, made))


def interest(asked: Asked) -> Answer:
    return Answer(200, chosen(_body(asked.audience, _group(asked)), asked.query))


def delete_interest(asked: Asked) -> Answer:
    _forget(asked.audience, _group(asked).id)
    return Answer(204)


def _category(asked: Asked) -> GroupCategory:
    found = asked.audience.categories.get(asked.names["category_id"])
    if found is None:
        raise not_found()
    return found


def _group(asked: Asked) -> Group:
    found = asked.audience.groups.get(asked.part)
    if found is None or found.category != _category(asked).id:
        raise not_found()
    return found


def _forget(audience: Audience, name: str) -> None:
    del audience.groups[name]
    for member in audience.members.values():
        member.groups.discard(name)


def _named(asked: Asked, name: str) -> str:
    given = asked.body.get(name)
    if not isinstance(given, str) or not given.strip():
        raise invalid(name, f"Required fields were not provided: {name}")
    return given


def _id(seed: str) -> str:
    return digest(seed)[:10]


def _category_body(audience: Audience, one: GroupCategory) -> Json:
    place = list(audience.categories).index(one.id)
    about: Mapping[str, object] = {"list_id": audience.id, "id": one.id, "title": one.title, "type": one.kind}
    return {**about, "display_order": place, "_links": []}


def _body(audience: Audience, group: Group) -> Json:
    beside = [one.id for one in audience.groups.values() if one.category == group.category]
    inside = sum(group.id in one.groups for one in audience.members.values())
    return {
        "category_id": group.category,
        "list_id": audience.id,
        "id": group.id,
        "name": group.name,
        "subscriber_count": str(inside),
        "display_order": beside.index(group.id) + 1,
        "_links": [],
    }


CATEGORIES = LIST + "/interest-categories"
CATEGORY = CATEGORIES + "/{category_id}"
ROUTES: Table = {
    CATEGORIES: {"GET": categories, "POST": add_category},
    CATEGORY: {"GET": category, "DELETE": delete_category},
    CATEGORY + "/interests": {"GET": interests, "POST": add_interest},
    CATEGORY + "/interests/{part}": {"GET": interest, "DELETE": delete_interest},
}
