"""Only who knows a secret is heard, and who does not learns nothing."""

import base64
import hmac
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from dpsync.errors import ConfigurationError, PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.signature import (
    PREFIX,
    PUBLISHED,
    PUBLISHED_KEYS,
    UNFIT,
    Verifier,
    checked_by,
    doubts,
    is_placeholder,
    sign,
    signed_headers,
)
from dpsync.signing_keys import is_signed, public_of, published, seed_of
from tests.faults.counting import Counted

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(40, 72))).decode()
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
OTHER = "whsec_" + base64.b64encode(bytes(range(200, 232))).decode()
BODY = '{"type": "data_subject.request", "name": "Zoë"}'.encode()


def headers(**changed: str) -> dict[str, str]:
    signed = signed_headers(SECRET, "evt_1", NOW, BODY)
    return signed | {f"webhook-{name}": value for name, value in changed.items()}


def refused(given: object, body: bytes = BODY, now: datetime = NOW) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        Verifier([SECRET, OLD]).verify(given, body, now)  # type: ignore[arg-type]  # because hostile types are the point
    assert str(caught.value) == "the webhook is not signed"


def test_the_public_vector_of_the_specification_verifies() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    at = datetime.fromtimestamp(1614265330, UTC)
    event = Verifier([secret]).verify(given, b'{"test": 2432232314}', at)
    assert (event.id, event.timestamp) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", at)
    assert sign(secret, event.id, 1614265330, b'{"test": 2432232314}') == given["webhook-signature"]


def test_what_the_public_library_signs_we_accept_and_the_other_way_round() -> None:
    now = datetime.now(UTC)  # the library reads the clock itself
    stamp = str(int(now.timestamp()))
    theirs = Webhook(SECRET).sign("evt_1", now, BODY.decode())
    Verifier([SECRET]).verify(headers(timestamp=stamp, signature=theirs), BODY, now)
    Webhook(SECRET).verify(BODY, signed_headers(SECRET, "evt_1", now, BODY), json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY, signed_headers(SECRET, "evt_1", now, BODY), json_parse=False)


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_during_a_rotation_both_secrets_are_valid(secret: str) -> None:
    Verifier([SECRET, OLD]).verify(signed_headers(secret, "evt_1", NOW, BODY), BODY, NOW)


def test_a_header_signed_with_both_secrets_verifies_under_either() -> None:
    both = f"v1a,AAAA v1,AAAA {sign(SECRET, 'evt_1', int(NOW.timestamp()), BODY)}"
    both += " " + sign(OLD, "evt_1", int(NOW.timestamp()), BODY)
    for secret in (SECRET, OLD):
        Verifier([secret]).verify(headers(signature=both), BODY, NOW)


def test_raw_pairs_in_any_case_are_read() -> None:
    raw = [(name.title().encode(), value.encode()) for name, value in headers().items()]
    assert Verifier([SECRET]).verify(raw, BODY, NOW).id == "evt_1"


@pytest.mark.parametrize("seconds", [-300, 300])
def test_five_minutes_either_way_are_in_time(seconds: int) -> None:
    Verifier([SECRET]).verify(headers(), BODY, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301, -(10**8), 10**8])
def test_beyond_five_minutes_either_way_is_refused(seconds: int) -> None:
    refused(headers(), now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("body", [BODY + b" ", b"", BODY[:-1], b"\xff\xfe"])
def test_another_body_is_refused(body: bytes) -> None:
    refused(headers(), body)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "evt_2"},
        {"id": ""},
        {"id": "e" * 129},
        {"id": "evt.1"},
        {"id": "evt\r\n1"},
        {"id": "évt"},
        {"timestamp": "01795165200"},
        {"timestamp": "+1795165200"},
        {"timestamp": " 1795165200"},
        {"timestamp": "1795165200.0"},
        {"timestamp": "１７９５１６５２００"},
        {"timestamp": "9" * 5000},
        {"timestamp": "0"},
        {"signature": ""},
        {"signature": "v1,"},
        {"signature": "v1,not base64"},
        {"signature": "v1,\udcff"},
    ],
)
def test_a_malformed_header_is_refused_like_a_forged_one(changed: dict[str, str]) -> None:
    refused(headers(**changed))


