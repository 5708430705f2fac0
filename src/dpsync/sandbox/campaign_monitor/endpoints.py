"""What each endpoint of Campaign Monitor answers: plain functions from what was asked to an answer.

Source: the reference of API v3.3 and the fixtures of createsend-python (MIT), as read in August 2026: the bodies have
their shapes. Nothing here knows of connections, faults or counting.
"""

import re
from collections.abc import Mapping, Sequence

from dpsync.sandbox.asked import Answer, Json, Table, folded, whole_number
from dpsync.sandbox.campaign_monitor.account import MESSAGES, STATES, Change, Refusal, Token, made_id
from dpsync.sandbox.campaign_monitor.asked import Asked
from dpsync.sandbox.campaign_monitor.custom_fields import tag_of
from dpsync.sandbox.campaign_monitor.hooks import ROUTES as HOOKS
from dpsync.sandbox.campaign_monitor.rules import add, check_address, suppress, unsubscribe, update

TIME_ZONES = (
    "(GMT) Coordinated Universal Time",
    "(GMT) Dublin, Edinburgh, Lisbon, London",
    "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
    "(GMT+10:00) Canberra, Melbourne, Sydney",
)
COUNTRIES = ("Australia", "Ireland", "United Kingdom", "United States of America")


def systemdate(asked: Asked) -> Answer:
    return Answer(200, {"SystemDate": asked.stamp})


def timezones(_: Asked) -> Answer:
    """Names, which are no zones that a computer knows; the account's own is not told anywhere."""
    return Answer(200, list(TIME_ZONES))


def countries(_: Asked) -> Answer:
    return Answer(200, list(COUNTRIES))


def client_details(asked: Asked) -> Answer:
    client = asked.client
    basics = {"ClientID": client.id, "CompanyName": client.name, "Country": COUNTRIES[-2], "TimeZone": TIME_ZONES[1]}
    return Answer(200, {"ApiKey": "", "BasicDetails": basics, "BillingDetails": {}})


def history(asked: Asked) -> Answer:
    """What was sent to the subscriber and what they did; a deletion leaves it there."""
    return Answer(200, list(asked.member.history))


def clients(asked: Asked) -> Answer:
    return Answer(200, [{"ClientID": client.id, "Name": client.name} for client in asked.clients])


def lists(asked: Asked) -> Answer:
    return Answer(200, [{"ListID": one.id, "Name": one.title} for one in asked.client.lists.values()])


def lists_for_email(asked: Asked) -> Answer:
    address = check_address(asked.query.get("email"))
    rows = [
        {
            "ListID": one.id,
            "ListName": one.title,
            "SubscriberState": found.state,
            "DateSubscriberAdded": found.joined,
        }
        for one in asked.client.lists.values()
        if (found := one.members.get(folded(address))) is not None
    ]
    return Answer(200, rows)


def one_list(asked: Asked) -> Answer:
    return Answer(200, asked.home[1].body())


def custom_fields(asked: Asked) -> Answer:
    rows = [
        {
            "FieldName": name,
            "Key": f"[{tag_of(name)}]",
            "DataType": kind,
            "FieldOptions": list(asked.home[1].options.get(name, ())),
            "VisibleInPreferenceCenter": True,
        }
        for name, kind in asked.home[1].fields.items()
    ]
    return Answer(200, rows)


def delete_list(asked: Asked) -> Answer:
    client, held = asked.home
    del client.lists[held.id]
    return Answer(200, None, (Change("destroyed", client.id, held.id, ""),))


def delete_client(asked: Asked) -> Answer:
    client = asked.client
    del asked.owner.clients[client.id]
    return Answer(200, None, (Change("destroyed", client.id, "", ""),))


def in_state(asked: Asked) -> Answer:
    wanted = asked.names["part"].capitalize()
    if wanted not in STATES:
        raise Refusal(404, status=404)
    held = [member for member in asked.home[1].members.values() if member.state == wanted]
    since = asked.query.get("date", "")
    rows = [member.body(with_consent=_consent_asked(asked)) for member in held if member.date >= since]
    return Answer(200, _page(asked, rows, {"email", "name", "date"}, "EmailAddress"))


