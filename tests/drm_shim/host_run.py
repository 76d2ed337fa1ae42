"""A compute suite through a driver on this machine, without a guest."""

import subprocess
from collections.abc import Sequence

from tests.drm_shim.runner import Runner
from tests.drm_shim.session import Session
from tests.guests.compute_suites import Driver, Suite, words
from tests.guests.userland import userland


def run_suite(
    driver: Driver, suite: Suite, size: str, cases: Sequence[str], seconds: float
) -> tuple[str, bool]:
    """What the suite said, and whether it came to its end in time. Raises SetupError."""
    more = {"kit": suite.kit(driver.userland)} if suite.kit else {}
    variables = dict(variable.split("=", 1) for variable in driver.variables)
    gpu = Runner()
    try:
        with Session(userland(driver.userland), gpu, more) as session:
            command = words(driver, suite, "/host/kit", size, tuple(cases))
            try:
                done = session.run(command, variables, seconds)
            except subprocess.TimeoutExpired as error:
                said = error.stdout or b""
                return (said.decode(errors="replace") if isinstance(said, bytes) else said), False
            return done.stdout, done.returncode in (0, 1)
    finally:
        gpu.close()
