"""The figures of /metrics, the rules that alert on them and the dashboard that shows them: they know the same names."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpsync.alert_causes import AlertCause
from dpsync.cli.catalogue import CATALOGUE
from dpsync.propagation.correspondence.levels import LEVELS
from dpsync.running.measures import Histograms, Measures

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus" / "dpsync.rules.yml"
PLANTED = RULES.with_name("dpsync.rules.test.yml")
DASHBOARD = ROOT / "config" / "grafana" / "dpsync.json"
ADDRESS = "ada@example.org"
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def told(*measured: Measures | Histograms) -> list[str]:
    text = b"".join(one.exposition() for one in measured).decode()
    return [line for line in text.splitlines() if not line.startswith("#") and "_created" not in line]


def everything() -> list[str]:
    """A line of each measure there is."""
    measures, histograms = Measures(), Histograms()
    measures.propagations({("erasure", "held", "forms"): 1})
    measures.waiting({("overdue", "erasure", "forms"): 1}, {("erasure", "forms"): AT})
    measures.stopped({"forms": "credential"})
    measures.jobs({"alerts": AT})
    measures.requests({"erasure": 1}, {("crm", 422, "subject.email"): 1})
    measures.sources.outboxes({"crm": (2, 1, 60.0)})
    measures.sources.messages({("crm", "taken"): 3}, {("crm", "other-change"): 2}, {"crm": AT})
    measures.sources.people({("crm", "differ"): 1}, {"crm": AT})
    histograms.queued("forms", 1)
    histograms.attempted("carry_out", "forms", 1)
    histograms.completed("erasure", "forms", 1)
    return told(measures, histograms)


def test_a_level_is_said_by_the_word_of_its_alert_and_what_is_in_time_has_none() -> None:
    measures = Measures()
    measures.waiting({("", "erasure", "forms"): 2, ("overdue", "opt_out", "forms"): 1}, {})
    assert 'dpsync_propagations_open{level="none",processor="forms",right="erasure"} 2.0' in told(measures)
    assert 'dpsync_propagations_open{level="overdue",processor="forms",right="opt_out"} 1.0' in told(measures)


def test_a_job_that_never_succeeded_is_as_late_as_can_be() -> None:
    measures = Measures()
    measures.jobs({"worklist:messages": None})
    assert 'dpsync_job_last_success_timestamp_seconds{job="worklist-messages"} 0.0' in told(measures)


def test_what_nobody_knows_is_no_number() -> None:
    lines = told(Measures())
    for name in ("record_problems", "record_compared", "anchored", "drill"):
        assert [line.split()[1] for line in lines if line.startswith(f"dpsync_{name}")] == ["NaN"]


def test_a_state_that_nothing_is_in_any_more_is_not_told_for_ever() -> None:
    measures = Measures()
    measures.propagations({("erasure", "pending", "forms"): 3})
    measures.propagations({("erasure", "verified", "forms"): 3})
    assert not any("pending" in line for line in told(measures))


@pytest.mark.parametrize("word", [ADDRESS, "Ada Lovelace", hashlib.sha256(b"ada").hexdigest()[:40], "x" * 41, ""])
def test_a_label_that_is_no_word_of_ours_is_other(word: str) -> None:
    measures, histograms = Measures(), Histograms()
    measures.propagations({(word, word, word): 1})
    measures.waiting({(word, word, word): 1}, {(word, word): AT})
    measures.stopped({word: word})
    measures.jobs({word: AT})
    measures.requests({word: 1}, {(word, 422, word): 1})
    measures.sources.outboxes({word: (2, 1, 60.0)})
    measures.sources.messages({(word, word): 1}, {(word, word): 1}, {word: AT})
    measures.sources.people({(word, word): 1}, {word: AT})
    histograms.queued(word, 1)
    histograms.attempted(word, word, 1)
    histograms.completed(word, word, 1)
    lines = [line for line in told(measures, histograms) if "{" in line and "build_info" not in line]
    values = {
        value
        for line in lines
        for value in re.findall(r'(?:right|state|processor|account|why|job|kind|source|rule|result)="([^"]*)"', line)
    }
    assert values == {"other"}
    assert ADDRESS not in "\n".join(lines)


def test_two_services_in_one_process_share_no_counts() -> None:
    first, second = Measures(), Measures()
    first.alerts_waiting(3)
    assert "dpsync_alerts_waiting 0.0" in told(second)


# --- the files beside


def expressions() -> Iterator[str]:
    """Each expression of rules and dashboard."""
    for rule in rules():
        yield rule["expr"]
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_rules_and_dashboard_name_only_measures_and_labels_that_there_are() -> None:
    labels: dict[str, set[str]] = {}
    for line in everything():
        name, _, rest = line.partition(" ")[0].partition("{")
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', rest))
    for expression in expressions():
        asked = re.findall(r"\b(dpsync_\w+)(?:\{([^}]*)\})?", expression)
        assert asked
        for name, selected in asked:
            assert name in labels, expression
            assert set(re.findall(r"(\w+)=", selected)) <= labels[name], expression
        shown = {word for group in re.findall(r"by \(([^)]*)\)", expression) for word in re.split(r",\s*", group)}
        assert shown <= set.union(*(labels[name] for name, _ in asked)), expression


def test_rules_speak_of_levels_and_states_that_there_are() -> None:
    said = {
        word
        for expression in expressions()
        for found in re.findall(r'level=~"([^"]+)"', expression)
        for word in found.split("|")
    }
    assert said
    assert said <= {level.cause.value for level in LEVELS}


def test_each_rule_says_what_to_do_by_a_command_that_knows_the_word() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        said = rule["annotations"]["description"]
        for word in re.findall(r"`dpsync explain ([\w-]+)`", said):
            assert word in {*CATALOGUE, *AlertCause}, word


def test_each_timed_job_is_watched_by_one_rule_that_knows_how_often_it_runs() -> None:
    table = (ROOT / "src" / "dpsync" / "running" / "jobs.py").read_text(encoding="utf-8")
    often = dict(re.findall(r'Job\("([a-z-]+)", (\w+),', table))
    assert len(often) > 20
    often |= {"retention": "HOUR", "worklist-messages": "WEEK"}
    by_rule = {"DpsyncMinuteJobLate": "MINUTE", "DpsyncHourlyJobLate": "HOUR", "DpsyncDailyJobLate": "morning"}
    by_rule["DpsyncWeeklyJobLate"] = "WEEK"
    watched = {rule["alert"]: re.findall(r'job=~"([^"]+)"', rule["expr"]) for rule in rules()}
    for job, period in often.items():
        found = [name for name, words in watched.items() if any(re.fullmatch(word, job) for word in words)]
        assert [by_rule[name] for name in found] == [period], job


def test_the_planted_state_has_each_rule_fire() -> None:
    planted = set(re.findall(r'alertname="(\w+)"', PLANTED.read_text(encoding="utf-8")))
    assert planted == {rule["alert"] for rule in rules()}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")
@pytest.mark.parametrize("what", [["check", "rules", RULES.name], ["test", "rules", PLANTED.name]])
def test_prometheus_itself_takes_the_rules_and_each_fires_on_its_own_state(what: list[str]) -> None:
    ended = subprocess.run(["promtool", *what], cwd=RULES.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_panel_of_the_dashboard_stands_in_a_place_of_its_own_and_says_what_it_shows() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        here = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not here & taken, panel["title"]
        assert max(x for x, _ in here) < 24
        assert panel["description"].endswith(".")
        taken |= here