def test_a_right_signature_under_another_version_does_not_count() -> None:
    good = headers()["webhook-signature"]
    for version in ("v1a,", "v2,", "V1,", ",", ""):
        refused(headers(signature=version + good.removeprefix("v1,")))


def test_another_spelling_of_the_same_digest_is_refused() -> None:
    good = headers()["webhook-signature"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(good[-2]) ^ 1]
    assert base64.b64decode(good[3:-2] + other + "=") == base64.b64decode(good[3:])
    refused(headers(signature=good[:-2] + other + "="))


def test_a_hundred_signatures_are_refused_even_with_the_right_one_among_them() -> None:
    good = headers()["webhook-signature"]
    refused(headers(signature=" ".join(["v1," + "A" * 43 + "="] * 99 + [good])))
    refused(headers(signature=" ".join(["v1,A"] * 16 + [good])))
    Verifier([SECRET]).verify(headers(signature=" ".join(["v1,A"] * 15 + [good])), BODY, NOW)


@pytest.mark.parametrize("event_id", ["e", "1", "e" * 128, "a.b", "a b", ".a", "-_:+/=.-", "a. -=b", "evt_2f3c.4 5"])
def test_an_id_that_the_standard_allows_is_taken(event_id: str) -> None:
    signed = signed_headers(SECRET, event_id, NOW, BODY)
    assert Verifier([OLD, SECRET]).verify(signed, BODY, NOW).id == event_id


@pytest.mark.parametrize("event_id", ["e" * 129, " e", "e ", " ", "a@b", "a,b", "a~b", "!" * 2048, "evt-\u00e9"])
def test_an_id_that_is_signed_and_cannot_be_kept_is_named_and_nothing_else(event_id: str) -> None:
    signed = signed_headers(SECRET, event_id, NOW, BODY)
    with pytest.raises(PayloadInvalid) as caught:
        Verifier([SECRET]).verify(signed, BODY, NOW)
    assert caught.value.field == "webhook-id"
    refused(signed | {"webhook-signature": headers()["webhook-signature"]})
    with pytest.raises(WebhookStale, match=r"^the webhook is not signed$"):
        Verifier([SECRET]).verify(signed, BODY, NOW + timedelta(seconds=301))


def test_an_id_in_no_encoding_of_ours_is_named_like_any_other_that_cannot_be_kept() -> None:
    name, stamp = b"evt-\xe9", str(int(NOW.timestamp())).encode()
    key = base64.b64decode(SECRET.removeprefix(PREFIX))
    mac = base64.b64encode(hmac.digest(key, b"%b.%b.%b" % (name, stamp, BODY), "sha256"))
    signed = {b"webhook-id": name, b"webhook-timestamp": stamp, b"webhook-signature": b"v1," + mac}
    with pytest.raises(PayloadInvalid) as caught:
        Verifier([SECRET]).verify(list(signed.items()), BODY, NOW)
    assert caught.value.field == "webhook-id"


@pytest.mark.parametrize("event_id", ["!" * 2049, "", "a\x00b", "a\x7fb"])
def test_an_id_that_no_sender_sends_is_refused_like_a_forged_one(event_id: str) -> None:
    refused(signed_headers(SECRET, event_id, NOW, BODY))


def test_signatures_of_any_length_up_to_two_thousand_are_looked_at() -> None:
    good = headers()["webhook-signature"]
    longest = "v1," + "A" * (2048 - len(good) - 4) + " " + good
    assert len(longest) == 2048
    Verifier([SECRET]).verify(headers(signature=longest), BODY, NOW)
    refused(headers(signature="v1,A" + longest[3:]))


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_stands_exactly_once(name: str) -> None:
    pairs = list(headers().items())
    refused([pair for pair in pairs if pair[0] != name])
    refused([*pairs, (name.upper(), headers()[name])])


