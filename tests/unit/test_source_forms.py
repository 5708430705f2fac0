"""How the messages of a sender stand in its body: each vendor's form, and what is refused whole."""

from pathlib import Path
from typing import Any

import pytest

from dpsync.errors import PayloadInvalid
from dpsync.intake.sources import forms, reading
from dpsync.intake.sources.forms import BodyForm
from dpsync.intake.sources.rules import SourceDelivery, Understood

NEVER = "a session id that logs in"


def soap(*notifications: str, head: str = "", around: str = "notifications") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'{head}<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f'<e:Body><{around} xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D</OrganizationId>'
        f"<SessionId>{NEVER}</SessionId>{''.join(notifications)}</{around}></e:Body></e:Envelope>"
    ).encode()


def notification(number: object, kind: str = "Contact", **fields: object) -> str:
    inside = "".join(f"<sf:{name}>{value}</sf:{name}>" for name, value in fields.items())
    return f'<Notification><Id>{number}</Id><sObject xsi:type="sf:{kind}">{inside}</sObject></Notification>'


def understood(name: str, body: bytes) -> Understood:
    mapping = reading.load(name, Path())
    return mapping.understand(SourceDelivery("crm", forms.read(mapping.form, body), ""), bytes.hex)


def test_salesforces_notifications_are_read_without_the_session_id() -> None:
    body = soap(notification(1, Id="003A", Email="zo&#235;@example.org", Phone="").replace("sf:Phone>", "sf:Phone>"))
    assert forms.read(BodyForm.SALESFORCE, body) == [
        {
            "organization": "00D",
            "Id": "1",
            "type": "Contact",
            "sObject": {"Id": "003A", "Email": "zoë@example.org", "Phone": None},
        }
    ]
    assert NEVER not in repr(forms.read(BodyForm.SALESFORCE, soap(notification(1))))
    nil = notification(1).replace("</sObject>", '<sf:Email xsi:nil="true"/></sObject>')
    assert forms.read(BodyForm.SALESFORCE, soap(nil))[0]["sObject"] == {"Email": None}  # type: ignore[index]  # because it is JSON


TWICE = "<sf:Email>a@example.org</sf:Email><sf:Email>b@example.org</sf:Email></sObject>"
WITHIN = "<sf:Owner><sf:Email>a@example.org</sf:Email></sf:Owner></sObject>"
BOMB = '<!DOCTYPE e [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE e [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff\xfe<",
        soap(notification(1))[:-9],
        soap(notification("&b;"), head=BOMB),
        soap(notification("&a;"), head=OUTSIDE),
        soap(notification(1), head="<!DOCTYPE e>"),
        soap(notification(1), around="other"),
        soap("<Notification><Id>1</Id></Notification>"),
        soap(notification(1).replace("</sObject>", TWICE)),
        soap(
            notification(1).replace("</sObject>", "<sf:Owner><sf:Email>a@example.org</sf:Email></sf:Owner></sObject>")
        ),
        b'<?xml version="1.0" encoding="nowhere-8"?><a/>',
    ],
)
def test_what_is_no_outbound_message_or_has_more_than_one_meaning_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        forms.read(BodyForm.SALESFORCE, body)
    assert "example.org" not in str(caught.value)


def test_a_hundred_notifications_are_taken_and_one_more_is_not() -> None:
    many = [
        notification(number, Id=f"003{number}", Email=f"a{number}@example.org", HasOptedOutOfEmail="true")
        for number in range(101)
    ]
    assert len(understood("salesforce", soap(*many[:100])).wishes) == 100
    with pytest.raises(PayloadInvalid, match="more than 100"):
        understood("salesforce", soap(*many))
    with pytest.raises(PayloadInvalid, match=r"1\.refuse\.other-object"):
        understood("salesforce", soap(many[0], notification(2, "Lead")))
    with pytest.raises(PayloadInvalid):
        understood("salesforce", soap())


def test_mautics_events_are_one_list_with_the_kind_of_each() -> None:
    assert forms.read(BodyForm.MAUTIC, b'{"a": [1, 2], "b": [{}]}') == [
        {"event": "a", "data": 1},
        {"event": "a", "data": 2},
        {"event": "b", "data": {}},
    ]
    for body in (b"[]", b'{"a": {}}', b'{"a": [], "a": []}', b"{"):
        with pytest.raises(PayloadInvalid):
            forms.read(BodyForm.MAUTIC, body)


def test_dataverses_pairs_are_an_object_and_no_key_stands_twice() -> None:
    pairs = b'{"In": [{"key": "Target", "value": {"Attributes": [{"key": "x", "value": [1, {"key": 2}]}]}}], "L": []}'
    assert forms.read(BodyForm.DATAVERSE, pairs) == {"In": {"Target": {"Attributes": {"x": [1, {"key": 2}]}}}, "L": []}
    for body in (b"[" * 900 + b"]" * 900, b'[{"key": "a", "value": 1}, {"key": "a", "value": 2}]', b'{"a": 1, "a": 2}'):
        with pytest.raises(PayloadInvalid):
            forms.read(BodyForm.DATAVERSE, body)


