"""The messages of `make venv` where the machine lacks something."""

import subprocess
import sys
from pathlib import Path

import pytest

from mediator.native_sources import EXECUTION_UNITS, EXTENSIONS, HOTPATH, version
from tests.guests import environment
from tests.guests.packages import EXTENSION_PACKAGES
from tests.guests.served import REPOSITORY
from tests.guests.setup_error import SetupError


def test_an_old_python_is_a_message() -> None:
    with pytest.raises(SetupError, match=r"python3 is 3\.9\.2"):
        environment.check_python((3, 9, 2))
    environment.check_python((3, 11, 0))


def test_what_the_extension_lacks_is_named(tmp_path: Path) -> None:
    lacks = environment.missing_for_extension(lambda name: None, tmp_path)
    assert lacks == ["a C compiler", "Python's headers"]


def test_without_root_the_exact_command_is_printed() -> None:
    with pytest.raises(SetupError) as raised:
        environment.install_or_explain(["a C compiler"], EXTENSION_PACKAGES, uid=1000)
    assert "apt-get install -y gcc libc6-dev python3-dev" in str(raised.value)


def test_main_prints_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "MINIMUM_PYTHON", (99, 0))
    assert environment.main(["/nowhere"]) == 1
    assert capsys.readouterr().err.startswith("error: python3 is ")


SETUP = """
from pathlib import Path
from mediator.native_sources import EXTENSIONS, version
for each in EXTENSIONS if {works} else ():
    package = Path("mediator").resolve()
    place = package.joinpath(*each.module.split(".")[1:]).with_suffix(".abi3.so")
    place.write_bytes(version(each, package).encode())
"""
"""A build in place that takes no time, or that fails and says nothing."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two sources that is built."""
    made = tmp_path / "mediator"
    for name in ("hotpath/walk.c", "softgpu/eu/native/pool.c"):
        (made / name).parent.mkdir(parents=True)
        (made / name).write_text(name)
    for each in EXTENSIONS:
        place = made.joinpath(*each.module.split(".")[1:]).with_suffix(".abi3.so")
        place.write_bytes((version(each, made) or "").encode())
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return made


def _setup(package: Path, works: bool) -> None:
    (package.parent / "setup.py").write_text(SETUP.format(works=works))


def test_what_is_fresh_is_not_built_again(package: Path) -> None:
    environment.refresh_extensions(Path("/nowhere/python"), package)


@pytest.mark.parametrize("left", ["_hotpath.abi3.so", "_hotpath.cpython-311-x86_64.so"])
def test_what_is_stale_is_built_again_whatever_its_time(package: Path, left: str) -> None:
    _setup(package, works=True)
    (package / "hotpath" / left).write_bytes(b"of an older checkout, and written last")
    environment.refresh_extensions(Path(sys.executable), package)
    environment.check_extensions(package)
    [built] = (package / "hotpath").glob("*.so")
    assert built.read_bytes().decode() == version(HOTPATH, package)


def test_a_build_that_fails_leaves_nothing_stale_and_is_told(package: Path) -> None:
    _setup(package, works=False)
    (package / "softgpu/eu/native/pool.c").write_text("int x(")
    with pytest.raises(SetupError) as raised:
        environment.refresh_extensions(Path(sys.executable), package)
    assert str(raised.value).startswith(f"the build of {EXECUTION_UNITS.module} failed; to see why")
    assert not list((package / "softgpu/eu").glob("*.so"))
    assert list((package / "hotpath").glob("*.so"))


def test_a_first_build_that_fails_is_told(package: Path) -> None:
    for each in (package / "hotpath").glob("*.so"):
        each.unlink()
    with pytest.raises(SetupError, match=f"the build of {HOTPATH.module} failed"):
        environment.check_extensions(package)


def test_objects_are_compiled_whatever_their_time() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", _FORCED], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert shown.stdout.split()[-1:] == ["True"], shown.stderr


_FORCED = """

import setuptools
from distutils.core import run_setup
command = run_setup("setup.py", stop_after="config").get_command_obj("build_ext")
command.ensure_finalized()
print(bool(command.force))
"""
