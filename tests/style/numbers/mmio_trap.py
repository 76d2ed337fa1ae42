"""Of `mmio_trap`: PCI's configuration space, the vfio-user protocol, numbers of Linux.

Source: PCI Local Bus Specification 3.0; vfio-user specification 0.9.2; include/uapi/linux/vfio.h;
x86-64's system calls.
"""

from __future__ import annotations

NUMBERS = {
    "mmio_trap.closers": """
        _CLONE_VM=100 _CLONE_FILES=400 _CLONE_SETTLS=80000 _WCLONE=-80000000 _STACK_SIZE=10000
        _THREAD_SIZE=8000 _X86_SELF=(0,10)
    """,
    "mmio_trap.config_space": """
        CONFIG_SIZE=100 EXTENDED_CONFIG_SIZE=1000 VENDOR_ID=0 DEVICE_ID=2 COMMAND=4 STATUS=6
        REVISION_ID=8 CLASS_CODE=9 HEADER_TYPE=E BAR0=10 SUBSYSTEM_VENDOR_ID=2C SUBSYSTEM_ID=2E
        CAPABILITY_POINTER=34 INTERRUPT_LINE=3C INTERRUPT_PIN=3D FIRST_CAPABILITY=40 COMMAND_IO=1
        COMMAND_MEMORY=2 COMMAND_BUS_MASTER=4 COMMAND_INTERRUPT_DISABLE=400 _COMMAND_WRITABLE=547
        _STATUS_CAPABILITY_LIST=10 _STATUS_W1C=F900 CAPABILITY_PM=1 CAPABILITY_MSI=5
        CAPABILITY_VENDOR=9 _MSI_ENABLE=1 _MSI_64_BIT=80 _MSI_MASKABLE=100
    """,
    "mmio_trap.device": """
        RegionIndex.BAR0=0 RegionIndex.BAR1=1 RegionIndex.BAR2=2 RegionIndex.BAR3=3
        RegionIndex.BAR4=4 RegionIndex.BAR5=5 RegionIndex.ROM=6 RegionIndex.CONFIG=7
        RegionIndex.VGA=8 IrqIndex.INTX=0 IrqIndex.MSI=1 IrqIndex.MSIX=2 IrqIndex.ERR=3
        IrqIndex.REQ=4
    """,
    "mmio_trap.event_signal": """
        _SYSCALLS={x86_64:(CE,D1),aarch64:(0,2),riscv64:(0,2)} _SLOTS=40 _PREAD=0 _RESFD=1
        _RING_MAGIC=A10A10A1
    """,
    "mmio_trap.guest_memory": """
        PAGE_SHIFT=C LOGGED_PAGES=8000000 _ADDRESS_LIMIT=10000000000000000 _READABLE=1 _WRITABLE=2
    """,
    "mmio_trap.irq": "INTX=0 MSI=1",
    "mmio_trap.log_budget": "BURST=64 PER_SECOND=14 _SECOND_NS=3B9ACA00",
    "mmio_trap.mapped_file": """
        PAGE_SIZE=1000 UNIT=40000000 _PROT_READ=1 _PROT_WRITE=2 _MAP_SHARED=1 _MAP_PRIVATE=2
        _FAILED=FFFFFFFFFFFFFFFF
    """,
    "mmio_trap.memory_budget": """
        _ADDRESS_SPACE=600000000000 _OWN_MAPPINGS=2000 _USUAL_MAPPINGS=FFFA
        UNLIMITED=(4000000000000000,4000000000000000,4000000000000000)
    """,
    "mmio_trap.memory_holding": "IDLE_STRETCHES=2",
    "mmio_trap.register_map": "_DWORD=FFFFFFFF MOST_UNKNOWN=400",
    "mmio_trap.signal_pace": "COSTLY_NS=F4240 PAUSE=4 _LAST=4 PROBATION=40",
    "mmio_trap.vfio_user.protocol": """
        MAX_DATA_XFER_SIZE=100000 MAX_MSG_FDS=8 MAX_WRITE_MULTI=C8 HEADER_SIZE=10
        MAX_MESSAGE_SIZE=101010 TYPE_MASK=F TYPE_COMMAND=0 TYPE_REPLY=1 NO_REPLY=10 ERROR=20
        _SPARSE_ID=1 Command.VERSION=1 Command.DMA_MAP=2 Command.DMA_UNMAP=3
        Command.DEVICE_GET_INFO=4 Command.DEVICE_GET_REGION_INFO=5
        Command.DEVICE_GET_REGION_IO_FDS=6 Command.DEVICE_GET_IRQ_INFO=7 Command.DEVICE_SET_IRQS=8
        Command.REGION_READ=9 Command.REGION_WRITE=A Command.DMA_READ=B Command.DMA_WRITE=C
        Command.DEVICE_RESET=D Command.DIRTY_PAGES=E Command.REGION_WRITE_MULTI=F
        Command.DEVICE_FEATURE=10 Command.MIG_DATA_READ=11 Command.MIG_DATA_WRITE=12 DmaFlag.READ=1
        DmaFlag.WRITE=2 UnmapFlag.DIRTY_BITMAP=1 UnmapFlag.ALL=2 DeviceFlag.RESET=1 DeviceFlag.PCI=2
        RegionFlag.READ=1 RegionFlag.WRITE=2 RegionFlag.MMAP=4 RegionFlag.CAPS=8 IrqFlag.EVENTFD=1
        IrqFlag.MASKABLE=2 IrqFlag.AUTOMASKED=4 IrqFlag.NORESIZE=8 SetIrqsFlag.DATA_NONE=1
        SetIrqsFlag.DATA_BOOL=2 SetIrqsFlag.DATA_EVENTFD=4 SetIrqsFlag.ACTION_MASK=8
        SetIrqsFlag.ACTION_UNMASK=10 SetIrqsFlag.ACTION_TRIGGER=20 FeatureFlag.GET=10000
        FeatureFlag.SET=20000 FeatureFlag.PROBE=40000
    """,
    "mmio_trap.vfio_user.server": "_ACCEPT_PAUSE_MS=64",
    "mmio_trap.vfio_user.session": """
        _REGION_REPLY_SIZE=20 _IRQ_FLAGS={0:7,1:3,2:9,3:1,4:1} _DMA_FLAGS=3 _DATA=7 _ACTION=38
        _REFUSALS_AT_ONCE=14 _SURELY_MEMORY=20000000
    """,
    "mmio_trap.vfio_user.transport": "_ANCILLARY_SIZE=38",
    "mmio_trap.vfio_user.version": """
        MAJOR=0 MINOR=0 MAX_VERSION_SIZE=1000 _DEFAULT_MSG_FDS=1 _DEFAULT_DATA_XFER_SIZE=100000
    """,
}
