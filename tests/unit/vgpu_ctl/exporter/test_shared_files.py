"""The dashboard and the rules speak of metrics and labels that there are."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.unit.vgpu_ctl.exporter.shared_files import (
    ALERT_TESTS,
    SCRAPE,
    Expression,
    alert_names,
    dashboard,
    panel_expressions,
    rule_expressions,
    rules,
    variable_expressions,
)
from vgpu_ctl.exporter.facts import FAMILIES, Kind

OF_PROMETHEUS = {"instance", "job"}
LABELS = {family.name: OF_PROMETHEUS | set(family.labels) for family in FAMILIES} | {
    f"{family.name}_{suffix}": OF_PROMETHEUS | set(family.labels) | {"le"}
    for family in FAMILIES
    if family.kind is Kind.HISTOGRAM
    for suffix in ("bucket", "count", "sum")
}
EXPRESSIONS = [*panel_expressions(), *variable_expressions(), *rule_expressions()]
_NAME = re.compile(r"(?<!:)\b(vgpud_\w+)")
_SELECTOR = re.compile(r"\b(?P<name>vgpud_\w+)\{(?P<labels>[^}]*)\}")
_MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"')
_GROUPING = re.compile(r"\b(?:by|on|group_left) \((?P<labels>[^)]*)\)")


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.where)
def test_metrics_and_labels_are_there(expression: Expression) -> None:
    for name in _NAME.findall(expression.text):
        assert name in LABELS, name
    for selector in _SELECTOR.finditer(expression.text):
        for label in _MATCHER.findall(selector["labels"]):
            assert label in LABELS[selector["name"]], f"{selector['name']} has no {label}"
    known = set().union(*LABELS.values())
    for grouping in _GROUPING.finditer(expression.text):
        assert set(grouping["labels"].split(", ")) <= known


def test_counters_are_seen_as_rates() -> None:
    for family in FAMILIES:
        if family.kind is Kind.COUNTER:
            for expression in EXPRESSIONS:
                uses = expression.text.count(family.name)
                rates = len(re.findall(rf"(?:rate|increase)\({family.name}\b", expression.text))
                assert uses == rates, f"{expression.where}: {family.name}"


def test_what_operators_watch_is_on_the_dashboard() -> None:
    """All counters of time and trouble, and all histograms."""
    text = "\n".join(expression.text for expression in panel_expressions())
    for family in FAMILIES:
        if family.kind is Kind.HISTOGRAM or family.unit == "seconds":
            if family.name in ("vgpud_clock_seconds", "vgpud_mmio_trap_latency_longest_seconds"):
                continue
            assert family.name in text, family.name


def test_panels_are_apart_and_have_the_data_source_of_the_variable() -> None:
    board = dashboard()
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    names = {variable["name"] for variable in board["templating"]["list"]}
    used = {
        name
        for expression in (*panel_expressions(), *variable_expressions())
        for name in re.findall(r"\$(\w+)", expression.text)
    }
    assert used - {"__rate_interval"} == names - {"datasource"}
    assert board["id"] is None


def test_alerts_say_what_and_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert set(rule["annotations"]) == {"summary", "description"}
            assert "{{" in rule["annotations"]["summary"]


@pytest.mark.parametrize("alert", alert_names())
def test_each_alert_has_a_test(alert: str) -> None:
    """It fires at some time of its group, and at another nothing does."""
    groups = {
        group["name"]: group["promql_expr_test"]
        for group in yaml.safe_load(ALERT_TESTS.read_text(encoding="utf-8"))["tests"]
    }
    results = [test["exp_samples"] for test in groups[alert]]
    assert [] in results
    assert any(f'alertname="{alert}"' in s["labels"] for samples in results for s in samples)


def test_the_scrape_example_names_the_job_of_the_alerts() -> None:
    example = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))
    assert [job["job_name"] for job in example["scrape_configs"]] == ["vgpud"]
    assert example["rule_files"] == ["alerts.yml"]
