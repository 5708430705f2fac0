"""Bodies as Mailchimp sends them: contacts, audiences, pages, and the `fields` and `exclude_fields` filters.

Source: specification 3.0.55 and answers that the Grouparoo project recorded in 2021 and 2022, as read in August 2026.
"""

from collections.abc import Iterable, Mapping

from dpsync.sandbox.asked import Json, whole_number
from dpsync.sandbox.mailchimp.audience import Account, Audience, Member, Problem, invalid

LARGEST_PAGE = 1000


def member_body(audience: Audience, member: Member) -> Json:
    """One contact in the vendor's shape."""
    first, last = (str(member.merge_fields.get(tag, "")) for tag in ("FNAME", "LNAME"))
    return {
        "id": member.id,
        "email_address": member.email_address,
        "unique_email_id": member.unique_email_id,
        "contact_id": member.contact_id,
        "full_name": f"{first} {last}".strip(),
        "web_id": member.web_id,
        "email_type": "html",
        "status": member.status,
        "consents_to_one_to_one_messaging": True,
        "merge_fields": dict(member.merge_fields),
        "interests": {name: name in member.groups for name in audience.groups},
        "stats": {"avg_open_rate": 0, "avg_click_rate": 0},
        "ip_signup": "",
        "timestamp_signup": "",
        "ip_opt": "192.0.2.1",
        "timestamp_opt": member.last_changed,
        "member_rating": 2,
        "last_changed": member.last_changed,
        "language": member.language,
        "vip": member.vip,
        "email_client": "",
        "location": {
            "latitude": 0,
            "longitude": 0,
            "gmtoff": 0,
            "dstoff": 0,
            "country_code": "",
            "timezone": "",
            "region": "",
        },
        "source": "API - Generic",
        "tags_count": len(member.tags),
        "tags": [{"id": number, "name": name} for name, number in member.tags.items()],
        "list_id": audience.id,
        "_links": [],
    }


def audience_body(audience: Audience) -> Json:
    """One audience in the vendor's shape; its counts are of this moment."""
    count = dict.fromkeys(("subscribed", "unsubscribed", "cleaned"), 0)
    for member in audience.members.values():
        if member.status in count:
            count[member.status] += 1
    return {
        "id": audience.id,
        "web_id": audience.web_id,
        "name": audience.name,
        "contact": {"company": "Example", "address1": "1 Example Street", "city": "Kent", "country": "GB"},
        "permission_reminder": "You signed up.",
        "use_archive_bar": True,
        "campaign_defaults": {"from_name": "Example", "from_email": "news@example.org", "language": "en"},
        "notify_on_subscribe": "",
        "notify_on_unsubscribe": "",
        "date_created": audience.created,
        "list_rating": 0,
        "email_type_option": False,
        "visibility": "prv",
        "double_optin": False,
        "has_welcome": False,
        "marketing_permissions": False,
        "modules": [],
        "stats": {
            "member_count": count["subscribed"],
            "unsubscribe_count": count["unsubscribed"],
            "cleaned_count": count["cleaned"],
        },
        "_links": [],
    }


def account_body(account: Account) -> Json:
    """The root resource: whose account the key opens."""
    return {
        "account_id": account.name,
        "login_id": f"{account.name}-login",
        "account_name": account.name,
        "email": "owner@example.org",
        "role": "owner",
        "contact": {"company": "Example", "city": "Kent", "country": "GB"},
        "total_subscribers": sum(
            member.status == "subscribed" for held in account.audiences.values() for member in held.members.values()
        ),
        "_links": [],
    }


def page_of(query: Mapping[str, str]) -> tuple[int, int]:
    """(offset, count) of a paged call: 10 unless asked otherwise, 1000 at most.

    Raises:
        Problem: 400, for anything else.
    """
    offset, count = whole_number(query, "offset", 0, 0, 10**9), whole_number(query, "count", 10, 0, LARGEST_PAGE)
    if offset is None or count is None:
        name, most = ("offset", 10**9) if offset is None else ("count", LARGEST_PAGE)
        raise invalid(name, f"Schema describes a number from 0 to {most}")
    return offset, count


def chosen(body: Json, query: Mapping[str, str]) -> Json:
    """The body with only the asked `fields`, or without the `exclude_fields`; both are dotted paths.

    Raises:
        Problem: 400, where both are given.
    """
    wanted, unwanted = query.get("fields"), query.get("exclude_fields")
    if wanted and unwanted:
        raise Problem(400, "Bad Request", "You may not use both 'fields' and 'exclude_fields'.")
    if wanted:
        return _only(body, _paths(wanted))
    if unwanted:
        return _without(body, _paths(unwanted))
    return body


def _paths(text: str) -> list[list[str]]:
    return [path.strip().split(".") for path in text.split(",") if path.strip()]


def _below(paths: Iterable[list[str]], name: str) -> list[list[str]]:
    return [path[1:] for path in paths if path[0] == name]


def _only(body: Json, paths: list[list[str]]) -> Json:
    kept: Json = {}
    for name, value in body.items():
        rest = _below(paths, name)
        if rest:
            kept[name] = value if [] in rest else _each(value, rest, keep=True)
    return kept


def _without(body: Json, paths: list[list[str]]) -> Json:
    kept: Json = {}
    for name, value in body.items():
        rest = _below(paths, name)
        if [] not in rest:
            kept[name] = _each(value, rest, keep=False) if rest else value
    return kept


def _each(value: object, paths: list[list[str]], *, keep: bool) -> object:
    choose = _only if keep else _without
    if isinstance(value, list):
        return [choose(item, paths) if isinstance(item, dict) else item for item in value]
    return choose(value, paths) if isinstance(value, dict) else value
