"""The habits of the project: its licence, its hooks and targets, the page of its rooms, what it says when installed."""

import ast
import hashlib
import json
import os
import re
import signal
import subprocess
import tomllib
from email.parser import Parser
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from bench.mutant_results import Mutant
from tests.databases import called_by, end_what_was_left
from tests.waiting import until

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
"""What `make help` lists."""


def test_the_licence_is_the_official_text() -> None:
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    # that of https://www.apache.org/licenses/LICENSE-2.0.txt
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_what_is_installed_says_whose_it_is_and_sends_nobody_to_a_stranger() -> None:
    core = ProjectMetadata(str(ROOT), PluginManager()).core
    assert (core.license_expression, core.license_files) == ("Apache-2.0", ["LICENSE"])
    assert PROJECT["project"]["authors"] == [{"name": "The dpsync authors"}]
    assert not core.urls, "an address that is ours, and a reason to think so"
    assert {"Operating System :: POSIX :: Linux", "Programming Language :: Python :: 3.11"} <= set(core.classifiers)


def test_help_lists_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == TARGETS
    (pattern,) = re.findall(r"'/(\^\[[^]]*\][^/]*)/", MAKEFILE)
    assert {name for name in TARGETS if not re.match(pattern, f"{name}: ## x")} == set(), "awk passes them over"


def test_the_hooks_call_what_people_call_and_fetch_nothing() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    entries = [hook["entry"] for hook in hooks["repos"][0]["hooks"]]
    assert entries == ["make check", "make test-fast"]
    assert {entry.removeprefix("make ") for entry in entries} <= TARGETS


def test_the_templates_ask_for_no_personal_data() -> None:
    templates = sorted((ROOT / ".github").rglob("*.md"))
    assert len(templates) >= 4
    for template in templates:
        text = template.read_text(encoding="utf-8")
        assert "ersonal data" in text or template.name == "wish.md", template.name
        if template.parent.name == "ISSUE_TEMPLATE":
            head = Parser().parsestr(text.removeprefix("---\n"))
            assert head["name"], template.name
            assert head["about"], template.name


# --- the page of the rooms

ARCHITECTURE = ROOT / "docs" / "architecture.md"
CONTRACTS = {one["id"]: one for one in PROJECT["tool"]["importlinter"]["contracts"]}


def test_the_picture_shows_every_floor_and_every_arrow_as_the_contract_has_them() -> None:
    (picture,) = re.findall(r"```mermaid\nflowchart TB\n(.*?)```", ARCHITECTURE.read_text(encoding="utf-8"), re.DOTALL)
    nodes = dict(re.findall(r'^ +(\w+)\["(.*)"\]$', picture, re.MULTILINE))
    arrows = [
        pair
        for line in picture.splitlines()
        if "-->" in line
        for pair in pairwise(name.strip() for name in line.split("-->"))
    ]
    floors = [" · ".join(room.strip() for room in floor.split("|")) for floor in CONTRACTS["house"]["layers"]]
    assert list(nodes.values()) == floors
    assert arrows == list(pairwise(nodes))


def test_the_page_names_every_contract() -> None:
    page = " ".join(ARCHITECTURE.read_text(encoding="utf-8").split())
    assert [one["name"] for one in CONTRACTS.values() if one["id"] != "house" and f"*{one['name']}*" not in page] == []


def test_the_tour_has_at_most_fifteen_stops_and_each_is_there() -> None:
    page = ARCHITECTURE.read_text(encoding="utf-8")
    stops = re.findall(r"^\| (\d+) \| \[`([\w/.]+)`\]\(\.\./src/dpsync/([\w/.]+)\): `(\w+)`", page, re.MULTILINE)
    assert [int(number) for number, *_ in stops] == list(range(1, len(stops) + 1))
    assert 10 <= len(stops) <= 15
    for _, shown, path, name in stops:
        assert shown == path
        tree = ast.parse((ROOT / "src" / "dpsync" / path).read_text(encoding="utf-8"))
        assert name in {getattr(node, "name", "") for node in ast.walk(tree)}, f"{path} has no {name}"


@pytest.mark.parametrize(
    ("before", "after", "wording"),
    [
        ('raise Fault("a.b", "one is needed")', 'raise Fault("a.b", "XXone is neededXX")', True),
        ('say("some words")', "say(None)", True),
        ('"one" if len(held) == 1 else "many"', '"one" if (len(held) == 1) and False else "many"', False),
        ('kept["a"] or kept["b"]', 'kept["a"] and kept["b"]', False),
        ('get("name")', 'get("NAME")', False),
    ],
)
def test_only_a_changed_sentence_is_wording(before: str, after: str, *, wording: bool) -> None:
    assert Mutant("dpsync.somewhere", before, after).is_wording is wording


def test_each_change_that_no_test_notices_is_one_of_a_function_that_there_is() -> None:
    listed = tomllib.loads((ROOT / "bench" / "equivalent_mutants.toml").read_text(encoding="utf-8"))["equivalent"]
    for one in listed:
        parts, module = one["where"].split("."), ROOT / "src"
        while (module / parts[0]).is_dir():
            module /= parts.pop(0)
        file = module / f"{parts[0]}.py"
        body = ast.parse((file if file.exists() else module / "__init__.py").read_text(encoding="utf-8")).body
        for name in parts[1:] if file.exists() else parts:
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            (found,) = (node for node in body if isinstance(node, kinds) and node.name == name)
            body = found.body


@pytest.mark.parametrize("runs", [True, False])
def test_the_server_of_a_run_that_was_killed_is_ended_by_the_next_run_and_no_other(runs: bool, tmp_path: Path) -> None:
    pg = tmp_path / "pg"
    pg.mkdir()
    killed = subprocess.Popen(["true"])
    killed.wait()
    # Whatever was begun in the background by a shell without job control ignores SIGQUIT.
    command = ["env", "--default-signal=QUIT", "sh", "-c", "read -r _", str(pg)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        until(lambda: called_by(server.pid)[:1] == ["sh"])
        (pg / "postmaster.pid").write_text(f"{server.pid}\n{pg}\n")
        (pg / ".handle_pids.json").write_text(json.dumps([os.getpid() if runs else killed.pid]))
        end_what_was_left([tmp_path])
        assert pg.exists() is runs
        if runs:
            assert server.poll() is None
            server.kill()
        assert server.wait(60) == -(signal.SIGKILL if runs else signal.SIGQUIT)
