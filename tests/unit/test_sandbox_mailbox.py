"""The mailbox speaks SMTP as a host does, and each recipient does with a mail what its rule says, no more."""

import json
import smtplib
from base64 import b64decode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from pydantic import ValidationError

from dpsync.sandbox.recipient import forms_of, is_near, links_of
from dpsync.sandbox.server import RunningSandbox, running_sandbox
from tests.sandbox_caller import Listener, listening

DESK = "desk@example.org"
SENDER = "bounce+7F3K2@example.org"
FORM = """<html><body><p>Reference</p>
<form method="get" action="/search"><input name="q"></form>
<form method="post">
<input type="hidden" name="csrf" value="t&amp;1">
<input type="radio" name="answer" value="done"><input type="radio" name="answer" value="received" checked>
<input type="text" name="name" value=""><textarea name="remark"></textarea>
<button type="submit" name="go" value="1">Send</button></form></body></html>"""
CONTACT = '<form method="post" action=""><input type="hidden" name="confirm" value="yes"><button>Yes</button></form>'


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


def mail(*links: str, attached: str = "") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "dpo@example.org", DESK, "[DPS-7F3K2] Erasure notice"
    message.set_content("Please answer here:\n" + "".join(f"<{link}>.\n" for link in links))
    if attached:
        message.add_attachment(json.dumps({"deep": [{"answer_url": attached}]}).encode(), "application", "json")
    return message.as_bytes()


def send(
    sandbox: RunningSandbox,
    raw: bytes,
    to: Sequence[str] = (DESK,),
    mail_options: Sequence[str] = (),
    rcpt_options: Sequence[str] = (),
) -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP(sandbox.smtp_host, sandbox.smtp_port, timeout=60) as smtp:
        return smtp.sendmail(SENDER, list(to), raw, list(mail_options), list(rcpt_options))


def fields(listener: Listener) -> list[dict[str, list[str]]]:
    return [parse_qs(heard.body.decode(), keep_blank_values=True) for heard in listener.posts()]


def test_the_host_offers_dsn_and_keeps_the_envelope_in_its_own_spelling(sandbox: RunningSandbox) -> None:
    with smtplib.SMTP(sandbox.smtp_host, sandbox.smtp_port, timeout=60) as smtp:
        smtp.ehlo()
        assert smtp.has_extn("dsn")
    options = ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{DESK}"]
    refused = send(sandbox, mail(), [DESK, "Other@example.org"], ["RET=HDRS", "ENVID=DPS-7f3K2"], options)
    (message,) = sandbox.messages()
    assert refused == {}
    assert (message.mail_from, message.recipients) == (SENDER, (DESK, "Other@example.org"))
    assert message.mail_options == ("RET=HDRS", "ENVID=DPS-7f3K2")
    assert message.rcpt_options == {DESK: tuple(options), "Other@example.org": tuple(options)}


def test_the_bytes_are_kept_as_they_were_sent(sandbox: RunningSandbox) -> None:
    raw = mail().replace(b"\n", b"\r\n")
    send(sandbox, raw)
    assert sandbox.messages(DESK.upper())[0].raw == raw
    assert sandbox.messages("nobody@example.org") == []


def test_an_unknown_user_bounces_with_550_5_1_1(sandbox: RunningSandbox) -> None:
    sandbox.rule(DESK, "bounce_5.1.1")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(sandbox, mail())
    assert refused.value.recipients[DESK] == (550, b"5.1.1 User unknown")
    assert list(send(sandbox, mail(), [DESK, "other@example.org"])) == [DESK]
    assert [message.recipients for message in sandbox.messages()] == [("other@example.org",)]


def test_later_refuses_with_451_as_often_as_it_was_told(sandbox: RunningSandbox) -> None:
    sandbox.rule(DESK, "later", times=1)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(sandbox, mail())
    assert refused.value.recipients[DESK][0] == 451
    assert send(sandbox, mail()) == {}


def test_a_slow_host_has_the_mail_long_before_it_says_so(sandbox: RunningSandbox) -> None:
    sandbox.rule(DESK, "slow", seconds=60)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, sandbox, mail())
        while not (taken := sandbox.messages()):
            assert not sending.done()
        assert not sending.done()
        while not sending.done():
            sandbox.release()
    assert (sending.result(), [message.recipients for message in taken]) == ({}, [(DESK,)])