@pytest.mark.fault(28)
@pytest.mark.slow
def test_a_hundred_thousand_malformed_webhooks_get_the_same_refusal(counted: Counted) -> None:
    dice = random.Random(20261120)
    verifier = Verifier([SECRET, OLD])
    good = list(headers().items())
    pieces = ["", " ", "v1,", "v1a,", "\x00", "\udc80", "ü", "=", ",", "9" * 30, "-1", "whsec_", good[2][1], "\r\n"]
    answers: Counter[str] = Counter()
    for _ in range(100_000):
        pairs = list(good)
        place = dice.randrange(3)
        name, value = pairs[place]
        cut = dice.randrange(len(value) + 1)
        spoilt = value[:cut] + dice.choice(pieces) + value[cut + dice.randrange(3) :]
        if dice.random() < 0.1:
            spoilt = "".join(chr(dice.randrange(0x110000)) for _ in range(dice.randrange(60)))
        pairs[place] = (name, spoilt)
        # Where the right entry survived among rubbish, or nothing changed, it is the body that was forged.
        body = dice.randbytes(20) if value in spoilt.split(" ") else BODY
        try:
            verifier.verify(pairs, body, NOW)
        except SignatureInvalid as refusal:
            answers[str(refusal)] += 1
        else:
            answers["accepted"] += 1
    refused_alike = answers.pop("the webhook is not signed")
    counted(28, accepted=answers.pop("accepted", 0), other_answers=sum(answers.values()))
    assert refused_alike == 100_000


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_%%%%",
        "whsec_" + "ü" * 40,
        b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b"short",
    ],
)
def test_a_weak_or_misspelt_secret_is_a_fault_that_does_not_repeat_it(secret: str | bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Verifier([SECRET, secret])
    assert [fault.key for fault in caught.value.faults] == ["intake.secrets[1]"]
    shown = secret if isinstance(secret, str) else secret.decode()
    assert not shown.removeprefix("whsec_") or shown.removeprefix("whsec_") not in str(caught.value)


def test_without_any_secret_nothing_starts() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Verifier([])
    assert [fault.key for fault in caught.value.faults] == ["intake.secrets"]


def test_raw_bytes_and_their_text_are_the_same_secret() -> None:
    assert sign(bytes(range(32)), "evt_1", 1, BODY) == sign(SECRET, "evt_1", 1, BODY)


def test_a_random_secret_is_never_called_a_placeholder() -> None:
    drawn = random.Random(1)
    secrets = {number: PREFIX + base64.b64encode(drawn.randbytes(24)).decode() for number in range(2_000)}
    assert doubts(secrets) == []


@pytest.mark.parametrize("count", [24, 25, 26, 32, 64])
def test_a_secret_from_the_shortest_to_the_longest_length_is_taken_with_and_without_its_padding(count: int) -> None:
    secret = PREFIX + base64.b64encode(bytes(count)).decode()
    for spelled in (secret, secret.rstrip("="), bytes(count)):
        Verifier([spelled]).verify(signed_headers(secret, "evt_1", NOW, BODY), BODY, NOW)


@pytest.mark.parametrize("count", [23, 65])
def test_no_secret_is_used_to_sign_that_would_not_be_taken(count: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sign(bytes(count), "evt_1", 1, BODY)
    assert [fault.key for fault in caught.value.faults] == ["intake.secrets"]
    assert "24 to 64 bytes" in str(caught.value)


def spelled(text: str) -> str:
    """A well-formed secret whose bytes are a text."""
    return PREFIX + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ([SECRET, OTHER], []),
        ([SECRET, SECRET], [(1, "is the same secret as intake.secrets[0]")]),
        (
            [SECRET, OTHER, SECRET, OTHER],
            [(2, "same secret as intake.secrets[0]"), (3, "same secret as intake.secrets[1]")],
        ),
        ([SECRET, SECRET, SECRET], [(1, "intake.secrets[0]"), (2, "intake.secrets[0]")]),
        ([PREFIX + PUBLISHED, SECRET], [(0, "a placeholder still stands there, which anybody can guess")]),
        ([SECRET, PREFIX + PUBLISHED], [(1, "anybody can guess")]),
        ([spelled("replace-this-with-a-real-one")], [(0, "anybody can guess")]),
        ([spelled("CHANGE ME CHANGE ME CHANGE ME")], [(0, "anybody can guess")]),
        ([spelled("k3Jq8wZr2TnVbX5mLpYdHs7G")], []),
        ([spelled("k3Jq8wZr2TnVbX5mLpYdHs7 <ü>")], []),
        (["whsec_<fill in>"], [(0, "a placeholder still stands there")]),
        (["<your secret>"], [(0, "a placeholder still stands there")]),
        (["whsec_AAAA"], [(0, "must hold 24 to 64 bytes")]),
        (["AAAA", SECRET, "whsec_!"], [(0, "does not begin with whsec_"), (2, "is not base64 after whsec_")]),
        (["whsec_AAAA", "whsec_AAAA"], [(0, "must hold"), (1, "must hold")]),
        ([PREFIX + PUBLISHED, PREFIX + PUBLISHED], [(0, "guess"), (1, "guess"), (1, "same secret")]),
    ],
)
def test_each_secret_that_does_not_protect_is_named_with_its_place(
    secrets: list[str], said: list[tuple[int, str]]
) -> None:
    found = doubts(dict(enumerate(secrets)))
    assert [(fault.key, fault.code) for fault in found] == [(f"intake.secrets[{number}]", UNFIT) for number, _ in said]
    assert all(text in fault.problem for fault, (_, text) in zip(found, said, strict=True))


