"""LLVM text to an object for this host: optimiser and code generator. Runs in the compiler process.

LLVM ends the process on errors of its own (`abort`), which is why nobody else calls this.
"""

from __future__ import annotations

from functools import cache
from typing import Any

LLVM_LEVEL = 2


class CompilationError(Exception):
    """LLVM refused the text, which is a fault of the translator's."""


def host_features() -> tuple[str, str]:
    """Name and features of the host's processor, as LLVM writes them."""
    import llvmlite.binding as llvm  # only where it is used: large, and an extra

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def llvm_version() -> tuple[int, ...]:
    """Of the LLVM that compiles."""
    import llvmlite.binding as llvm

    return tuple(llvm.llvm_version_info)


@cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = host_features()
    target = llvm.Target.from_default_triple()
    # Whole addresses: the linker aborts the process where code and its constants come to lie more
    # than 2 GiB apart, as they do beside a guest's memory.
    return target.create_target_machine(
        cpu=cpu, features=features, opt=LLVM_LEVEL, reloc="static", codemodel="large"
    )


def compile_text(text: str) -> bytes:
    """An object file of the module.

    Raises:
        CompilationError: The text is not valid.
    """
    import llvmlite.binding as llvm

    machine = _machine()
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise CompilationError(str(error)) from error
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    _optimise(llvm, machine, module)
    return bytes(machine.emit_object(module))


def assembly(text: str) -> str:
    """The same as the host's assembly, to read."""
    import llvmlite.binding as llvm

    machine = _machine()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    _optimise(llvm, machine, module)
    return str(machine.emit_assembly(module))


def _optimise(llvm: Any, machine: Any, module: Any) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=LLVM_LEVEL)
    # Everything is vectors already: these find nothing and take time.
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