def test_who_is_silent_opens_nothing(sandbox: RunningSandbox) -> None:
    with listening(FORM) as site:
        send(sandbox, mail(f"{site.url}/answers/t1"))
        assert (len(sandbox.messages(settled=True)), site.heard) == (1, [])


@pytest.mark.parametrize("word", ["done", "nothing_held", "partly", "refused", "wrong_recipient", "received"])
def test_an_answer_is_given_through_the_form_with_its_hidden_fields(sandbox: RunningSandbox, word: str) -> None:
    with listening(FORM) as site:
        sandbox.rule(DESK, "answer_by_link", answer=word, name="Bea Desk")
        send(sandbox, mail(f"{site.url}/answers/t1"))
        (message,) = sandbox.messages(settled=True)
        assert [(deed.method, deed.path, deed.status) for deed in message.deeds] == [
            ("GET", "/answers/t1", 200),
            ("POST", "/answers/t1", 200),
        ]
        (sent,) = fields(site)
    assert (sent["csrf"], sent["answer"], sent["name"]) == (["t&1"], [word], ["Bea Desk"])
    assert bool(sent["remark"][0]) == (word in {"partly", "refused"})
    assert "go" not in sent


def test_the_link_is_found_in_the_attachment_and_followed_once(sandbox: RunningSandbox) -> None:
    with listening(FORM) as site:
        sandbox.rule(None, "answer_by_link", remark="Backups expire in May.")
        send(sandbox, mail(f"{site.url}/answers/t1", attached=f"{site.url}/answers/t1"))
        send(sandbox, mail(attached=f"{site.url}/answers/t2"))
        sandbox.messages(settled=True)
        assert sorted(heard.path for heard in site.posts()) == ["/answers/t1", "/answers/t2"]
        assert {sent["remark"][0] for sent in fields(site)} == {"Backups expire in May."}


def test_a_contact_is_confirmed_only_by_who_was_told_to(sandbox: RunningSandbox) -> None:
    with listening(CONTACT) as site:
        sandbox.rule(DESK, "answer_by_link")
        send(sandbox, mail(f"{site.url}/contacts/c1"))
        sandbox.messages(settled=True)
        assert site.heard == []
        sandbox.rule(DESK, "confirm_contact")
        send(sandbox, mail(f"{site.url}/contacts/c1", f"{site.url}/answers/t1"))
        sandbox.messages(settled=True)
        assert [heard.path for heard in site.heard] == ["/contacts/c1", "/contacts/c1"]
        assert fields(site) == [{"confirm": ["yes"]}]


def test_a_scanner_opens_every_link_and_sends_nothing(sandbox: RunningSandbox) -> None:
    with listening(FORM) as site:
        sandbox.rule(DESK, "scanner_prefetch")
        send(sandbox, mail(f"{site.url}/answers/t1", f"{site.url}/contacts/c1", f"{site.url}/about"))
        sandbox.messages(settled=True)
        paths = ("/answers/t1", "/contacts/c1", "/about")
        assert [(heard.method, heard.path) for heard in site.heard] == [
            (method, path) for path in paths for method in ("HEAD", "GET")
        ]


def test_done_but_not_done_answers_done_whatever_else_was_set(sandbox: RunningSandbox) -> None:
    with listening(FORM) as site:
        sandbox.rule(DESK, "done_but_not_done", answer="refused")
        send(sandbox, mail(f"{site.url}/answers/t1"))
        sandbox.messages(settled=True)
        assert fields(site)[0]["answer"] == ["done"]
    assert sandbox.effects() == 0


# --- what comes back by mail