def _consent_asked(asked: Asked) -> bool:
    return asked.query.get("includetrackingpreference", "").lower() == "true"


def suppression_list(asked: Asked) -> Answer:
    rows = [
        {"SuppressionReason": one.reason, "EmailAddress": one.address, "Date": one.date, "State": "Suppressed"}
        for one in asked.client.suppressed.values()
    ]
    return Answer(200, _page(asked, rows, {"email", "date"}, "EmailAddress"))


def _page(asked: Asked, rows: Sequence[Mapping[str, object]], fields: set[str], email: str) -> Json:
    query = asked.query
    number, size = whole_number(query, "page", 1, 1, 10**9), whole_number(query, "pagesize", 1000, 10, 1000)
    order, direction = query.get("orderfield", "date"), query.get("orderdirection", "asc")
    if number is None:
        raise Refusal(800)
    if size is None:
        raise Refusal(801)
    if order not in fields:
        raise Refusal(802)
    if direction not in ("asc", "desc"):
        raise Refusal(803)
    column = {"email": email, "name": "Name", "date": "Date"}[order]

    def place(row: Mapping[str, object]) -> str:
        value = str(row[column])
        # how the vendor sorts addresses is not documented: "letters" leaves out all but letters and figures
        return re.sub(r"[^a-z0-9]", "", value.lower()) if asked.switches.collation == "letters" else value.lower()

    ordered = sorted(rows, key=place, reverse=direction == "desc")
    shown = ordered[size * (number - 1) : size * number]
    return {
        "Results": shown,
        "ResultsOrderedBy": order,
        "OrderDirection": direction,
        "PageNumber": number,
        "PageSize": size,
        "RecordsOnThisPage": len(shown),
        "TotalNumberOfRecords": len(rows),
        "NumberOfPages": -(-len(rows) // size),
    }


def put_on_list(asked: Asked) -> Answer:
    client = asked.client
    given = asked.body.get("EmailAddresses")
    addresses = [check_address(address) for address in given] if isinstance(given, list) else []
    if not addresses:
        raise Refusal(1)
    if all(folded(address) in client.suppressed for address in addresses):
        return _repeated(asked)
    changes = suppress(asked.owner, client, addresses, "Reason Unavailable", asked.stamp)
    return Answer(200, None, tuple(changes))


def take_off_list(asked: Asked) -> Answer:
    client, address = asked.client, check_address(asked.query.get("email"))
    if client.suppressed.pop(folded(address), None) is None:
        raise Refusal(176)
    return Answer(200, None, (Change("unsuppressed", client.id, "", address),))


def read_member(asked: Asked) -> Answer:
    return Answer(200, asked.member.body(with_consent=_consent_asked(asked)))


def put_member(asked: Asked) -> Answer:
    client, held = asked.home
    member = asked.member
    if member.state == "Deleted" and asked.switches.deleted_is_fixed:
        raise Refusal(203)
    effects = update(held, member, asked.body, asked.stamp)
    return Answer(
        200, None, tuple(Change(kind, client.id, held.id, member.address, member, was) for kind, was in effects)
    )


def delete_member(asked: Asked) -> Answer:
    """Sets a state and keeps everything."""
    client, held = asked.home
    member = asked.member
    if member.state == "Deleted":
        return _repeated(asked)
    member.state, member.date = "Deleted", asked.stamp
    return Answer(200, None, (Change("deleted", client.id, held.id, member.address, member),))


def unsubscribe_member(asked: Asked) -> Answer:
    client, held = asked.home
    address = check_address(asked.body.get("EmailAddress"))
    member = held.find(address, exact=bool(asked.switches.exact_case))
    if member.state not in ("Active", "Unconfirmed"):
        return _repeated(asked)
    return Answer(200, None, tuple(unsubscribe(asked.owner, client, held, member, asked.stamp)))


def _repeated(asked: Asked) -> Answer:
    if asked.switches.repeat_is_203:
        raise Refusal(203)
    return Answer(200)


def add_member(asked: Asked) -> Answer:
    """An upsert that is only queued: what it does comes later where that switch is on."""
    client, held = asked.home
    address = check_address(asked.body.get("EmailAddress"))
    if asked.switches.adds_wait:
        asked.owner.waiting.append((held.id, dict(asked.body)))
        return Answer(201, address)
    return Answer(201, address, (add(client, held, asked.body, asked.stamp),))


def import_members(asked: Asked) -> Answer:
    """Up to 1000 at once; 400 with code 210 although the others were written."""
    client, held = asked.home
    given = asked.body.get("Subscribers")
    rows = [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []
    if len(rows) > 1000:
        raise Refusal(209)
    changes: list[Change] = []
    failures: list[dict[str, object]] = []
    for row in rows:
        try:
            changes.append(add(client, held, {**row, "Resubscribe": asked.body.get("Resubscribe", False)}, asked.stamp))
        except Refusal as no:
            failures.append({"EmailAddress": row.get("EmailAddress"), "Code": no.code, "Message": MESSAGES[no.code]})
    result = {
        "TotalUniqueEmailsSubmitted": len({folded(str(row.get("EmailAddress"))) for row in rows}),
        "TotalExistingSubscribers": sum(change.kind != "created" for change in changes),
        "TotalNewSubscribers": sum(change.kind == "created" for change in changes),
        "DuplicateEmailsInSubmission": [],
        "FailureDetails": failures,
    }
    if failures:
        body = {"ResultData": result, "Code": 210, "Message": MESSAGES[210]}
        return Answer(400, body, tuple(changes))
    return Answer(201, result, tuple(changes))


def renew(asked: Asked) -> Answer:
    """A refresh token for a new pair; the old pair is used up, unless the switch says that the token stays."""
    form = asked.form
    for account in asked.held.accounts.values():
        for access, token in list(account.tokens.items()):
            known = token.refresh == form.get("refresh_token") and token.state != "revoked"
            if known and form.get("grant_type") == "refresh_token":
                del account.tokens[access]
                refresh = token.refresh if asked.switches.refresh_stays else made_id(access, "refresh")
                fresh = made_id(access, "access")
                account.tokens[fresh] = Token(refresh=refresh)
                return Answer(200, {"access_token": fresh, "expires_in": LIVES, "refresh_token": refresh})
    return Answer(400, {"error": "invalid_grant", "error_description": "The token is not known or was used up"})


TOKEN = "/oauth/token"
LIVES = 1_209_600
MEMBER = "/subscribers/{list_id}"
CLIENT = "/clients/{client_id}"
LIST = "/lists/{list_id}"
ROUTES: Table = {
    TOKEN: {"POST": renew},
    "/systemdate": {"GET": systemdate},
    "/timezones": {"GET": timezones},
    "/countries": {"GET": countries},
    "/clients": {"GET": clients},
    CLIENT: {"GET": client_details, "DELETE": delete_client},
    f"{CLIENT}/lists": {"GET": lists},
    f"{CLIENT}/listsforemail": {"GET": lists_for_email},
    f"{CLIENT}/suppressionlist": {"GET": suppression_list},
    f"{CLIENT}/suppress": {"POST": put_on_list},
    f"{CLIENT}/unsuppress": {"PUT": take_off_list},
    LIST: {"GET": one_list, "DELETE": delete_list},
    f"{LIST}/customfields": {"GET": custom_fields},
    MEMBER: {"GET": read_member, "PUT": put_member, "POST": add_member, "DELETE": delete_member},
    f"{MEMBER}/history": {"GET": history},
    f"{MEMBER}/unsubscribe": {"POST": unsubscribe_member},
    f"{MEMBER}/import": {"POST": import_members},
    **HOOKS,
    f"{LIST}/{{part}}": {"GET": in_state},
}
