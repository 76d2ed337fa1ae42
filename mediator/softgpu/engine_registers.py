"""The registers that each engine has: rows at its base, and the handlers that need the engine.

Source: PRM SKL vol 2c "Command Reference: Registers"; offsets in `gen9/registers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mediator.gen9 import registers as reg
from mediator.gen9.engines import EngineFacts
from mediator.gen9.execlist import CSB_ENTRIES, CSB_RESET_POINTER
from mmio_trap.register_map import Access, Register, register_array

if TYPE_CHECKING:
    from mediator.softgpu.engine import Engine
    from mediator.softgpu.gpu import SoftGpu

_ALL_MASKED = 0xFFFF_FFFF
_PAGE_DIRECTORY_DWORDS = 8

Reader = Callable[["Engine"], int]
Writer = Callable[["Engine", int], None]


def engine_rows(facts: EngineFacts) -> list[Register[SoftGpu]]:
    """Rows of the engine's own registers, at absolute BAR0 offsets."""
    name, base = facts.name, facts.mmio_base

    def row(
        label: str,
        offset: int,
        access: Access,
        *,
        reset: int = 0,
        read: Reader | None = None,
        write: Writer | None = None,
    ) -> Register[SoftGpu]:
        return Register(
            f"{name.upper()}_{label}",
            base + offset,
            access,
            reset,
            None if read is None else lambda gpu, _row: read(gpu.engines[name]),
            None if write is None else lambda gpu, _row, value: write(gpu.engines[name], value),
            source="PRM SKL vol 2c",
        )

    def array(label: str, offset: int, count: int, **rest: Any) -> list[Register[SoftGpu]]:
        return register_array(
            f"{name.upper()}_{label}", base + offset, count, source="PRM SKL vol 2c", **rest
        )

    rw, ro, wo, w1c, masked = Access.RW, Access.RO, Access.WO, Access.W1C, Access.MASKED
    return [
        row("EXCC", reg.RING_EXCC, masked),
        row("TAIL", reg.RING_TAIL, rw, read=_read_tail),
        row("HEAD", reg.RING_HEAD, rw, read=_read_head),
        row("START", reg.RING_START, rw, read=_read_start),
        row("CTL", reg.RING_CTL, rw, read=_read_control),
        row("SYNC_0", reg.RING_SYNC_0, rw),
        row("SYNC_1", reg.RING_SYNC_1, rw),
        row("SYNC_2", reg.RING_SYNC_2, rw),
        row("MAX_IDLE", reg.RING_MAX_IDLE, rw),
        row("PSMI_CTL", reg.RING_PSMI_CTL, masked),
        row("ACTHD_UDW", reg.RING_ACTHD_UDW, ro, read=lambda e: e.active_head() >> 32),
        row("DMA_FADD_UDW", reg.RING_DMA_FADD_UDW, ro, read=lambda e: e.active_head() >> 32),
        row("IPEIR", reg.RING_IPEIR, ro),
        row("IPEHR", reg.RING_IPEHR, rw),
        row("INSTDONE", reg.RING_INSTDONE, ro, reset=0xFFFF_FFFE),
        row("INSTPS", reg.RING_INSTPS, ro),
        row("ACTHD", reg.RING_ACTHD, ro, read=lambda e: e.active_head() & 0xFFFF_FFFF),
        row("DMA_FADD", reg.RING_DMA_FADD, ro, read=lambda e: e.active_head() & 0xFFFF_FFFF),
        row("HWS_PGA", reg.RING_HWS_PGA, rw),
        row("NOPID", reg.RING_NOPID, rw),
        row("HWSTAM", reg.RING_HWSTAM, rw, reset=_ALL_MASKED),
        row("MI_MODE", reg.RING_MI_MODE, masked, read=_read_mi_mode, write=_write_mi_mode),
        row("IMR", reg.RING_IMR, rw, reset=_ALL_MASKED),
        row("EIR", reg.RING_EIR, w1c),
        row("EMR", reg.RING_EMR, rw, reset=_ALL_MASKED),
        row("ESR", reg.RING_ESR, ro),
        row("INSTPM", reg.RING_INSTPM, masked),
        row("R_PWR_CLK_STATE", reg.RING_R_PWR_CLK_STATE, rw),
        row("CMD_CCTL", reg.RING_CMD_CCTL, rw),
        row("RESET_CTL", reg.RING_RESET_CTL, masked, write=_write_reset_ctl),
        row("BB_STATE", reg.RING_BB_STATE, ro, read=_read_bb_state),
        row("SBB_ADDR", reg.RING_SBB_ADDR, ro, read=lambda e: _batch_address(e, second=True)),
        row("SBB_STATE", reg.RING_SBB_STATE, ro),
        row("SBB_ADDR_UDW", reg.RING_SBB_ADDR_UDW, ro),
        row("BB_ADDR", reg.RING_BB_ADDR, ro, read=lambda e: _batch_address(e, second=False)),
        row("BB_START_ADDR", reg.RING_BB_START_ADDR, rw),
        row("BB_START_ADDR_UDW", reg.RING_BB_START_ADDR_UDW, rw),
        row("BB_ADDR_DIFF", reg.RING_BB_ADDR_DIFF, rw),
        row("BB_OFFSET", reg.RING_BB_OFFSET, rw),
        row("BB_ADDR_UDW", reg.RING_BB_ADDR_UDW, ro, read=_read_bb_addr_udw),
        row("PR_CTR_CTL", reg.RING_PR_CTR_CTL, rw),
        row("PR_CTR_THRSH", reg.RING_PR_CTR_THRSH, rw),
        row("CCID", reg.RING_CCID, rw),
        row("BB_PER_CTX_PTR", reg.RING_BB_PER_CTX_PTR, rw),
        row("INDIRECT_CTX", reg.RING_INDIRECT_CTX, rw),
        row("INDIRECT_CTX_OFFSET", reg.RING_INDIRECT_CTX_OFFSET, rw),
        row("ECOSKPD", reg.RING_ECOSKPD, masked),
        row("SWCTRL", reg.RING_SWCTRL, masked),
        row("PP_DIR_DCLV", reg.RING_PP_DIR_DCLV, rw),
        row("PP_DIR_BASE", reg.RING_PP_DIR_BASE, rw),
        row("SEMA_WAIT_POLL", reg.RING_SEMA_WAIT_POLL, rw),
        row("ELSP", reg.RING_ELSP, wo, write=lambda e, value: e.submit(value)),
        row("EXECLIST_STATUS_LO", reg.RING_EXECLIST_STATUS_LO, ro, read=lambda e: _status(e)[0]),
        row("EXECLIST_STATUS_HI", reg.RING_EXECLIST_STATUS_HI, ro, read=lambda e: _status(e)[1]),
        row("CONTEXT_CONTROL", reg.RING_CONTEXT_CONTROL, masked),
        *[
            row(
                f"PDP[{dword}]",
                reg.RING_PDP0_LDW + 4 * dword,
                rw,
                write=lambda e, _value: e.load_page_directory(),
            )
            for dword in range(_PAGE_DIRECTORY_DWORDS)
        ],
        row("MODE", reg.RING_MODE, masked),
        row("TIMESTAMP", reg.RING_TIMESTAMP, ro, read=lambda e: e.timestamp() & 0xFFFF_FFFF),
        row("TIMESTAMP_UDW", reg.RING_TIMESTAMP_UDW, ro, read=lambda e: e.timestamp() >> 32),
        *[
            row(
                f"CONTEXT_STATUS[{index}]",
                reg.RING_CONTEXT_STATUS_BUFFER + 4 * index,
                ro,
                read=lambda e, index=index: _status_entry(e, index),  # type: ignore[misc]
            )
            for index in range(2 * CSB_ENTRIES)
        ],
        row(
            "CONTEXT_STATUS_PTR",
            reg.RING_CONTEXT_STATUS_PTR,
            masked,
            reset=_status_pointer(CSB_RESET_POINTER, CSB_RESET_POINTER),
            read=_read_status_pointer,
            write=_write_status_pointer,
        ),
        row("CTX_TIMESTAMP", reg.RING_CTX_TIMESTAMP, ro, read=lambda e: e.context_timestamp()),
        row("MI_PREDICATE_RESULT_2", reg.RING_MI_PREDICATE_RESULT_2, rw),
        *array("MI_PREDICATE", reg.MI_PREDICATE_SRC0, 8, access=rw),
        *array(
            "FORCE_TO_NONPRIV",
            reg.RING_FORCE_TO_NONPRIV,
            reg.RING_FORCE_TO_NONPRIV_COUNT,
            access=rw,
            reset=base + reg.RING_NOPID,
        ),
        *array("GPR", reg.RING_CS_GPR, 2 * reg.RING_CS_GPR_COUNT, access=rw),
    ]


