"""A real Prometheus: it takes what vgpud exports, and the dashboard and the rules find data there.

`metrics_url` is the one thing that says what is scraped.
"""

from __future__ import annotations

import math
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.bench.busy_driver import Busy
from tests.guests.prometheus import (
    Prometheus,
    PrometheusError,
    PrometheusPrograms,
    Sample,
    find_prometheus,
    promtool,
)
from tests.guests.store import cache_root
from tests.integration.control_rig import METRICS as METRICS_ON
from tests.integration.control_rig import PATIENT_GPU, ControlRig, running, stats_of
from tests.unit.vgpu_ctl.exporter.shared_files import (
    ALERT_TESTS,
    ALERTS,
    SCRAPE,
    Expression,
    panel_expressions,
    rule_expressions,
    variable_expressions,
)
from tests.unit.vgpu_ctl.exporter.synthetic import SyntheticSource
from vgpu_ctl.exporter.exposition import Exposition
from vgpu_ctl.exporter.http import MetricsServer, open_listener
from vgpu_ctl.exporter.responses import METRICS

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

BUSY = ("web", "db")
CALLS = 2000
"""Of the busy drivers in one request: it takes longer than a slice."""
WORK_SECONDS = 3600.0
"""They are ended before."""
SCRAPES = 5
"""As many make a rate."""
DATA_SECONDS = 60.0
TRIES = 4


@pytest.fixture(scope="module")
def programs() -> PrometheusPrograms:
    """Prometheus and promtool."""
    return find_prometheus(cache_root())


def serving(source: SyntheticSource) -> MetricsServer:
    """The exporter on a free port."""
    return MetricsServer(Exposition(source).text, [open_listener("127.0.0.1", 0)])


def url(server: MetricsServer) -> str:
    """Where its metrics are."""
    host, port = server.addresses[0]
    return f"http://{host}:{port}{METRICS}"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRig]:
    """A vgpud with two vGPUs that are busy, one that waits for a client, and one defined."""
    config = METRICS_ON + PATIENT_GPU
    with running(tmp_path_factory.mktemp("vgpud"), config) as rig, ExitStack() as stack:
        with rig.client() as client:
            for name in BUSY:
                made = client.create(name=name, type="V9_4", weight=100)
                busy = stack.enter_context(Busy(made.socket, "rcs0", CALLS))
                stack.callback(busy.end)
                busy.start(WORK_SECONDS)
            client.create(name="waits", type="private")
            client.define(name="later", type="V9_8")
        yield rig


@pytest.fixture(scope="module")
def metrics_url(daemon: ControlRig) -> str:
    """Its metrics."""
    with daemon.client() as client:
        return client.version().metrics


@pytest.fixture(scope="module")
def prometheus(programs: PrometheusPrograms, metrics_url: str) -> Iterator[Prometheus]:
    """It has scraped a few times."""
    with Prometheus(programs, metrics_url, [ALERTS]) as server:
        scraped(server, SCRAPES)
        yield server


def scraped(prometheus: Prometheus, times: int) -> None:
    """Wait until it has scraped its target so often."""
    prometheus.wait_for(
        lambda: any(s.value >= times for s in prometheus.query("count_over_time(up[1h])")),
        DATA_SECONDS,
        f"not yet {times} scrapes: {prometheus.targets()}",
    )


def data(prometheus: Prometheus, expression: str) -> list[Sample]:
    """The series of an expression that have a number, as soon as there are some."""
    found: list[Sample] = []

    def is_there() -> bool:
        found[:] = [s for s in prometheus.query(expression) if math.isfinite(s.value)]
        return bool(found)

    prometheus.wait_for(is_there, DATA_SECONDS, f"no data: {expression}")
    return found


def test_promtool_has_no_complaint_of_the_metrics(
    programs: PrometheusPrograms, metrics_url: str
) -> None:
    with urllib.request.urlopen(metrics_url, timeout=DATA_SECONDS) as answer:
        text = answer.read()
    assert b"vgpud_vgpu_info{" in text
    done = promtool(programs, "check", "metrics", text=text)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "--lint-fatal", str(ALERTS)),
        ("check", "config", "--lint-fatal", str(SCRAPE)),
        ("test", "rules", str(ALERT_TESTS)),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_passes(programs: PrometheusPrograms, arguments: tuple[str, ...]) -> None:
    done = promtool(programs, *arguments)
    assert done.returncode == 0, done.stdout
    assert "SUCCESS" in done.stdout


