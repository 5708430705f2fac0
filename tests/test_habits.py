"""The habits of the project: its licence, its hooks and targets, and what it says of itself when it is installed."""

import hashlib
import re
import tomllib
from email.parser import Parser
from pathlib import Path

import yaml
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

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