def _stored(engine: Engine, offset: int) -> int:
    return engine.gpu.registers.values[(engine.mmio_base + offset) >> 2]


def _store(engine: Engine, offset: int, value: int) -> None:
    engine.gpu.registers.values[(engine.mmio_base + offset) >> 2] = value


def _read_head(engine: Engine) -> int:
    running = engine.context
    return _stored(engine, reg.RING_HEAD) if running is None else running.ring.head


def _read_tail(engine: Engine) -> int:
    running = engine.context
    return _stored(engine, reg.RING_TAIL) if running is None else running.ring.tail


def _read_start(engine: Engine) -> int:
    running = engine.context
    return _stored(engine, reg.RING_START) if running is None else running.ring.start


def _read_control(engine: Engine) -> int:
    running = engine.context
    if running is None:
        return _stored(engine, reg.RING_CTL)
    waits = reg.RING_CTL_WAIT_SEMAPHORE if running.wait_reported else 0
    return running.ring.control | waits


def _batch_address(engine: Engine, *, second: bool) -> int:
    running = engine.context
    if running is None:
        return 0
    batch = running.second if second else running.batch
    return batch.address & 0xFFFF_FFFC | int(batch.active)


def _read_bb_addr_udw(engine: Engine) -> int:
    return 0 if engine.context is None else engine.context.batch.address >> 32


