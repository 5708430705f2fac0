"""What the mappings that come with dpsync make of what their senders really send, and of a table with other columns."""

import json
from pathlib import Path
from typing import Any

import pytest

from dpsync.errors import PayloadInvalid
from dpsync.intake.sources import reading
from dpsync.intake.sources.rules import SourceDelivery, Understood

ROW = {
    "id": 4711,
    "email": "ada@example.org",
    "name": "Ada L",
    "do_not_email": False,
    "restricted": False,
    "erased_at": None,
    "updated_at": "2026-11-20T08:55:00+00:00",
}
OPS = {
    "supabase": ("INSERT", "UPDATE", "DELETE"),
    "hasura": ("INSERT", "UPDATE", "DELETE"),
    "debezium": ("c", "u", "d"),
    "debezium-cloudevents": ("c", "u", "d"),
    "directus": ("create", "update", "delete"),
}
INSERT, UPDATE, DELETE = range(3)
ROWS = pytest.mark.parametrize("name", sorted(OPS))


def message(name: str, kind: int, old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    op = OPS[name][kind]
    if name == "supabase":
        return {"type": op, "schema": "public", "table": "person", "record": new, "old_record": old}
    if name == "hasura":
        return {
            "id": "85558393",
            "table": {"schema": "public", "name": "person"},
            "event": {"op": op, "data": {"old": old, "new": new}},
        }
    if name == "directus":
        place = {"collection": "person", "key": (new or old or {})["id"], "revision": 812}
        return {"changes": [{**place, "type": op, "at": "2026-11-20T08:55:00Z", "before": old, "after": new}]}
    if name == "debezium-cloudevents":
        about = {"source": "/debezium/postgresql/crm", "specversion": "1.0", "time": "2026-11-20T08:55:00.000Z"}
        beside = {"iodebeziumop": op, "iodebeziumschema": "public", "iodebeziumtable": "person"}
        return {"id": "name:crm;lsn:24023128;txId:5", **about, **beside, "data": {"before": old, "after": new}}
    source = {"schema": "public", "table": "person", "lsn": 24023128, "ts_ms": 1795510500000}
    return {"op": op, "before": old, "after": new, "source": source}


def understood(name: str, body: object, called: str = "") -> Understood:
    return reading.load(name, Path()).understand(SourceDelivery("crm", body, called), bytes.hex)


def rules(name: str, kind: int, old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    found = understood(name, message(name, kind, old, new))
    return [wish.rule for wish in found.wishes] or list(found.ignored)


def refused(name: str, old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    with pytest.raises(PayloadInvalid) as caught:
        rules(name, UPDATE, old, new)
    return caught.value.field.removeprefix("0.")  # where one message holds several, by its number


@ROWS
def test_each_change_of_a_row_is_the_wish_that_it_looks_like(name: str) -> None:
    assert rules(name, UPDATE, ROW, ROW | {"do_not_email": True}) == ["email-opt-out"]
    assert rules(name, UPDATE, ROW, ROW | {"email": "new@example.org"}) == ["address-changed"]
    assert rules(name, UPDATE, ROW, ROW | {"restricted": True}) == ["restricted"]
    gone = ROW | {"email": None, "name": "-", "erased_at": "2026-11-20T08:58:00+00:00"}
    assert rules(name, UPDATE, ROW, gone) == ["erased"]
    assert rules(name, UPDATE, gone, gone | {"name": ""}) == ["other-update"]
    assert rules(name, DELETE, ROW, None) == ["row-deleted"]
    assert rules(name, UPDATE, ROW, ROW | {"name": "Ada K"}) == ["other-update"]
    assert rules(name, UPDATE, ROW | {"do_not_email": None}, ROW | {"do_not_email": None}) == ["other-update"]
    assert rules(name, UPDATE, ROW | {"email": None}, ROW) == ["other-update"]


@ROWS
def test_a_new_row_whose_person_does_not_want_mail_is_an_opt_out(name: str) -> None:
    (wish,) = understood(name, message(name, INSERT, None, ROW | {"do_not_email": True})).wishes
    assert (wish.data["right"], wish.data["subject"]) == ("opt_out", {"id": "crm:4711", "email": "ada@example.org"})
    (wish,) = understood(name, message(name, INSERT, None, ROW | {"restricted": True})).wishes
    assert wish.data["right"] == "restriction"
    assert "new" in rules(name, INSERT, None, ROW)[0]


@ROWS
@pytest.mark.parametrize("column", ["do_not_email", "restricted", "erased_at", "email"])
def test_a_table_with_other_columns_is_not_taken_for_one_in_which_nothing_happens(name: str, column: str) -> None:
    other = {key: value for key, value in ROW.items() if key != column}
    assert refused(name, other, other | {"name": "Ada K"}) == f"refuse.no-column-{column.replace('_', '-')}"


@ROWS
@pytest.mark.parametrize("column", ["do_not_email", "restricted"])
def test_a_flag_that_is_no_boolean_is_not_taken_for_false(name: str, column: str) -> None:
    for said in (0, 1, "t", "2026-11-20"):
        assert refused(name, ROW, ROW | {column: said}).startswith("refuse.no-column-")


@ROWS
def test_an_address_that_is_removed_and_a_restriction_that_ends_are_for_people(name: str) -> None:
    assert refused(name, ROW, ROW | {"email": None}) == "refuse.address-removed"
    assert refused(name, ROW, ROW | {"email": ""}) == "refuse.address-removed"
    assert rules(name, UPDATE, ROW, ROW | {"email": "", "do_not_email": True}) == ["email-opt-out"]
    assert refused(name, ROW | {"restricted": True}, ROW) == "refuse.restriction-ended"


@ROWS
@pytest.mark.parametrize("kind", [INSERT, UPDATE, DELETE])
def test_the_number_of_another_tables_row_is_nobodys(name: str, kind: int) -> None:
    body = json.dumps(message(name, kind, ROW, ROW | {"do_not_email": True, "erased_at": "x"}))
    with pytest.raises(PayloadInvalid) as caught:
        understood(name, json.loads(body.replace('"person"', '"orders"')))
    assert caught.value.field.removeprefix("0.") == "refuse.other-table"


def test_supabases_two_updates_in_one_transaction_are_two_events_and_a_copy_is_none() -> None:
    first = message("supabase", UPDATE, ROW, ROW | {"email": "b@example.org"})
    second = message("supabase", UPDATE, ROW | {"email": "b@example.org"}, ROW | {"email": "c@example.org"})
    events = {understood("supabase", one).wishes[0].event for one in (first, second, dict(first))}
    assert len(events) == 2


def test_hasuras_moment_without_a_zone_refuses_nobody() -> None:
    body = message("hasura", UPDATE, ROW, ROW | {"do_not_email": True})
    (wish,) = understood("hasura", body | {"created_at": "2026-11-20T08:55:00.402964"}).wishes
    assert "received_at" not in wish.data
    again = body | {"delivery_info": {"current_retry": 3}}
    assert [(one.event, one.data) for one in understood("hasura", again).wishes] == [(wish.event, wish.data)]
    assert understood("hasura", message("hasura", INSERT, None, ROW) | {"event": {"op": "MANUAL"}}).ignored


@pytest.mark.parametrize("name", ["debezium", "debezium-cloudevents", "directus"])
def test_an_update_without_the_old_row_is_refused(name: str) -> None:
    for new in (ROW | {"do_not_email": True}, ROW | {"erased_at": "x"}, ROW | {"email": "new@example.org"}):
        assert refused(name, None, new) == "refuse.no-old-values"


def test_debeziums_snapshot_is_nobodys_wish_and_a_schema_around_it_changes_nothing() -> None:
    assert understood("debezium", message("debezium", UPDATE, ROW, ROW) | {"op": "r"}).ignored == ("snapshot",)
    body = message("debezium", DELETE, ROW, None)
    assert understood("debezium", {"schema": {}, "payload": body}) == understood("debezium", body)
    event = message("debezium-cloudevents", UPDATE, ROW, ROW | {"do_not_email": True})
    assert understood("debezium-cloudevents", event | {"iodebeziumop": "r"}).ignored == ("snapshot",)
    wrapped = event | {"data": {"schema": {}, "payload": event["data"]}}
    assert understood("debezium-cloudevents", wrapped) == understood("debezium-cloudevents", event)
    with pytest.raises(PayloadInvalid, match="a person must look"):
        understood("debezium", event)  # of a table that it does not name


def test_each_revision_of_directus_is_one_event_with_the_rights_that_it_changed() -> None:
    """The flow of docs/sources.md tells the last revisions of a person together, so most of them come again."""
    (opt_out,) = message("directus", UPDATE, ROW, ROW | {"do_not_email": True})["changes"]
    moved = ROW | {"do_not_email": True, "email": "new@example.org"}
    (address,) = message("directus", UPDATE, ROW | {"do_not_email": True}, moved)["changes"]
    first = understood("directus", {"changes": [opt_out]}).wishes
    both = understood(
        "directus", {"changes": [opt_out, address | {"revision": 813, "at": "2026-11-20T08:56:00Z"}]}
    ).wishes
    assert [(one.event, one.data) for one in both[:1]] == [(one.event, one.data) for one in first]
    assert [(one.data["right"], one.data["received_at"]) for one in both] == [
        ("opt_out", "2026-11-20T08:55:00Z"),
        ("rectification", "2026-11-20T08:56:00Z"),
    ]
    assert both[1].data["subject"] == {"id": "crm:4711", "email": "ada@example.org"}
    assert len({one.event for one in both}) == 2
    (gone,) = understood("directus", message("directus", DELETE, ROW, None)).wishes
    assert (gone.data["right"], gone.delete_shaped) == ("erasure", True)
    with pytest.raises(PayloadInvalid, match="lacks what tells"):
        understood("directus", {"changes": [{**opt_out, "revision": None}]})


def test_shopify_may_name_a_customer_by_the_address_alone() -> None:
    body: dict[str, Any] = {"shop_id": 1, "shop_domain": "shop.example.org", "orders_to_redact": []}
    (wish,) = understood("shopify", {**body, "customer": {"email": "ada@example.org", "phone": None}}, "w1").wishes
    assert (wish.data["right"], wish.data["subject"]) == ("erasure", {"email": "ada@example.org"})
    (wish,) = understood("shopify", {**body, "customer": {"id": 5, "email": None, "phone": None}}, "w1").wishes
    assert wish.data["subject"] == {"id": "crm:5"}
    asked = {**body, "customer": {"id": 5}, "data_request": {"id": 9}}
    del asked["orders_to_redact"]
    assert understood("shopify", asked, "w1").ignored == ("customers-data-request",)
    for nobody in ({"phone": "020 7946 0958"}, {"id": None, "email": None}, None):
        with pytest.raises(PayloadInvalid, match="matches no rule"):
            understood("shopify", {**body, "customer": nobody}, "w1")
    assert understood("shopify", {"shop_id": 1, "shop_domain": "shop.example.org"}, "w1").ignored == ("shop-redact",)
