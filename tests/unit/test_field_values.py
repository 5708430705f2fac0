"""Two spellings of one value are the same by the type of the field, and what can be read in two ways is unclear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.model import FieldValue
from dpsync.vendor.field_values import FieldType, Kind, Likeness, likeness, options_in, written

SAME, UNCLEAR, OTHER = Likeness.SAME, Likeness.UNCLEAR, Likeness.OTHER
MONTH_FIRST, DAY_FIRST = FieldType(Kind.DATE, day_first=False), FieldType(Kind.DATE, day_first=True)
BIRTHDAY, BRITISH_BIRTHDAY = (
    FieldType(Kind.BIRTHDAY, day_first=False),
    FieldType(Kind.BIRTHDAY, day_first=True),
)
PHONE, AMERICAN = FieldType(Kind.PHONE), FieldType(Kind.PHONE, american=True)
COLOUR = FieldType(Kind.CHOICE, choices=("Light Blue", "Red"))
TOPICS = FieldType(Kind.CHOICES, choices=("News", "Events", "Jobs, paid"))
ADDRESS = FieldType(Kind.ADDRESS)
HOME = {"addr1": "1 High Street", "addr2": "", "city": "Kent", "state": "", "zip": "CT1 1AA", "country": "GB"}

READINGS: list[tuple[FieldType, FieldValue, object, Likeness]] = [
    # text: what only looks different
    (FieldType(Kind.TEXT), "Ada  King ", "Ada King", SAME),
    (FieldType(Kind.TEXT), "Fish & Chips", "Fish &amp; Chips", SAME),
    (FieldType(Kind.TEXT), "one\r\ntwo ", "one\ntwo", SAME),
    (FieldType(Kind.TEXT), "Zo\u00eb", "Zoe\u0308", SAME),
    (FieldType(Kind.TEXT), "ada", "Ada", OTHER),
    (FieldType(Kind.TEXT), "12.0", 12, OTHER),
    (FieldType(Kind.TEXT), "Ada", None, OTHER),
    (FieldType(Kind.TEXT), "", None, SAME),
    (FieldType(Kind.TEXT), "", "Ada", OTHER),
    # numbers
    (FieldType(Kind.NUMBER), "12.0", 12, SAME),
    (FieldType(Kind.NUMBER), "012", "12.00", SAME),
    (FieldType(Kind.NUMBER), "12", 12.5, OTHER),
    (FieldType(Kind.NUMBER), "1,000", 1000, UNCLEAR),
    (FieldType(Kind.NUMBER), "", "", SAME),
    # dates
    (MONTH_FIRST, "12/31/1990", "1990-12-31", SAME),
    (DAY_FIRST, "12/31/1990", "1990-12-31", SAME),
    (DAY_FIRST, "31/12/1990", "1990-12-31", SAME),
    (MONTH_FIRST, "01/02/1990", "1990-01-02", SAME),
    (DAY_FIRST, "01/02/1990", "1990-02-01", SAME),
    (DAY_FIRST, "01/02/1990", "1990-01-02", UNCLEAR),
    (MONTH_FIRST, "01/02/1990", "1990-03-01", OTHER),
    (MONTH_FIRST, "1990/12/31", "1990-12-31T00:00:00+00:00", SAME),
    (MONTH_FIRST, "1990-12-31", "1990-12-30", OTHER),
    (MONTH_FIRST, "31 December 1990", "1990-12-31", UNCLEAR),
    (FieldType(Kind.DATE), "01/02/1990", "1990-01-02", UNCLEAR),
    (FieldType(Kind.DATE), "2010/03/09", "2010-03-09", SAME),
    # birthdays: the year is not kept
    (BIRTHDAY, "1/2", "01/02", SAME),
    (BIRTHDAY, "1980-01-02", "01/02", SAME),
    (BIRTHDAY, "1980-01-02", "02/01", UNCLEAR),
    (BIRTHDAY, "1980-12-31", "31/12", SAME),
    (BIRTHDAY, "01/02", "02/01", UNCLEAR),
    (BIRTHDAY, "01/02", "01/03", OTHER),
    (BRITISH_BIRTHDAY, "1/2", "01/02", SAME),
    (BRITISH_BIRTHDAY, "1980-02-01", "01/02", SAME),
    (BRITISH_BIRTHDAY, "1980-01-02", "01/02", UNCLEAR),
    (BIRTHDAY, "02/29", "02/29", SAME),
    # telephones
    (AMERICAN, "+1 (404) 555-0123", "404-555-0123", SAME),
    (AMERICAN, "404 555 0123", "(404) 555-0124", OTHER),
    (PHONE, "+44 7700 900123", "07700 900123", SAME),
    (PHONE, "0044 7700 900123", "(0)7700 900-123", UNCLEAR),
    (PHONE, "404 555 0123", "+1 404 555 0123", UNCLEAR),
    (PHONE, "07700 900123", "07700 900124", OTHER),
    (PHONE, "none", "07700 900124", OTHER),
    # postcodes, links, choices, countries
    (FieldType(Kind.POSTCODE), "ct11aa", "CT1 1AA", SAME),
    (FieldType(Kind.POSTCODE), "01234", 1234, SAME),
    (FieldType(Kind.POSTCODE), "12345-6789", "12345", UNCLEAR),
    (FieldType(Kind.URL), "example.org", "http://Example.org/", SAME),
    (FieldType(Kind.URL), "https://example.org/a", "http://example.org/a", UNCLEAR),
    (FieldType(Kind.URL), "https://example.org/a?x=1&amp;y=2", "https://example.org/a?x=1&y=2", SAME),
    (FieldType(Kind.URL), "https://example.org/a", "https://example.org/b", OTHER),
    (FieldType(Kind.URL), "http://[broken", "http://example.org", OTHER),
    (COLOUR, "light blue", "Light Blue", SAME),
    (COLOUR, "Blue", "Light Blue", OTHER),
    (FieldType(Kind.REGION), "UK", "gb", SAME),
    (FieldType(Kind.REGION), "GB", "United Kingdom", UNCLEAR),
    (FieldType(Kind.REGION), "France", "Germany", OTHER),
    # several options
    (TOPICS, "Events; news", ("News", "Events"), SAME),
    (TOPICS, "News", ("News", "Events"), OTHER),
    (TOPICS, "Jobs, paid", ("Jobs, paid",), SAME),
    (TOPICS, "", (), SAME),
    (TOPICS, "News", (), OTHER),
    # postal addresses: what is not named is not asked
    (ADDRESS, {"city": "kent "}, HOME | {"city": "kent"}, SAME),
    (ADDRESS, {"addr1": "1 High Street", "zip": "CT11AA", "country": "UK"}, HOME, SAME),
    (ADDRESS, {"addr1": "2 High Street", "zip": "CT1 1AA"}, HOME, OTHER),
    (ADDRESS, {"country": "United Kingdom"}, HOME, UNCLEAR),
    (ADDRESS, {"addr2": ""}, HOME, SAME),
    (ADDRESS, {"addr2": ""}, HOME | {"addr2": "Flat 2"}, OTHER),
    (ADDRESS, {"city": "Kent"}, "", OTHER),
    (ADDRESS, "1 High Street, Kent, CT1 1AA", HOME, SAME),
    (ADDRESS, "1 High St, Kent", HOME, UNCLEAR),
    (ADDRESS, "", {"addr1": "", "city": "", "country": "US"}, SAME),
    # a field whose type nobody tells
    (FieldType(), "12/31/1990", "1990-12-31", SAME),
    (FieldType(), "01/02/1990", "1990-02-01", UNCLEAR),
    (FieldType(), "12.0", 12, SAME),
    (FieldType(), "7700900123", "07700 900123", UNCLEAR),
    (FieldType(), "1/2", "01/02", SAME),
    (FieldType(), "1980-12-31", "12/31", SAME),
    (FieldType(), "1980-01-02", "01/02", UNCLEAR),
    (FieldType(), "1980-12-31", "1981-12-31", OTHER),
    (FieldType(), "ada", "Ada", OTHER),
    (FieldType(), "12", "13", OTHER),
    (FieldType(), {"city": "Kent"}, HOME, SAME),
]


@pytest.mark.parametrize(("field", "asked", "held", "shown"), READINGS)
def test_a_value_is_compared_as_what_its_field_holds(
    field: FieldType, asked: FieldValue, held: object, shown: Likeness
) -> None:
    assert likeness(field, asked, held) is shown


@pytest.mark.parametrize("kind", list(Kind))
@given(text=st.text(max_size=12), american=st.booleans(), day_first=st.sampled_from([None, True, False]))
def test_whatever_is_held_as_it_was_asked_is_the_same(
    kind: Kind, text: str, american: bool, day_first: bool | None
) -> None:
    field = FieldType(kind, day_first, american=american)
    assert likeness(field, text, text) is SAME
    assert likeness(field, text, written(field, text)) is SAME


@pytest.mark.parametrize(
    ("field", "asked", "sent"),
    [
        (MONTH_FIRST, "12/31/1990", "1990-12-31"),
        (DAY_FIRST, "01/02/1990", "1990-02-01"),
        (MONTH_FIRST, "01/02/1990", "1990-01-02"),
        (FieldType(Kind.DATE), "01/02/1990", "01/02/1990"),
        (MONTH_FIRST, "soon", "soon"),
        (BIRTHDAY, "1/2", "01/02"),
        (BIRTHDAY, "1980-01-02", "01/02"),
        (BIRTHDAY, "soon", "soon"),
        (BRITISH_BIRTHDAY, "1980-12-31", "31/12"),
        (BRITISH_BIRTHDAY, "1980-01-02", "1980-01-02"),
        (BRITISH_BIRTHDAY, "1980-02-02", "02/02"),
        (BRITISH_BIRTHDAY, "01/02", "01/02"),
        (COLOUR, "light blue", "Light Blue"),
        (COLOUR, "green", "green"),
        (FieldType(Kind.TEXT), " Ada ", " Ada "),
        (FieldType(Kind.DATE), "", ""),
    ],
)
def test_what_can_be_read_in_one_way_is_written_as_the_field_takes_it(field: FieldType, asked: str, sent: str) -> None:
    assert written(field, asked) == sent


def test_options_are_named_whole_and_none_is_guessed() -> None:
    assert options_in(TOPICS, "events\nNEWS; News") == ("Events", "News")
    assert options_in(TOPICS, "jobs, paid") == ("Jobs, paid",)
    assert options_in(TOPICS, "News, Sport") is None