def test_a_word_of_an_example_in_the_place_of_a_secret_is_known() -> None:
    assert is_placeholder("REPLACE-ME-with-your-own")
    assert not is_placeholder(base64.b64encode(bytes(range(32))).decode())


# --- Ed25519 keys

SEED = bytes(range(32))
WHSK = "whsk_" + base64.b64encode(SEED).decode()
WHPK = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="  # of that seed, by RFC 8032
WITH_ITS_PUBLIC = "whsk_" + base64.b64encode(SEED + base64.b64decode(WHPK[5:])).decode()
OTHER_WHSK = "whsk_" + base64.b64encode(bytes(range(1, 33))).decode()
PUBLIC_KEY = "is a public key, with which nobody can sign: here belongs the private one (whsk_)"
PRIVATE_KEY = "is a private key, which nobody but its owner may know: here belongs the public one (whpk_)"


def by_key(key: str = WHSK, **changed: str) -> dict[str, str]:
    signed = signed_headers(key, "evt_1", NOW, BODY)
    return signed | {f"webhook-{name}": value for name, value in changed.items()}


def not_by_key(given: dict[str, str], body: bytes = BODY, now: datetime = NOW) -> SignatureInvalid:
    with pytest.raises(SignatureInvalid, match=r"^the webhook is not signed$") as caught:
        Verifier([WHPK], keys=True).verify(given, body, now)
    return caught.value


def test_the_vector_of_the_public_library_for_go_verifies() -> None:
    """From libraries/go/webhook_asymmetric_test.go; its key is one that nobody may use."""
    key = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
    expected = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
    body, at = b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    assert sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected
    given = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
    assert Verifier([checked_by(key)], keys=True).verify(given, body, at).id == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_what_a_private_key_signs_its_public_key_verifies_and_nothing_else() -> None:
    event = Verifier([WHPK], keys=True).verify(by_key(), BODY, NOW)
    assert (event.id, event.timestamp) == ("evt_1", NOW)
    assert by_key(WITH_ITS_PUBLIC) == by_key()
    not_by_key(by_key(OTHER_WHSK))
    not_by_key(headers())
    not_by_key(by_key(id="evt_2"))
    not_by_key(by_key(timestamp=str(int(NOW.timestamp()) + 1)))
    for body in (BODY + b" ", BODY[:-1], b""):
        not_by_key(by_key(), body)
    for seconds in (-301, 301):
        assert isinstance(not_by_key(by_key(), now=NOW + timedelta(seconds=seconds)), WebhookStale)
    for seconds in (-300, 300):
        Verifier([WHPK], keys=True).verify(by_key(), BODY, NOW + timedelta(seconds=seconds))


def test_a_signature_by_key_has_one_spelling_and_one_version() -> None:
    good = by_key()["webhook-signature"]
    raw = base64.b64decode(good.removeprefix("v1a,"))
    bad = [good[:-1], good + "=", good[:-2], good.replace("v1a,", "v1,"), good.replace("v1a,", ""), "v1a,", good + "A"]
    bad += ["v1a," + base64.b64encode(one).decode() for one in (raw[:-1], raw + b"0", b"", bytes(64))]
    last = good[-3]
    bad.append(good[:-3] + chr(ord(last) + 1) + "==")  # the same bytes, where the last digit holds bits of none
    bad += ["v1a,ü" + good[5:], "v1a, " + good[4:], "v1a,v1a," + good[4:]]
    for one in bad:
        assert not is_signed(public_of(WHPK), one.encode(), b"evt_1.1795165200." + BODY), one
    assert is_signed(public_of(WHPK), good.encode(), b"evt_1.1795165200." + BODY)


