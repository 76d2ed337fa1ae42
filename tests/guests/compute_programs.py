"""Build the small C programs of `tests/guests/programs` on the host, and run them in a guest."""

import base64
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests import packages, store
from tests.guests.boot import Guest
from tests.guests.debian import PrivateApt
from tests.guests.private_program import private_command
from tests.guests.setup_error import SetupError

_SOURCES = Path(__file__).parent / "programs"
_SHADERS = Path(__file__).parents[1] / "eu_corpus" / "shaders"
_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror")
_CHUNK = 48 << 10
_SECONDS = 240.0
_LINE = re.compile(r"^(?P<result>pass|fail|device) (?P<text>.*)$", re.M)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said: its device, the checks that passed, and what went wrong."""

    device: str
    passed: tuple[str, ...]
    failures: tuple[str, ...]


def built(root: Path | None = None) -> Path:
    """The directory with opencl_check, vulkan_check, vulkan_run and all shaders as SPIR-V.

    Raises SetupError.
    """
    cache = root or store.cache_root()
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SetupError("no C compiler: run (as root)\n  apt-get install -y gcc libc6-dev")
    sources = sorted(
        file
        for place in (_SOURCES, _SHADERS)
        for file in place.iterdir()
        if file.suffix in (".c", ".comp", ".h")
    )
    kit = _kit(cache)
    content = [(file.name, file.read_bytes()) for file in sources]
    key = store.digest(content, _FLAGS, packages.COMPUTE_KIT)

    def build(target: Path) -> None:
        include = str(kit / "usr" / "include")
        for file in sources:
            if file.suffix == ".c":
                out = ["-o", str(target / file.stem), str(file), "-ldl"]
                _run([compiler, *_FLAGS, "-idirafter", include, *out])
            elif file.suffix == ".comp":
                glslang = private_command(kit, "usr/bin/glslangValidator")
                out = ["-o", str(target / f"{file.stem}.spv"), str(file)]
                _run([*glslang, "-V", "--target-env", "vulkan1.1", *out])

    return store.artefact(cache, "compute-programs", key, build)


def _kit(root: Path) -> Path:
    def build(target: Path) -> None:
        store.say("headers and shader compiler for the compute programs (once):")
        PrivateApt(packages.COMPUTE_KIT.world, root).unpack(packages.COMPUTE_KIT, target)

    return store.artefact(root, "compute-kit", store.digest(1, packages.COMPUTE_KIT), build)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"{Path(command[-1]).name}: {done.stdout}{done.stderr}"[-3000:])


def send_file(guest: Guest, file: Path, target: str) -> None:
    """Copy a file of the host into the guest and let it be run."""
    encoded = base64.b64encode(file.read_bytes()).decode()
    guest.check(f": >{target}.b64")
    for at in range(0, len(encoded), _CHUNK):
        guest.check(f"printf %s {encoded[at : at + _CHUNK]} >>{target}.b64")
    guest.check(f"busybox base64 -d {target}.b64 >{target}; chmod +x {target}; rm {target}.b64")


def parse_answer(output: str) -> Answer:
    """What a program printed."""
    lines = [(match["result"], match["text"]) for match in _LINE.finditer(output)]
    failures = tuple(text for result, text in lines if result == "fail")
    passed = tuple(text for result, text in lines if result == "pass")
    if not passed and not failures:
        failures = (f"said nothing of use: {' '.join(output.split())[-300:]}",)
    device = next((text for result, text in lines if result == "device"), "none")
    return Answer(device, passed, failures)


def opencl(guest: Guest, seed: int = 1) -> Answer:
    """Run the OpenCL program in the guest."""
    send_file(guest, built() / "opencl_check", "/tmp/opencl_check")
    return parse_answer(guest.run(f"/tmp/opencl_check {seed}", _SECONDS).output)


def vulkan(guest: Guest, seed: int = 1) -> Answer:
    """Run the Vulkan program in the guest."""
    send_file(guest, built() / "vulkan_check", "/tmp/vulkan_check")
    send_file(guest, built() / "vulkan_check.spv", "/tmp/vulkan_check.spv")
    command = f"/tmp/vulkan_check /tmp/vulkan_check.spv {seed}"
    return parse_answer(guest.run(command, _SECONDS).output)