def test_every_scrape_is_taken(prometheus: Prometheus) -> None:
    """Some in a row: one that took a second on a busy machine is given up."""

    def are_taken() -> bool:
        (target,) = prometheus.targets()
        found = prometheus.query(f"min_over_time(up[{SCRAPES + 1}s])")
        return (target["health"], target["lastError"]) == ("up", "") and [
            sample.value for sample in found
        ] == [1]

    prometheus.wait_for(are_taken, DATA_SECONDS, f"not taken: {prometheus.targets()}")


@pytest.mark.parametrize(
    "expression",
    [*panel_expressions(), *variable_expressions()],
    ids=lambda expression: expression.where,
)
def test_every_expression_of_the_dashboard_returns_data(
    prometheus: Prometheus, expression: Expression
) -> None:
    assert data(prometheus, expression.filled_in())


@pytest.mark.parametrize("expression", rule_expressions(), ids=lambda expression: expression.where)
def test_every_expression_of_the_rules_is_valid(
    prometheus: Prometheus, expression: Expression
) -> None:
    prometheus.query(expression.text)


def test_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    def evaluated() -> bool:
        return all(rule["health"] != "unknown" for rule in prometheus.rules())

    prometheus.wait_for(evaluated, DATA_SECONDS, "not every rule was evaluated")
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {e.where for e in rule_expressions()}
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_legends_have_the_names_of_vgpus(prometheus: Prometheus) -> None:
    infos = data(prometheus, "vgpud_vgpu_info")
    names = {info.labels["vgpu"]: info.labels["name"] for info in infos}
    expression = next(e for e in panel_expressions() if e.where == "GPU time by vGPU A")
    for series in data(prometheus, expression.filled_in()):
        assert series.labels["name"] == names[series.labels["vgpu"]]


def test_a_change_of_weights_shows_within_two_seconds_and_loses_nothing(
    daemon: ControlRig, prometheus: Prometheus
) -> None:
    """From 1:1 to 3:1 under load, by samples that Prometheus took in the two seconds after it.

    A machine that stands still has not taken two: then it is tried again.
    """
    rate = "rate(vgpud_vgpu_gpu_seconds_total[2s]) * on(vgpu) group_left(name) vgpud_vgpu_info"

    def ratio(at: float | None = None) -> float | None:
        gpu = {s.labels["name"]: s.value for s in prometheus.query(rate, at)}
        return gpu["web"] / max(gpu["db"], 1e-9) if gpu.keys() >= set(BUSY) else None

    def is_even() -> bool:
        return 0.6 < (ratio() or 0.0) < 1.6

    with daemon.client() as client:
        for _ in range(TRIES):
            prometheus.wait_for(is_even, DATA_SECONDS, "not 1:1 before")
            client.modify("web", weight=300)
            changed = time.time()
            time.sleep(4)
            after = ratio(changed + 2)
            weights = data(prometheus, 'vgpud_sched_weight * on(vgpu) vgpud_vgpu_info{name="web"}')
            client.modify("web", weight=100)
            if after is not None and 2.0 < after < 4.5:
                break
        assert after is not None, "no two samples in two seconds"
        assert 2.0 < after < 4.5
        assert [weight.value for weight in weights] == [300]
        for name in BUSY:
            assert stats_of(client, name).hangs == 0
            assert stats_of(client, name).engines["rcs0"].failed == {}


def test_a_wrong_expression_is_an_error(prometheus: Prometheus) -> None:
    with pytest.raises(PrometheusError, match="parse error"):
        prometheus.query("sum(")


def test_hostile_names_arrive_as_they_are(programs: PrometheusPrograms) -> None:
    hostile = {0: 'a"b\\n\\\nc{d="e"},%s\t\r\x7f\x01\u00e9\U0001f600', 1: "\0\ud800"}
    with (
        serving(SyntheticSource(time.monotonic, domains=hostile)) as server,
        Prometheus(programs, url(server)) as prometheus,
    ):
        scraped(prometheus, 1)
        assert prometheus.targets()[0]["lastError"] == ""
        infos = data(prometheus, 'vgpud_vgpu_info{domain!=""}')
    domains = {info.labels["name"]: info.labels["domain"] for info in infos}
    assert domains == {"guest0": hostile[0], "guest1": "\N{REPLACEMENT CHARACTER}?"}
