"""The messages of `make venv` where the machine lacks something."""

from pathlib import Path

import pytest

from tests.guests import environment
from tests.guests.packages import EXTENSION_PACKAGES
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
