"""A real Prometheus, Debian's, as a private copy: its checks of files, and a server that scrapes.

with Prometheus(find_prometheus(cache_root()), scrape_target("localhost:9446")) as prometheus:
    prometheus.query("vgpud_gpu_up")
"""

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.lifetime import die_with_parent
from tests.guests.private_program import private_command

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_ANSWER_SECONDS = 30.0
_ATTEMPTS = 5
"""To find a port that nobody takes before Prometheus does."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy of the environment: Prometheus is on this machine."""


class PrometheusError(Exception):
    """Prometheus refused something or did not start; the text is its own."""


@dataclass(frozen=True, slots=True)
class PrometheusPrograms:
    """Heads of the argument lists of both programs."""

    server: tuple[str, ...]
    tool: tuple[str, ...]


def find_prometheus(root: Path) -> PrometheusPrograms:
    """The private copy under ``root``, fetched if it is not there. Raises SetupError."""

    def build(target: Path) -> None:
        store.say("Prometheus, private copy (once):")
        PrivateApt(packages.PROMETHEUS.world, root).unpack(packages.PROMETHEUS, target)
        for name in ("doc", "man", "locale", "lintian"):
            shutil.rmtree(target / "usr" / "share" / name, ignore_errors=True)

    tree = store.artefact(root, "prometheus", store.digest(packages.PROMETHEUS), build)
    return PrometheusPrograms(
        tuple(private_command(tree, "usr/bin/prometheus")),
        tuple(private_command(tree, "usr/bin/promtool")),
    )


def promtool(
    programs: PrometheusPrograms, *arguments: str, text: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run promtool with ``text`` as its input; standard error is in the output too."""
    done = subprocess.run(
        [*programs.tool, *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_ANSWER_SECONDS,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace")
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer and its value now."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """A Prometheus that scrapes one target each second. A context manager; ready when entered."""

    def __init__(
        self,
        programs: PrometheusPrograms,
        target: str,
        rules: Sequence[Path] = (),
        job: str = "vgpud",
    ) -> None:
        """``target``: URL of the metrics. ``rules``: files of alerts and recorded series."""
        self._programs = programs
        self._target = urllib.parse.urlsplit(target)
        self._rules = [str(path.resolve()) for path in rules]
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = contextlib.ExitStack()
        self._log = Path()
        self._address = ""

    def __enter__(self) -> Self:
        for attempt in range(_ATTEMPTS):
            with contextlib.ExitStack() as stack:
                made = stack.enter_context(tempfile.TemporaryDirectory(prefix="prometheus-"))
                self._start(Path(made), stack)
                try:
                    self._wait_until_ready()
                except PrometheusError as error:
                    if "address already in use" not in str(error) or attempt == _ATTEMPTS - 1:
                        raise
                else:
                    self._stack = stack.pop_all()
                    break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """What ``expression`` is: the series of a vector, or one without labels of a scalar.

        Now, or as it was ``at`` (seconds since the epoch). Raises PrometheusError for one that is
        not valid.
        """
        time_of_it = {} if at is None else {"time": f"{at:.3f}"}
        data = self._ask("/api/v1/query", query=expression, **time_of_it)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(item["metric"], float(item["value"][1])) for item in data["result"]]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with `health` and `lastError` of the last time."""
        return list(self._ask("/api/v1/targets")["activeTargets"])

    def rules(self) -> list[dict[str, Any]]:
        """The rules, with `health` and `lastError` of their last evaluation."""
        groups = self._ask("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Until ``condition``; raises PrometheusError that names ``what`` after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise PrometheusError(f"after {seconds} s: {what}")
            time.sleep(0.2)

    def _configuration(self) -> str:
        """The configuration; JSON is YAML."""
        scrape = {
            "job_name": self._job,
            "metrics_path": self._target.path,
            "static_configs": [{"targets": [self._target.netloc]}],
        }
        return json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": self._rules,
                "scrape_configs": [scrape],
            }
        )

    def _start(self, directory: Path, stack: contextlib.ExitStack) -> None:
        configuration = directory / "prometheus.yml"
        configuration.write_text(self._configuration())
        self._address = f"127.0.0.1:{_free_port()}"
        self._log = directory / "log"
        log = stack.enter_context(self._log.open("wb"))
        command = [
            *self._programs.server,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={self._address}",
            "--log.level=warn",
        ]
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        stack.callback(self._stop, self._process)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace")[-2000:]
                raise PrometheusError(f"Prometheus did not start: {said}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            with _DIRECT.open(f"http://{self._address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, path: str, **parameters: str) -> Any:
        body = urllib.parse.urlencode(parameters)
        address = f"http://{self._address}{path}?{body}"
        try:
            with _DIRECT.open(address, timeout=_ANSWER_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise PrometheusError(f"{parameters or path}: {said}") from error

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
