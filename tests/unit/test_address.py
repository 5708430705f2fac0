"""What is an address, which spellings are one mailbox, and under which it is looked for."""

import sys
import unicodedata

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.address import (
    NotAnAddress,
    folded,
    in_a_labels,
    in_u_labels,
    mailbox,
    normalised,
    older_spellings,
    spellings,
)
from dpsync.ledger.verify_receipt import one_form
from tests.addresses import BLANK, NONE, ODD

NFD = "ada@bu\u0308cher.example"
ONE_MAILBOX = (
    "ada@bücher.example",
    "ada@xn--bcher-kva.example",
    NFD,
    "ADA@BÜCHER.EXAMPLE",
    "Ada@BU\u0308CHER.example",
    "ada@XN--BCHER-KVA.Example",
    "ada@ｂüｃｈｅｒ.example",
    "ada@bücher。example",
    "ada@bücher．example",
    "\u3000ada@bücher.example\u00a0\n",
)


@pytest.mark.parametrize("text", NONE, ids=ascii)
def test_text_around_an_address_or_instead_of_one_is_refused(text: str) -> None:
    with pytest.raises(NotAnAddress) as caught:
        mailbox(text)
    assert not text.strip() or text.strip() not in str(caught.value)


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_what_vendors_hold_is_an_address_however_odd_and_stays_as_it_came(text: str) -> None:
    for around in BLANK:
        assert mailbox(around.format(text)) == text
    assert text in spellings(text)


def test_with_and_without_needless_quotation_marks_is_one_mailbox() -> None:
    assert normalised('"Ha"@example.org') == normalised("ha@example.org") == "ha@example.org"
    assert spellings('"Ha"@example.org') == ('"Ha"@example.org', "Ha@example.org", "ha@example.org")
    assert '"ha"@bücher.example' in spellings('"ha"@bücher.example')
    assert "ha@xn--bcher-kva.example" in spellings('"ha"@bücher.example')
    assert normalised('"ada l"@example.org') == '"ada l"@example.org'


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_no_spelling_of_an_address_is_one_that_is_refused(text: str) -> None:
    for spelling in (normalised(text), *spellings(text)):
        assert mailbox(spelling) == spelling


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ªda", "ada"),
        ("ſam", "sam"),
        ("ŉa", "ʼna"),
        ("ﬁa", "fia"),
        ("ａｄａ", "ada"),
        ("Ａda", "Ada"),
        ("ada²", "ada2"),
    ],
)
def test_what_only_compatibility_makes_alike_before_the_at_sign_is_two_mailboxes(one: str, other: str) -> None:
    for domain in ("example.org", "bücher.example", "ｂücher.example"):
        this, that = f"{one}@{domain}", f"{other}@{domain}"
        assert normalised(this) != normalised(that)
        assert not {normalised(form) for form in spellings(this)} & {normalised(form) for form in spellings(that)}
        assert not set(spellings(this)) & set(spellings(that))


def test_a_name_in_another_normal_form_is_one_mailbox() -> None:
    assert normalised("zoe\u0308@example.org") == normalised("ZOË@example.org") == "zoë@example.org"


@pytest.mark.parametrize("text", ONE_MAILBOX, ids=ascii)
def test_spellings_of_one_mailbox_have_one_form_and_each_asks_for_the_others(text: str) -> None:
    assert mailbox(text) == text.strip()
    assert normalised(text) == "ada@xn--bcher-kva.example"
    assert {"ada@bücher.example", "ada@xn--bcher-kva.example", NFD} <= set(spellings(text))
    assert spellings(text)[0] == text.strip()
    assert len(spellings(text)) <= 10


def test_an_address_that_has_one_spelling_is_asked_for_once() -> None:
    assert spellings("ada@example.org") == ("ada@example.org",)
    assert spellings("Ada@Example.org") == ("Ada@Example.org", "ada@example.org")


def test_a_name_before_the_at_sign_is_asked_for_in_both_normal_forms() -> None:
    assert set(spellings("zoë@example.org")) == {"zoë@example.org", "zoe\u0308@example.org"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("ada@straße.example", "ada@strasse.example"), ("ada@βόλος.example", "ada@βόλοσ.example")],
)
def test_what_idna_2008_tells_apart_is_two_mailboxes(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)
    assert not set(spellings(one)) & set(spellings(other))


