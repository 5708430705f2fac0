"""Lists as spreadsheets and databases write them: encodings, dividers, headings, and what is no list."""

from pathlib import Path

import pytest

from dpsync.errors import UsageError
from dpsync.intake.lists.reading import PeopleList, read

ADA = "ada@example.org"


def made(tmp_path: Path, content: str | bytes, name: str = "list.csv", **columns: str) -> PeopleList:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, columns)


def named(people: PeopleList) -> list[dict[str, str]]:
    return [dict(row.named) for row in people.rows()]


@pytest.mark.parametrize(
    ("content", "encoding", "divider"),
    [
        ("Email,Name\nada@example.org,Zoë\n", "utf-8", ","),
        (b"\xef\xbb\xbfE-Mail;Name\r\nada@example.org;Zo\xc3\xab\r\n", "utf-8-sig", ";"),
        ("email\tname\nada@example.org\tZoë\n".encode("utf-16"), "utf-16", "\t"),
        ("E-Mail-Adresse;Name\nada@example.org;Zoë\n".encode("cp1252"), "cp1252", ";"),
        ("sep=;\nEMAIL ADDRESS;Full Name\nada@example.org;Zoë\n", "utf-8", ";"),
        ("sep=\t\r\nemail\tname\r\nada@example.org\tZoë\r\n", "utf-8", "\t"),
        ("e-mail|name\n\n  \n ada@example.org |Zoë\n\n", "utf-8", "|"),
        ('"email","name"\n"ada@example.org","Zoë"', "utf-8", ","),
    ],
)
def test_a_list_is_read_as_spreadsheets_write_it(
    tmp_path: Path, content: str | bytes, encoding: str, divider: str
) -> None:
    people = made(tmp_path, content)
    assert (people.encoding, people.divider) == (encoding, divider)
    assert people.written_in == ("utf-8" if encoding == "utf-8" else "utf-8-sig"), "a spreadsheet would misread it"
    assert named(people) == [{"email": ADA, "name": "Zoë"}]


def test_a_list_of_addresses_alone_needs_no_heading(tmp_path: Path) -> None:
    people = made(tmp_path, "ada@example.org\nbob@example.org\n")
    assert (people.headed, named(people)) == (False, [{"email": ADA}, {"email": "bob@example.org"}])


def test_json_lines_are_a_list_too(tmp_path: Path) -> None:
    people = made(
        tmp_path, '{"email": "ada@example.org", "id": 7}\n\n{"id": "8", "note": null, "x": 1.5}\n', "a.jsonl", id="id"
    )
    assert named(people) == [{"email": ADA, "id": "7"}, {"id": "8"}]
    assert [row.line for row in people.rows()] == [1, 3]
    assert people.passed_over == ("note", "x")


def test_a_line_of_json_ends_where_a_line_feed_stands_and_nowhere_else(tmp_path: Path) -> None:
    people = made(
        tmp_path,
        '{"email": "ada@example.org", "name": "Ada\u2028Zoë\x85"}\r\n{"email": "b@example.org"}\r\n',
        "a.jsonl",
    )
    assert [row.line for row in people.rows()] == [1, 2]


def test_a_row_knows_its_line_also_behind_one_of_several_lines(tmp_path: Path) -> None:
    people = made(tmp_path, 'email,note\na@example.org,"one\ntwo"\n\nb@example.org,x\n')
    assert [row.line for row in people.rows()] == [2, 5]
    assert [row.line for row in made(tmp_path, "sep=;\nemail;x\na@example.org;1\n").rows()] == [3]


def test_a_column_is_what_the_caller_says_or_its_usual_heading_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    content = "Customer;Contact;Phone Number;Other Emails;\n7;ada@example.org;020 7946 0958;;\n"
    people = made(tmp_path, content, email="contact", id="CUSTOMER")
    assert named(people) == [{"email": ADA, "id": "7", "phone": "020 7946 0958"}]
    assert people.passed_over == ("",)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"PK\x03\x04....", "list.xlsx", "a workbook"),
        (b"%PDF-1.7", "list.csv", "a PDF"),
        (b"\x1f\x8b\x08", "list.csv.gz", "compressed"),
        ("", "list.csv", "empty"),
        ("\n\n", "list.csv", "empty"),
        ("", "list.jsonl", "empty"),
        ("surname,town\nLovelace,London\n", "list.csv", "no column says who is meant: surname, town"),
        ("email,Email\na,b\n", "list.csv", "names a column twice"),
        ("email,name\na@example.org\n", "list.csv", "line 2 has 1 cells, and the first has 2"),
        ('email\n"a@example.org"x"\n', "list.csv", "line 2 is not CSV"),
        ("email\n\0\n", "list.csv", "no text"),
        ("[1]\n", "list.jsonl", "line 1 is no object"),
        ('{"a": 1}\n{', "list.jsonl", "line 2"),
        ("Email,Email address\na@example.org,b@example.org\n", "list.csv", "several columns may be the address"),
        (b"\xef\xbb\xbfemail\nad\xe9@example.org\n", "list.csv", "says that it is utf-8-sig, and it is not"),
        ('{"email": ["a@example.org"]}\n', "list.jsonl", "line 1: email is neither a text nor a whole number"),
        ('{"email": "a@example.org"}\n{"email": true}\n', "list.jsonl", "line 2: email is neither"),
        ('{"email": "a@example.org", "note": "\\ud800"}\n', "list.jsonl", "line 1 holds NUL or half a surrogate pair"),
        ('{"email": "a@example.org"}\n{"\\u0000": 1}\n', "list.jsonl", "line 2 holds NUL"),
        ('sep="\nemail"name\n', "list.csv", "no column says who is meant"),
        ("email," + "x," * 600 + "\n", "list.csv", "more than 500 cells"),
    ],
)
def test_what_is_no_list_is_said_to_be_what_it_is(tmp_path: Path, content: str | bytes, name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        named(made(tmp_path, content, name))
    assert said in str(caught.value)
    assert "ada@" not in str(caught.value)


def test_a_heading_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column 'Mail2'. The columns are: email, name"):
        made(tmp_path, "email,name\n", email="Mail2")


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "nowhere.csv", {})


def test_an_id_is_taken_only_where_the_caller_says_so_for_a_processors_export_numbers_people_too(
    tmp_path: Path,
) -> None:
    for heading in ("id", "Contact ID", "member_id"):
        people = made(tmp_path, f"{heading},email\n7,ada@example.org\n")
        assert (named(people), people.passed_over) == ([{"email": ADA}], (heading,))
    assert named(made(tmp_path, "id,email\n7,ada@example.org\n", id="id")) == [{"email": ADA, "id": "7"}]


@pytest.mark.parametrize("column", ["email", "other_emails", "id"])
def test_nobody_is_named_by_letters_of_an_encoding_that_was_guessed(tmp_path: Path, column: str) -> None:
    content = "email;name;col\nada@example.org;Kővács;kővacs@example.org\n".replace("email", "mail 1")
    people = made(tmp_path, content.encode("cp1250"), **{column: "col"})
    with pytest.raises(UsageError, match="line 2 names somebody by letters that may be others"):
        named(people)
    assert named(made(tmp_path, content.encode(), **{column: "col"}))[0][column] == "kővacs@example.org"
    assert named(made(tmp_path, content.replace("kő", "ko").encode("cp1250"), **{column: "col"}))