def dataverse(message: str, table: str = "contact", **more: Any) -> Understood:
    mapping = reading.load("dynamics", Path())
    ids = {"CorrelationId": "c", "OperationId": "o", "Depth": 1, "PrimaryEntityId": "g1"}
    body = {"MessageName": message, "PrimaryEntityName": table, **ids, **more}
    return mapping.understand(SourceDelivery("crm", body, ""), bytes.hex)


def changed(**attributes: object) -> dict[str, Any]:
    def image(email: str) -> dict[str, Any]:
        return {"contact": {"Attributes": {"emailaddress1": email}}}

    now = attributes.get("emailaddress1", "ada@example.org")
    images = {"PreEntityImages": image("ada@example.org"), "PostEntityImages": image(str(now))}
    return {"InputParameters": {"Target": {"Attributes": attributes}}, **images}


def test_each_change_of_a_contact_in_dynamics_is_what_it_looks_like() -> None:
    assert [one.rule for one in dataverse("Update", **changed(donotbulkemail=True)).wishes] == ["no-bulk-email"]
    assert [one.rule for one in dataverse("Update", **changed(donotemail=True)).wishes] == ["no-email"]
    assert len(dataverse("Update", **changed(donotemail=True, donotbulkemail=True)).wishes) == 1
    moved = dataverse("Update", **changed(emailaddress1="new@example.org"))
    assert [one.rule for one in moved.wishes] == ["address-changed"]
    assert dataverse("Update", **changed(statecode={"Value": 1})).ignored == ("other-change",)
    assert dataverse("Update", **changed(donotemail=False)).ignored == ("other-change",), "no consent follows"
    others: list[dict[str, Any]] = [{"table": "lead", **changed()}, {"InputParameters": {}}, changed(emailaddress1="")]
    for refused in others:
        with pytest.raises(PayloadInvalid, match="refuse"):
            dataverse("Update", **refused)
    (gone,) = dataverse("Delete", PreEntityImages=changed()["PreEntityImages"]).wishes
    assert (gone.delete_shaped, gone.data["subject"]) == (True, {"id": "crm:g1", "email": "ada@example.org"})


def test_mautics_bounce_and_return_are_no_wishes_and_a_wish_for_another_channel_is_for_that_alone() -> None:
    def told(channel: str, status: str) -> Understood:
        said = f'[{{"contact": {{"id": 7}}, "channel": "{channel}", "new_status": "{status}"}}]'
        return understood("mautic", f'{{"mautic.lead_channel_subscription_changed": {said}}}'.encode())

    assert [one.data["right"] for one in told("email", "manual").wishes] == ["opt_out"]
    assert [one.data["right"] for one in told("email", "unsubscribed").wishes] == ["opt_out"]
    (one,) = told("sms", "unsubscribed").wishes
    assert (one.data["right"], one.data["scope"]) == ("opt_out", {"channel": "sms"})
    for channel, status in (("email", "bounced"), ("email", "contactable"), ("sms", "bounced")):
        assert (told(channel, status).wishes, len(told(channel, status).ignored)) == ((), 1)
    with pytest.raises(PayloadInvalid, match="matches no rule"):
        understood("mautic", b'{"mautic.form_on_submit": [{}]}')


def test_hubspots_merge_into_a_new_record_loses_both_and_a_repeated_attempt_is_the_same_event() -> None:
    def told(**more: Any) -> Understood:
        event = {"eventId": 1, "subscriptionType": "contact.merge", "objectId": 2, "occurredAt": 1795510500000, **more}
        return reading.load("hubspot", Path()).understand(SourceDelivery("crm", [event], ""), bytes.hex)

    (one,) = told(primaryObjectId=2, mergedObjectIds=[3, 4], newObjectId=9).merges
    assert ([loser["id"] for loser in one.losers], one.winner["id"]) == (["crm:3", "crm:4", "crm:2"], "crm:9")
    (one,) = told(primaryObjectId=2, mergedObjectIds=[3]).merges
    assert ([loser["id"] for loser in one.losers], one.winner["id"]) == (["crm:3"], "crm:2")
    again = told(primaryObjectId=2, mergedObjectIds=[3], attemptNumber=4).merges
    assert [two.event for two in again] == [one.event]
    with pytest.raises(PayloadInvalid, match="on_merge"):
        told(primaryObjectId=2, mergedObjectIds=[2])


def test_a_subscription_type_of_hubspot_that_is_left_is_an_opt_out_from_that_part() -> None:
    def told(name: str, value: str) -> Understood:
        event = {
            "eventId": 1,
            "subscriptionType": "contact.propertyChange",
            "objectId": 4711,
            "occurredAt": 1795510500000,
        }
        body = [{**event, "propertyName": name, "propertyValue": value}]
        return reading.load("hubspot", Path()).understand(SourceDelivery("crm", body, ""), bytes.hex)

    (wish,) = told("hs_email_optout_636817", "true").wishes
    assert (wish.data["right"], wish.data["scope"]) == ("opt_out", {"topic": "hs_email_optout_636817"})
    assert "scope" not in told("hs_email_optout", "true").wishes[0].data
    for name in ("hs_email_optout_636817", "hs_email_optout"):
        assert (told(name, "false").wishes, len(told(name, "").ignored)) == ((), 1)
