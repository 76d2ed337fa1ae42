"""The dashboard and the rules that are shipped: where they are, and the expressions in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SHARE = Path(__file__).resolve().parents[4] / "vgpu_ctl" / "share"
DASHBOARD = SHARE / "grafana" / "vgpud.json"
ALERTS = SHARE / "prometheus" / "alerts.yml"
ALERT_TESTS = SHARE / "prometheus" / "alerts_test.yml"
SCRAPE = SHARE / "prometheus" / "prometheus.yml"

_LABEL_VALUES = re.compile(r"label_values\((?P<series>.*), *(?P<label>\w+)\)")
_QUERY_RESULT = re.compile(r"query_result\((?P<series>.*)\)")


@dataclass(frozen=True, slots=True)
class Expression:
    """PromQL with where it stands."""

    where: str
    text: str

    def filled_in(self, interval: str = "10s") -> str:
        """As Grafana sends it, with all chosen; ``interval``: of rates."""
        text = self.text.replace("$__rate_interval", interval)
        return re.sub(r"\$\w+", ".*", text)


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    decoded = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert isinstance(decoded, dict)
    return decoded


def panel_expressions() -> list[Expression]:
    """Every expression of the dashboard's panels."""
    return [
        Expression(f"{panel['title']} {target['refId']}", target["expr"])
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def variable_expressions() -> list[Expression]:
    """The series that the dashboard's variables take their values from."""
    found = []
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]["query"]
            match = _LABEL_VALUES.fullmatch(query) or _QUERY_RESULT.fullmatch(query)
            assert match is not None, query
            found.append(Expression(f"${variable['name']}", match["series"]))
    return found


def rules() -> Iterator[dict[str, Any]]:
    """Alerts and recorded series."""
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def alert_names() -> list[str]:
    """The alerts."""
    return [rule["alert"] for rule in rules() if "alert" in rule]


def rule_expressions() -> list[Expression]:
    """Every expression of the rules."""
    return [Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
