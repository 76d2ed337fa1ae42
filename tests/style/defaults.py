"""Defaults that are not False, 0 or nothing; see test_defaults.py."""

from __future__ import annotations

DEFAULTS: dict[str, str] = {
    "mediator.capacity": "Pool.unit=1 Pool.granularity=1",
    "mediator.gen9.commands": "_mi(minimum)=1 CommandRow.minimum=1",
    "mediator.gen9.context_image": """
        _block(posted)=True _block(relative)=True ImageRegister.relative=True
    """,
    "mediator.gen9.pci": "build_config_space(ggms)=3",
    "mediator.hotpath.interface": "Blit.write_mask=4294967295",
    "mediator.physical.host": "HostGpu.__init__(slab_iova)=1048576",
    "mediator.physical.partition": "Window.iova(length)=4096",
    "mediator.softgpu.address_space": "Ggtt.__init__(size_bytes)=4294967296",
    "mediator.softgpu.blitter": "_Work.write_mask=4294967295",
    "mediator.softgpu.context_state": "ContextState.arbitration=True",
    "mediator.softgpu.engine": "Engine.run_detour(quanta)=4",
    "mediator.gen9.eu.control_register": """
        FloatMode.keep_df=True FloatMode.keep_f=True FloatMode.keep_hf=True
    """,
    "mediator.softgpu.eu.bases": "Bases.general_size=4294967296",
    "mediator.softgpu.eu.dispatch.fair_store": "FairStore.put(weight)=1",
    "mediator.softgpu.eu.dispatch.job": "KernelJob.gpgpu=True",
    "mediator.softgpu.eu.interpreter.shelf": "Shelf.__init__(most)=16384",
    "mediator.softgpu.eu.isa.assembler": """
        Assembler.__init__(width)=8 Assembler.__init__(compacting)=True Assembler.end(payload)=127
    """,
    "mediator.softgpu.eu.isa.decoder": "decode_word(size)=16",
    "mediator.softgpu.eu.isa.encoder": "_offset(unit)=1",
    "mediator.softgpu.eu.isa.operands": "_macro_accumulator(none)=True",
    "mediator.softgpu.eu.isa.program": "Program.__init__(whole)=True",
    "mediator.softgpu.eu.isa.register": "Register.stride=1",
    "mediator.softgpu.eu.messages.block": "block(unit)=16",
    "mediator.softgpu.eu.messages.lanes": "lanes32(scale)=1",
    "mediator.softgpu.eu.translator.cache": "DiskCache.__init__(most_bytes)=268435456",
    "mediator.softgpu.eu.translator.compute": "enabled(predicated)=True",
    "mediator.softgpu.eu.translator.early_modes": "EarlyModes.kept=4294967295",
    "mediator.softgpu.eu.translator.message_shape": "LaneAccess.unit=1",
    "mediator.softgpu.eu.translator.process": """
        ProcessLimits.memory=2147483648 ProcessLimits.seconds=20 ProcessLimits.requests=500
    """,
    "mediator.softgpu.eu.translator.registers": "Memory.align=32",
    "mediator.softgpu.eu.translator.text": """
        zero(lanes)=1 Text.alloca(lanes)=1 Text.alloca(align)=64 Value.lanes=1
    """,
    "mediator.softgpu.eu.translator.translations": """
        TranslationLimits.pending=64 TranslationLimits.kernels=4096
        TranslationLimits.kept_bytes=268435456 TranslationLimits.failures=16384
    """,
    "mediator.softgpu.execlist": "Execlists.write_pointer=5 Execlists.read_pointer=5",
    "mediator.softgpu.strictness": "Strictness.bcs_unprotected=True",
    "mediator.translation.addressing": "Addressing.iova(length)=4096",
    "mediator.translation.direct": "DirectAddressing.iova(length)=4096",
    "mediator.translation.shadow": "ShadowAddressing.iova(length)=4096",
    "mediator.vgpu.door": "Door.enter(timeout_s)=-1",
    "mediator.vgpu.execlist": "Element.slot=-1 Execlists.write_pointer=5 Execlists.read_pointer=5",
    "mediator.vgpu.fences": "decode_all(count)=32",
    "mediator.vgpu.metrics": "EngineCounters.fail(count)=1 VgpuCounters.reject(times)=1",
    "mediator.vgpu.state": "VgpuState.version=4",
    "mediator.vgpu.trace": "Trace.add(duration_ns)=-1",
    "mediator.vgpu.vgpu": "Vgpu.note(duration_ns)=-1 Vgpu.reject(times)=1",
    "mediator.vgpu.vgpu_type": "VgpuType.window=17179869184 VgpuType.fences=32",
    "mediator.workload.audit_rules": "Address.size=4 Address.align=4",
    "mediator.workload.batch_shadow": "BatchShadow.shadow(align)=64",
    "mediator.workload.user_space": "UserSpace.mask=281474976710655",
    "mmio_trap.config_space": """
        ConfigSpace.__init__(size)=256 ConfigSpace.add_msi(vectors)=1 ConfigSpace.add_msi(wide)=True
    """,
    "mmio_trap.device": "Region.readable=True Region.writable=True",
    "mmio_trap.log_budget": "LogBudget.__init__(burst)=100 LogBudget.__init__(per_second)=20",
    "mmio_trap.memory_budget": """
        MemoryBudget.ranges=65535 MemoryBudget.mappings=1024
        MemoryBudget.address_space=1099511627776
    """,
    "mmio_trap.register_map": "register_array(stride)=4",
    "mmio_trap.vfio_user.client": "Client.set_irqs(count)=1",
    "mmio_trap.vfio_user.server": "Server.__init__(mode)=384",
    "mmio_trap.vfio_user.version": "Version.max_msg_fds=8 Version.max_data_xfer_size=1048576",
    "scheduler.simulator": "Request.preemptible=True",
}