def test_secrets_and_keys_stand_beside_each_other_while_one_takes_the_others_place() -> None:
    both = " ".join((headers()["webhook-signature"], by_key()["webhook-signature"]))
    for secrets in ([SECRET], [WHPK], [SECRET, WHPK], [OLD, WHPK], [WHPK, SECRET], [checked_by(OTHER_WHSK), WHPK]):
        Verifier(secrets, keys=True).verify(headers(signature=both), BODY, NOW)
    fifteen = " ".join(["v1a,A"] * 15)
    Verifier([WHPK], keys=True).verify(by_key(signature=f"{fifteen} {by_key()['webhook-signature']}"), BODY, NOW)
    not_by_key(by_key(signature=f"v1a,A {fifteen} {by_key()['webhook-signature']}"))


def test_a_key_stands_only_where_it_belongs() -> None:
    for secrets, keys, problem in (
        ([WHPK], False, "does not begin with whsec_"),
        ([WHSK], False, "does not begin with whsec_"),
        ([WHSK], True, PRIVATE_KEY),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Verifier(secrets, keys=keys)
        assert [(one.key, one.problem) for one in caught.value.faults] == [("intake.secrets[0]", problem)]
    with pytest.raises(ConfigurationError) as caught:
        sign(WHPK, "evt_1", 1, BODY)
    assert [one.problem for one in caught.value.faults] == [PUBLIC_KEY]


@pytest.mark.parametrize(
    ("key", "also", "problem"),
    [
        (WHPK, "whsk_", PUBLIC_KEY),
        (WHSK, "whpk_", PRIVATE_KEY),
        (WHSK, "", "does not begin with whsec_"),
        ("whsk_%%", "whsk_", "is not base64 after whsk_"),
        ("whpk_%%", "whpk_", "is not base64 after whpk_"),
        ("whsk_" + WHPK[5:-1], "whsk_", "is not base64 after whsk_"),
        (WHPK + "QUJD", "whpk_", "is not base64 after whpk_"),
        *(
            (
                "whsk_" + base64.b64encode(raw).decode(),
                "whsk_",
                "must hold 32 bytes, or these and the public key that belongs to them",
            )
            for raw in (b"", SEED[:-1], SEED + b"0", SEED + bytes(32), SEED + base64.b64decode(WHPK[5:]) + b"0")
        ),
        *(
            ("whpk_" + base64.b64encode(raw).decode(), "whpk_", "must hold 32 bytes")
            for raw in (b"", bytes(31), bytes(33), bytes(64))
        ),
    ],
)
def test_a_misspelt_key_is_a_fault_that_does_not_repeat_it(key: str, also: str, problem: str) -> None:
    found = doubts({3: key}, also)
    assert [(one.key, one.problem, one.code) for one in found] == [("intake.secrets[3]", problem, UNFIT)]


def test_a_key_that_is_published_or_given_twice_is_no_key() -> None:
    examples = (
        "whsk_V0VCSE9PS0FTWU1NRVRSSUNURVNUUFJJVkFURUtFWTE=",
        "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
    )
    assert {checked_by(one) for one in examples} == PUBLISHED_KEYS
    for one, also in (*((key, "whsk_") for key in examples), *((key, "whpk_") for key in PUBLISHED_KEYS)):
        (found,) = doubts({0: one}, also)
        assert found.problem == "a placeholder still stands there, which anybody can guess"
    for pair, also in (((WHSK, WITH_ITS_PUBLIC), "whsk_"), ((WHPK, WHPK), "whpk_")):
        (found,) = doubts(dict(enumerate(pair)), also)
        assert (found.key, found.problem) == ("intake.secrets[1]", "is the same secret as intake.secrets[0]")
    assert doubts({0: WHSK, 1: OTHER, 2: OTHER_WHSK}, "whsk_") == doubts({0: WHPK, 1: OTHER}, "whpk_") == []


def test_who_checks_is_given_the_public_key_of_a_private_one_and_a_secret_as_it_is() -> None:
    assert [checked_by(one) for one in (WHSK, WITH_ITS_PUBLIC, SECRET, WHPK)] == [WHPK, WHPK, SECRET, WHPK]
    assert (seed_of(WHSK), published(SEED), public_of(WHPK)) == (SEED, WHPK, base64.b64decode(WHPK[5:]))
