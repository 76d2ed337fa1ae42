"""The Vulkan jobs are whole: their lines, files and shaders, and judges that can refuse."""

from pathlib import Path

import pytest

from tests.eu_corpus import vulkan_case
from tests.eu_corpus.vulkan_case import Tiled
from tests.eu_corpus.vulkan_cases import VULKAN_CASES

_SHADERS = Path(vulkan_case.__file__).parent / "shaders"


@pytest.mark.parametrize("name", VULKAN_CASES)
def test_a_job_names_what_there_is(name: str) -> None:
    case = VULKAN_CASES[name]()
    files = case.files()
    for line in case.lines():
        words = line.split()
        if words[0] in ("run", "indirect"):
            assert (_SHADERS / words[1].replace(".spv", ".comp")).exists()
        elif words[0] in ("buffer", "uniform", "image", "texture", "push"):
            assert files[words[-1]]


@pytest.mark.parametrize("name", VULKAN_CASES)
def test_what_was_there_before_is_no_answer(name: str) -> None:
    case = VULKAN_CASES[name]()
    files = case.files()
    assert case.judge(case.memory(files.__getitem__))


def test_every_shader_is_run() -> None:
    run = {step.shader for case in VULKAN_CASES.values() for step in case().steps}
    assert run == {file.stem for file in _SHADERS.glob("*.comp")}


def test_tiled_images_have_no_file() -> None:
    case = VULKAN_CASES["tiled_image"]()
    assert isinstance(case.resources[0], Tiled)
    assert case.files().keys() == {"2.bin"}