def test_what_older_software_makes_of_a_domain_is_known_and_kept_apart() -> None:
    assert older_spellings("Ada@STRAẞE.example") == ("ada@strasse.example",)
    assert older_spellings("ada@xn--strae-oqa.example") == ("ada@strasse.example",)
    assert "ada@βόλοσ.example" in older_spellings("ada@βόλος.example")
    assert older_spellings("ada@strasse.example") == older_spellings("ada@bücher.example") == ()
    assert older_spellings("straße@example.org") == ()


def test_a_capital_sharp_s_and_sigma_are_what_idna_makes_of_them() -> None:
    assert normalised("ada@STRAẞE.example") == normalised("ada@xn--strae-oqa.example")
    assert normalised("ada@ΒΌΛΟΣ.example") == normalised("ada@βόλοσ.example")


def test_what_only_looks_like_an_a_label_stays_what_it_is() -> None:
    assert in_u_labels("ada@xn--example-.org") == "ada@xn--example-.org"
    assert normalised("ada@xn--example-.org") != normalised("ada@example.org")


def test_people_read_letters_and_envelopes_carry_ascii() -> None:
    assert in_u_labels("Ada@XN--BCHER-KVA.example") == "Ada@bücher.example"
    assert in_a_labels("Ada@Bücher.example") == "Ada@xn--bcher-kva.example"
    assert in_a_labels("Ada@Example.org") == "Ada@Example.org"


@given(st.text())
def test_the_one_form_of_the_one_form_is_itself(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert normalised(normalised(text)) == normalised(text)
    assert normalised(normalised(f"{text}@{text}")) == normalised(f"{text}@{text}")


FULL_STOPS = [
    "ada@b\u00fccher\u3002example",
    "ada\u3002b\u00fccher",
    "b\u00fccher\u3002example@",
    "\u3002@example\u3002org",
    "ada@b\u00fccher@example.org",
]


@pytest.mark.parametrize("text", [*ONE_MAILBOX, *NONE, *ODD, *FULL_STOPS], ids=ascii)
def test_the_verifier_of_receipts_makes_the_same_form_of_each_known_spelling(text: str) -> None:
    assert one_form(text) == normalised(text)


@given(st.one_of(st.text(), st.emails()))
def test_the_verifier_of_receipts_makes_the_same_form(text: str) -> None:
    assert one_form(text) == normalised(text)
    assert one_form(f'"{text}"@{text}') == normalised(f'"{text}"@{text}')


def test_white_space_and_lower_case_are_those_that_the_proof_format_names() -> None:
    every = [chr(number) for number in range(sys.maxunicode + 1)]
    wide = {chr(number) for number in range(0x2000, 0x200B)}
    assert set(filter(str.isspace, every)) == wide | set(
        "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    )
    assert not any(map(normalised, filter(str.isspace, every)))
    assert [mark for mark in every if len(mark.lower()) > 1] == ["İ"]
    assert [normalised(f"{mark}@example.org")[0] for mark in "Σςßẞª\u212a"] == ["σ", "ς", "ß", "ß", "ª", "k"]
    assert [normalised(mark) for mark in "ΣςßẞİK"] == ["σ", "ς", "ß", "ß", "i\u0307", "k"]


letters = st.characters(categories=["Lu", "Ll", "Lo", "Mn", "Nd"])


@given(st.text(letters, min_size=1, max_size=12))
def test_a_domain_that_is_taken_has_the_form_that_idna_gives_it(label: str) -> None:
    try:
        address = mailbox(f"ada@{label}.example")
    except NotAnAddress:
        return
    assert normalised(address) == f"ada@{idna.encode(f'{label}.example', uts46=True).decode()}"
    for form in ("NFC", "NFD"):
        assert normalised(unicodedata.normalize(form, address)) == normalised(address)
    assert {normalised(spelling) for spelling in spellings(address)} == {normalised(address)}