def _read_bb_state(engine: Engine) -> int:
    running = engine.context
    return reg.BB_STATE_PPGTT if running is not None and running.batch.ppgtt else 0


def _status(engine: Engine) -> tuple[int, int]:
    running = engine.context
    return engine.lists.status(arbitration=running is None or running.arbitration)


def _status_entry(engine: Engine, dword: int) -> int:
    entry = engine.lists.entries[dword >> 1]
    return entry.context_id if dword & 1 else entry.event


def _read_status_pointer(engine: Engine) -> int:
    return _status_pointer(engine.lists.write_pointer, engine.lists.read_pointer)


def _status_pointer(write: int, read: int) -> int:
    return reg.CONTEXT_STATUS_WRITE.put(write, reg.CONTEXT_STATUS_READ.put(read))


def _write_status_pointer(engine: Engine, value: int) -> None:
    """Both pointers can be set; a write pointer past the last entry is taken as the last."""
    lists = engine.lists
    lists.write_pointer = min(reg.CONTEXT_STATUS_WRITE.get(value), CSB_ENTRIES - 1)
    lists.read_pointer = reg.CONTEXT_STATUS_READ.get(value)
    note_status_pointer(engine)


def note_status_pointer(engine: Engine) -> None:
    """The pointers have moved: a MASKED write to one of them leaves the other where it is now."""
    _store(engine, reg.RING_CONTEXT_STATUS_PTR, _read_status_pointer(engine))


def _read_mi_mode(engine: Engine) -> int:
    """MODE_IDLE is set while the ring stands still: stopped, or with nothing to run."""
    mode = _stored(engine, reg.RING_MI_MODE) & ~reg.MI_MODE_IDLE
    stands = not engine.executing and (engine.abandon or engine.context is None)
    return mode | reg.MI_MODE_IDLE if stands else mode


def _write_mi_mode(engine: Engine, value: int) -> None:
    if value & reg.MI_MODE_STOP_RING:
        engine.halt()
    elif engine.abandon:
        engine.resume()


def _write_reset_ctl(engine: Engine, value: int) -> None:
    """A reset request is answered with "ready" once the engine stands; withdrawing it clears it."""
    if value & reg.RESET_CTL_CAT_ERROR:
        value &= ~reg.RESET_CTL_CAT_ERROR
    if value & reg.RESET_CTL_REQUEST:
        if engine.halt():
            value |= reg.RESET_CTL_READY
    else:
        value &= ~reg.RESET_CTL_READY
        if not _stored(engine, reg.RING_MI_MODE) & reg.MI_MODE_STOP_RING:
            engine.resume()
    _store(engine, reg.RING_RESET_CTL, value)
