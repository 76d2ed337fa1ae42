"""A trial runs what it was told, wherever the tests stand: without a fault all pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.project_copy import ProjectCopy
from tests.mutation.trial import Outcome, TrialBench

TESTS = {"tests/one/test_one.py::test_it": 1.0, "tests/two/test_two.py::test_it": 1.0}


@pytest.fixture
def bench(tmp_path: Path) -> TrialBench:
    """A project of one module, with two folders of tests that have a conftest.py each."""
    files = {"halving.py": "def half(n):\n    return n // 2\n", "scratch/nothing": ""}
    for folder in ("one", "two"):
        files[f"tests/{folder}/conftest.py"] = (
            f"import pytest\n\n@pytest.fixture\ndef {folder}():\n    return 4\n"
        )
        files[f"tests/{folder}/test_{folder}.py"] = (
            f"from halving import half\n\ndef test_it({folder}):\n    assert half({folder}) == 2\n"
        )
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return TrialBench(ProjectCopy(tmp_path), 1)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("return n // 2", Outcome.SURVIVED),
        ("return n - 2", Outcome.SURVIVED),
        ("return n * 2", Outcome.KILLED),
        ("return n //", Outcome.KILLED),
    ],
)
def test_tests_of_several_folders(bench: TrialBench, body: str, outcome: Outcome) -> None:
    (bench.copy.root / "halving.py").write_text(f"def half(n):\n    {body}\n")
    assert bench.run(TESTS) is outcome


def test_without_tests_nothing_is_noticed(bench: TrialBench) -> None:
    (bench.copy.root / "tests/one/test_one.py").write_text("")
    assert bench.run({"tests/one/test_one.py": 1.0}) is Outcome.SURVIVED
