"""What holds for the house as a whole: its floors, its papers, and that no paper says what is not so."""

import http.server
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import dpsync
from dpsync import settings
from dpsync.__main__ import main
from dpsync.cli.app import COMMANDS, GROUPS
from dpsync.cli.catalogue import CATALOGUE
from dpsync.cli.reference import commands_page, man_page, runbook_page
from dpsync.errors import Exit
from dpsync.intake.payload import parse
from dpsync.known_connectors import connector_names
from dpsync.model import Request
from dpsync.propagation.rules.states import page as states_page
from dpsync.signature import Verifier
from tests.faults.page import page as faults_page

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SRC = ROOT / "src" / "dpsync"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXAMPLE = ROOT / "config" / "dpsync.example.toml"
README, CONTRIBUTING, CHANGELOG = (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
SECURITY = ROOT / "SECURITY.md"
PAPERS = [README, CONTRIBUTING, CHANGELOG, SECURITY, *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"commands.md", "faults.md", "processors.md", "runbook.md", "states.md"}
HAND_WRITTEN = [README, SECURITY, *(page for page in (ROOT / "docs").glob("*.md") if page.name not in GENERATED)]

LONG: dict[str, int] = {}
"""Files that may be longer than 400 lines, and how long. A number here may fall, and may not rise."""


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- floors


def test_imports_point_down_only() -> None:
    ran = subprocess.run([BIN / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_every_module_has_a_place() -> None:
    contracts = [one for one in PROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    rooms = {name for one in contracts for name in one["containers"]}
    assert rooms >= {"dpsync", "dpsync.retention", "dpsync.propagation", "dpsync.vendor"} | {
        f"dpsync.propagation.{path.parent.name}" for path in SRC.glob("propagation/*/__init__.py")
    }
    for contract in contracts:
        (room,) = contract["containers"]
        assert contract["exhaustive"] is True, room
        folder = SRC.parent / room.replace(".", "/")
        placed = {name.strip() for floor in contract["layers"] for name in floor.split("|")}
        there = {one.stem for one in folder.glob("*") if one.suffix == ".py" or (one / "__init__.py").exists()}
        assert there - {"__init__"} == placed, room


def test_the_guide_shows_every_room_from_the_top_down() -> None:
    contracts = {one["id"]: one for one in PROJECT["tool"]["importlinter"]["contracts"]}
    placed = [room.strip() for floor in contracts["house"]["layers"] for room in floor.split("|")]
    guide = text_of(CONTRIBUTING)
    table = guide[guide.index("| rooms, from the top down |") : guide.index("Some more rules: connectors cannot")]
    shown = [room for line in table.strip().splitlines() for room in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert shown == [room for room in placed if room != "__main__"]


OLD_WORDS = re.compile(
    r"happening|\bbirths?\b|how-manieth|\bvoices?\b|tr(?:y|ies) the door|leaves? the house|\blet go\b"
    r"|\bblam(?:e|ed|es)\b|\bat_rest\b|(?:right|wrong) desk|\bw(?:inds?|ound) up\b"
    r"|\bcomes? to rest\b|\bcut\(\)|\bcut_off\b|\btenure\b",
    re.IGNORECASE,
)
IN_THE_LEDGER = {"ledger/rows.py", "ledger/row_comparison.py", "intake/acceptance.py"}
"""Entries say `births`; their format is final."""


def test_the_fields_words_are_used() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = [
        f"{name_of(path)}:{number}: {old[0]}"
        for path in [*modules("src"), *pages]
        for number, line in enumerate(text_of(path).splitlines(), 1)
        for old in OLD_WORDS.finditer(line)
        if not (old[0] == "births" and path.relative_to(SRC).as_posix() in IN_THE_LEDGER)
    ]
    assert found == []


def test_no_file_is_longer_than_a_person_reads() -> None:
    lengths = {path.relative_to(SRC).as_posix(): len(text_of(path).splitlines()) for path in modules("src")}
    too_long = {name: lines for name, lines in lengths.items() if lines > LONG.get(name, 400)}
    assert too_long == {}
    assert [name for name in LONG if lengths[name] <= 400] == [], "no longer an exception: take it out of LONG"


def test_every_suppression_has_its_reason() -> None:
    mark = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma: no cover)\b")
    bare = [
        f"{name_of(path)}:{number}"
        for path in modules("src", "tests", "bench")
        if path != Path(__file__)
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if mark.search(line) and "because" not in line
    ]
    assert bare == []


def test_a_clock_a_client_or_a_mail_host_is_handed_in_and_never_written_into_an_object() -> None:
    reaches_in = re.compile(r"\bvars\([^()]*\)(?:\[| *$)", re.MULTILINE)
    asked = [path for path in modules("tests") if path.parent.name != "connectors"]
    assert [name_of(path) for path in asked if reaches_in.search(text_of(path))] == []


def test_every_package_that_was_asked_for_is_used() -> None:
    asked = {"mailchimp_marketing", "requests", "tenacity", "sqlalchemy", "schedule", "responses", "pytest"}
    line = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
    used = {name for path in modules("src", "tests") for name in line.findall(text_of(path))}
    assert asked - used == set()


def test_no_file_names_the_place_where_it_was_made() -> None:
    # Put together here, so that this file does not find itself.
    places = re.compile("|".join(f"/{root}/[A-Za-z]" for root in ("work", "root", "Users", "home")) + "|/" + "tmp/")
    ours = (
        path for folder in ("src", "tests", "docs", "config", "bench", ".ci") for path in (ROOT / folder).rglob("*")
    )
    found = [
        f"{name_of(path)}:{number}"
        for path in chain(ours, (path for path in ROOT.iterdir() if path.name != ".git"))
        if path.is_file() and path.suffix not in {".pyc", ".db"}
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if places.search(line)
    ]
    assert found == []


# --- papers


def test_the_generated_pages_are_those_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-q", "--config", str(ROOT / "docs" / "none.toml"), "processors"]) == 0
    processors = capsys.readouterr().out
    docs = ROOT / "docs"
    assert text_of(docs / "states.md") == states_page(), "make docs"
    assert text_of(docs / "commands.md") == commands_page(), "make docs"
    assert text_of(docs / "dpsync.1") == man_page(), "make docs"
    assert text_of(docs / "runbook.md") == runbook_page(), "make docs"
    assert text_of(docs / "faults.md") == faults_page(), "make docs"
    assert text_of(docs / "processors.md").startswith("# ")
    assert text_of(docs / "processors.md").endswith(f"\n\n{processors}"), "make docs"


def test_every_link_leads_somewhere() -> None:
    broken = []
    for paper in PAPERS:
        for link in re.findall(r"\]\(([^)\s]+)\)", text_of(paper)):
            target, _, place = link.partition("#")
            if "://" in link:
                continue
            file = (paper.parent / target).resolve() if target else paper
            if not file.exists() or (place and place not in _places(file)):
                broken.append(f"{paper.name}: {link}")
    assert broken == []


def _places(paper: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", text_of(paper), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_index_names_every_page() -> None:
    index = text_of(ROOT / "docs" / "README.md")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert [page for page in sorted(pages) if f"({page})" not in index] == []


def test_every_command_is_documented_and_no_other_is_named() -> None:
    told = text_of(ROOT / "docs" / "commands.md") + text_of(README)
    assert [
        name for name in (*COMMANDS, *GROUPS) if f"## dpsync {name}\n" not in told and f"`dpsync {name}" not in told
    ] == []
    named = {
        (paper.name, word)
        for paper in PAPERS
        for word in re.findall(
            r"(?:`|^ *\$ (?:sudo -u dpsync \S*/)?)dpsync ([a-z][a-z-]+)", text_of(paper), re.MULTILINE
        )
    }
    assert {(paper, word) for paper, word in named if word not in {*COMMANDS, *GROUPS}} == set()


def test_no_page_names_an_option_that_does_not_exist() -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", text_of(ROOT / "docs" / "commands.md")))
    unknown = {
        (paper.name, option)
        for paper in HAND_WRITTEN
        for span in re.findall(r"`((?:dpsync|--)[^`]*)`", text_of(paper))
        for option in re.findall(r"--[a-z][a-z-]+", span)
        if option not in known
    }
    assert unknown == set()


def test_the_pages_tell_every_exit_code_and_every_connector() -> None:
    every_day, table = (text_of(ROOT / "docs" / name) for name in ("every-day.md", "what-processors-can-do.md"))
    assert [code.name for code in Exit if f"\n| {code.value} | " not in every_day] == []
    assert [name for name in connector_names() if f"(`{name}`)" not in table] == []


def test_the_readme_is_read_in_five_minutes_and_leads_to_every_first_page() -> None:
    readme = text_of(README)
    assert len(readme.split()) <= 1100
    first = ("rehearsal", "first-configuration", "webhooks", "what-processors-can-do", "operating", "every-day")
    listed = readme[readme.index("## Where to read on") :]
    assert [name for name in first if f"(docs/{name}.md)" not in listed] == []
    path = 'export PATH="$PWD/.venv/bin:$PATH"'  # before the first `dpsync` that somebody types
    assert readme.index(path) < readme.index("\ndpsync ")
    page = text_of(ROOT / "docs" / "first-configuration.md")
    assert page.index(path) < page.index("$ dpsync ")


def test_every_code_of_an_error_is_explained() -> None:
    papers = [*modules("src"), *PAPERS, EXAMPLE]
    used = {code for path in papers for code in re.findall(r"\bDP-[0-9]{3}\b", text_of(path))}
    assert used - set(CATALOGUE) == set()


def test_the_versions_agree() -> None:
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", text_of(CHANGELOG), re.MULTILINE)
    assert newest
    assert {newest[1], PROJECT["project"]["version"]} == {dpsync.__version__}


# --- settings


def _keys(schema: Mapping[str, Any], part: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every setting by its path in the file, and what the schema says of it. Where people choose a name: `*`."""
    for key, field in part["properties"].items():
        named = [
            one for one in (field.get("additionalProperties"), *field.get("patternProperties", {}).values()) if one
        ]
        plain = [field, *field.get("anyOf", [])]
        for ways, inner in ((plain, f"{path}{key}."), (named, f"{path}{key}.*.")):
            sections = [schema["$defs"][one["$ref"].rpartition("/")[2]] for one in ways if "$ref" in one]
            for section in sections:
                yield from _keys(schema, section, inner) if "properties" in section else ()
        if not any("Section" in one.get("$ref", "") for one in plain) and path + key not in {"processors", "sources"}:
            yield f"{path}{key}", field


def _shown() -> dict[str, str]:
    """The settings in the example file, commented out or not, and the words beside or above each."""
    found: dict[str, str] = {}
    head, above = "", ""
    tables = re.compile(r"[{,] ([a-z_0-9]+) = ")
    for line in text_of(EXAMPLE).splitlines():
        if opened := re.match(r"\[([a-z]+(?:\.[a-z-]+)*)\]", line):
            parts = opened[1].split(".")
            head = ".".join([*parts[:-1], "*"]) if len(parts) > 1 else parts[0]
            found.setdefault(".".join(parts[:-1]), line)
        if key := re.match(r"#?([a-z_]+) = ([^#]*)(#.*)?", line):
            found.setdefault(f"{head}.{key[1]}", (key[3] or "") + above)
            for inner in tables.findall(key[2]):
                for place in (f"{head}.{key[1]}.*.{inner}", f"{head}.{key[1]}.{inner}"):
                    found.setdefault(place, (key[3] or "") + above)
        above = above + line if line.startswith("# ") else ""
    return found


def test_every_setting_stands_in_the_example_with_its_explanation() -> None:
    schema, shown = settings.schema(), _shown()
    told = dict(_keys(schema, schema, ""))
    assert len(told) > 35
    assert {key for key, field in told.items() if not field.get("description")} == set()
    assert {key for key in told if key not in shown} == set()
    plain = {"processors.*.connector", "mail.host", "mail.password"}  # their neighbours say it
    assert {key for key in told if len(shown[key]) < 20} - plain == set()


def test_the_example_loads() -> None:
    environ = dict.fromkeys(re.findall(r'env = "([A-Z_]+)"', text_of(EXAMPLE)), "whsec_" + "a" * 40)
    loaded = settings.load(EXAMPLE, environ)
    assert sorted(loaded.processors) == ["newsletter", "own-database", "web-agency"]


# --- examples that run


class _Listener(http.server.BaseHTTPRequestHandler):
    """Takes one webhook and keeps it."""

    kept: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.kept.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(202)
        self.end_headers()
        self.wfile.write(json.dumps({"request": "r-1", "status": "held"}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_the_sender_on_the_page_is_understood_by_the_receiver(tmp_path: Path) -> None:
    secret = "whsec_" + "a" * 40
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "webhook").write_text(secret + "\n", encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", text_of(ROOT / "docs" / "webhooks.md"), re.DOTALL)
    kept: list[tuple[dict[str, str], bytes]] = []
    handler = type("Handler", (_Listener,), {"kept": kept})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        script = script.replace("127.0.0.1:8460", f"127.0.0.1:{server.server_port}")
        command = [sys.executable, "-I", "-c", script]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        thread.join()
    assert "r-1" in ran.stdout, ran.stderr
    ((headers, body),) = kept
    event = Verifier([secret]).verify(headers, body, datetime.now(UTC))
    request = parse(body, source="webhook", event_id=event.id, now=datetime.now(UTC))
    assert isinstance(request, Request)
    assert request.subject.id == "crm-4711"


def _example(folder: Path) -> dict[str, Path]:
    """The files that CONTRIBUTING shows, written out; where each would stand in the house, and where it is now."""
    blocks = re.findall(
        r"^`((?:src|tests)/[\w/]+\.py)`.*?\n```python\n(.*?)```", text_of(CONTRIBUTING), re.DOTALL | re.MULTILINE
    )
    written = {}
    for name, code in blocks:
        written[name] = folder / Path(name).name
        written[name].write_text(code, encoding="utf-8")
    return written


def test_the_example_connector_keeps_the_contract(tmp_path: Path) -> None:
    written = _example(tmp_path)
    assert len(written) == 2
    path = f"import dpsync.connectors\n\ndpsync.connectors.__path__.append({str(tmp_path)!r})\n"
    (tmp_path / "conftest.py").write_text(path, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "--rootdir", ".", "-o", "addopts=", "-q"]
    command += [
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(tmp_path / "base"),
        str(written["tests/connectors/test_postpigeon.py"]),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed
    assert int(passed[1]) > 60


def test_the_example_connector_is_in_the_style_of_the_house(tmp_path: Path) -> None:
    for name, path in _example(tmp_path).items():
        for act in (["check"], ["format", "--diff"]):
            command = [str(BIN / "ruff"), *act, "--no-cache", "--stdin-filename", name, "-"]
            ran = subprocess.run(command, cwd=ROOT, input=text_of(path), capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stdout