ASKED = (["RET=HDRS", "ENVID=tag+2B1"], ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{DESK}"])


def returned(sandbox: RunningSandbox, folder: Path) -> list[EmailMessage]:
    """What lies in the Maildir once everybody has acted, in order."""
    sandbox.messages(settled=True)
    raws = [path.read_bytes() for path in sorted(folder.glob("new/*"))]
    return [message_from_bytes(raw, policy=policy.default) for raw in raws]


def fields_of(report: EmailMessage) -> list[dict[str, str]]:
    """The fields of the message, then those of each recipient."""
    assert (report.get_content_type(), report.get_param("report-type")) == ("multipart/report", "delivery-status")
    _, status, head = report.iter_parts()
    assert [status.get_content_type(), head.get_content_type()] == ["message/delivery-status", "text/rfc822-headers"]
    assert b"Subject: [DPS-7F3K2]" in head.get_payload(decode=True)
    return [dict(block.items()) for block in status.iter_parts()]


@pytest.mark.parametrize(
    ("behaviour", "actions"),
    [
        ("delivered", [("delivered", "2.0.0")]),
        ("relayed", [("relayed", "2.0.0")]),
        ("expanded", [("expanded", "2.0.0")]),
        ("bounce_later", [("failed", "5.1.1")]),
        ("delay_then_deliver", [("delayed", "4.4.1"), ("delivered", "2.0.0")]),
    ],
)
def test_a_report_comes_to_the_envelopes_sender_with_the_envelope_id(
    sandbox: RunningSandbox, tmp_path: Path, behaviour: str, actions: list[tuple[str, str]]
) -> None:
    sandbox.seed({"mail": {"directory": str(tmp_path / "mail"), "rules": {DESK: {"behaviours": [behaviour]}}}})
    send(sandbox, mail(), [DESK], *ASKED)
    reports = returned(sandbox, tmp_path / "mail")
    assert [report["To"] for report in reports] == [SENDER] * len(actions)
    for report, (action, status) in zip(reports, actions, strict=True):
        whole, one = fields_of(report)
        assert whole == {"Original-Envelope-Id": "tag+1", "Reporting-MTA": "dns; sandbox.example.org"}
        assert (one["Action"], one["Status"], one["Original-Recipient"]) == (action, status, f"rfc822;{DESK}")
    assert not list((tmp_path / "mail" / "tmp").iterdir())


@pytest.mark.parametrize(
    ("notify", "actions"), [([], ["failed"]), (["NOTIFY=NEVER"], []), (["NOTIFY=DELAY"], ["delayed"])]
)
def test_nobody_gets_a_report_that_was_not_asked_for(
    sandbox: RunningSandbox, tmp_path: Path, notify: list[str], actions: list[str]
) -> None:
    everything = {"behaviours": ["bounce_later", "relayed", "delay_then_deliver"]}
    sandbox.seed({"mail": {"directory": str(tmp_path), "rules": {DESK: everything}}})
    send(sandbox, mail(), [DESK], [], notify)
    assert [fields_of(report)[1]["Action"] for report in returned(sandbox, tmp_path)] == actions


def test_what_delays_a_letter_ends_when_it_is_told_to(sandbox: RunningSandbox, tmp_path: Path) -> None:
    slow = {"behaviours": ["delay_then_deliver"], "seconds": 60}
    sandbox.seed({"mail": {"directory": str(tmp_path), "rules": {DESK: slow}}})
    send(sandbox, mail(), [DESK], *ASKED)
    for _ in range(200):
        if len(list(tmp_path.glob("new/*"))) == 2:
            break
        sandbox.release()
    assert [fields_of(one)[1]["Action"] for one in returned(sandbox, tmp_path)] == ["delayed", "delivered"]


def test_an_automatic_reply_says_so_and_that_somebody_is_away(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.seed({"mail": {"directory": str(tmp_path), "default": {"behaviours": ["out_of_office"]}}})
    send(sandbox, b"Message-ID: <1@example.org>\n" + mail())
    (away,) = returned(sandbox, tmp_path)
    assert (away["To"], away["Auto-Submitted"], away["In-Reply-To"]) == (SENDER, "auto-replied", "<1@example.org>")
    assert "I am away" in away.get_content()


def test_people_reply_to_the_tagged_address_or_with_a_wrong_reference(sandbox: RunningSandbox, tmp_path: Path) -> None:
    rule = {"behaviours": ["ack_reply", "reply_wrong_ref"], "remark": "Done."}
    sandbox.seed({"mail": {"directory": str(tmp_path), "default": rule}})
    send(sandbox, b"Message-ID: <1@example.org>\nReply-To: dpo+tag@example.org\n" + mail())
    reply, wrong = returned(sandbox, tmp_path)
    assert (reply["To"], reply["References"], reply["Auto-Submitted"]) == (
        "dpo+tag@example.org",
        "<1@example.org>",
        None,
    )
    assert (wrong["To"], wrong["References"], "DPS-7F3K2" in wrong["Subject"]) == ("dpo@example.org", None, False)
    assert [one.get_content() for one in (reply, wrong)] == ["Done.\n", "Done.\n"]
    assert [one["From"] for one in (reply, wrong)] == [DESK, DESK]


def test_out_of_office_is_counted_and_opens_nothing(sandbox: RunningSandbox) -> None:
    with listening(FORM) as site:
        sandbox.rule(DESK, "out_of_office")
        send(sandbox, mail(f"{site.url}/answers/t1"))
        sandbox.messages(settled=True)
        assert site.heard == []
    assert control(sandbox)["counters"] == {"accepted": 1, "out_of_office": 1}


def control(sandbox: RunningSandbox) -> dict[str, Any]:
    shown: dict[str, Any] = requests.get(
        sandbox.control_url + "/mail/messages", params={"settled": "yes"}, timeout=60
    ).json()
    return shown


def test_a_page_without_the_form_gets_no_answer_and_a_failure_is_counted(sandbox: RunningSandbox) -> None:
    sandbox.rule(None, "answer_by_link", "confirm_contact")
    with listening("<p>gone</p>", get_status=404) as site:
        send(sandbox, mail(f"{site.url}/answers/t1"))
        sandbox.messages(settled=True)
        assert site.posts() == []
        gone = site.url
    send(sandbox, mail(f"{gone}/answers/t2"))
    assert control(sandbox)["counters"] == {"accepted": 2, "GET failed": 2}


def test_no_recipient_leaves_the_machine(sandbox: RunningSandbox) -> None:
    sandbox.rule(None, "scanner_prefetch", "answer_by_link")
    send(sandbox, mail("http://vendor.invalid/answers/t1", "http://192.0.2.1/answers/t1"))
    assert control(sandbox)["counters"] == {"accepted": 1, "not_followed": 2}
    assert [is_near(link) for link in ("http://127.0.0.1:9/x", "http://[::1]/x", "http://localhost/x")] == [True] * 3


def test_messages_and_rules_can_be_read_and_set_over_http(sandbox: RunningSandbox) -> None:
    rules = {"default": {"behaviours": ["out_of_office"]}, "rules": {DESK: {"behaviours": ["bounce_5.1.1"]}}}
    url = sandbox.control_url + "/mail/rules"
    assert requests.post(url, json=rules, timeout=60).status_code == 200
    shown = requests.get(url, timeout=60).json()
    assert (shown["default"]["behaviours"], list(shown["rules"])) == (["out_of_office"], [DESK])
    assert requests.post(url, json={"rules": {DESK: {"behaviours": ["explode"]}}}, timeout=60).status_code == 422
    raw = mail().replace(b"\n", b"\r\n")
    send(sandbox, raw, ["other@example.org"])
    (message,) = control(sandbox)["messages"]
    envelope = message["envelope"]
    assert (envelope["mail_from"], envelope["rcpt_to"]) == (SENDER, ["other@example.org"])
    assert b64decode(message["raw"]) == raw
    assert ["Subject", "[DPS-7F3K2] Erasure notice"] in message["headers"]


def test_a_rule_that_nobody_knows_is_refused(sandbox: RunningSandbox) -> None:
    with pytest.raises(ValidationError):
        sandbox.rule(DESK, "answer_by_dove")


def test_links_end_where_the_punctuation_begins() -> None:
    raw = mail("http://127.0.0.1/answers/a-b_c", attached="http://127.0.0.1/answers/d?e=1&f=2")
    assert links_of(raw) == ["http://127.0.0.1/answers/a-b_c", "http://127.0.0.1/answers/d?e=1&f=2"]


def test_a_form_is_read_as_a_browser_would_send_it_untouched() -> None:
    search, answer = forms_of(FORM)
    assert (search.method, search.action) == ("get", "/search")
    assert answer.fields == {"csrf": "t&1", "answer": "received", "name": "", "remark": ""}
