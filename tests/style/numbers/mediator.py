"""Of the mediator without `gen9` and `softgpu`: masks and bounds that keep guests apart."""

from __future__ import annotations

NUMBERS = {
    "mediator.capacity": """
        _MEDIATORS_DMA=400000000 _UNITS={1:'',100000:MiB,40000000:GiB}
    """,
    "mediator.dispatcher": """
        WATCHDOG_NS=8F0D180 _LONGEST_POLL_MS=3E8 _LOOK_AGAIN_NS=989680 _ENDING_POLL_MS=A
    """,
    "mediator.hotpath.interface": """
        TABLES_FULL=-6 BAND_BYTES=100000 BAND_ROWS=400 HEADERS=10000 _MASK_BITS=10 _BIAS_BITS=8
        _LENGTH_BITS=14 FaultKind.NOT_PRESENT=1 FaultKind.BEYOND_39_BITS=2
        FaultKind.TABLE_NOT_IN_MEMORY=3 FaultKind.PAGE_NOT_IN_MEMORY=4 Tiling.LINEAR=0 Tiling.X=1
        Tiling.Y=2 ShadowLevel.PML4=0 ShadowLevel.PDP=1 ShadowLevel.PD=2 ShadowLevel.PT=3
        ShadowLevel.PT_64K=4 ShadowNode.KEY=0 ShadowNode.EPOCH=1 ShadowNode.WORDS=2
        ShadowCount.EPOCH=0 ShadowCount.USED=1 ShadowCount.REFUSED=2 ShadowCount.TRANSLATED=3
        ShadowCount.VISITED=4 ShadowCount.FREE=5 ShadowCount.WORDS=9
    """,
    "mediator.hotpath.native": "STREAM_BYTES=800000 _RANGE_BYTES=20",
    "mediator.hotpath.raster_ops": "PATTERN_COPY=F0 SOURCE_COPY=CC",
    "mediator.hotpath.reference": """
        _OFFSET_MASK=FFF _PD_SHIFT=15 _PT_SHIFT=C _PAGES_64K_STEP=10 _ALL_BITS=FFFFFFFF
        _STORE_DWORDS=4
    """,
    "mediator.hotpath.reference_shadow": """
        _FLAGS=FFF _STEP_64K=10 _QWORD=FFFFFFFFFFFFFFFF
    """,
    "mediator.mediation": "_SECRET_UNIT=200000",
    "mediator.physical.host": """
        _ALL=FFFFFFFF _ENGINE_BITS=FFFF _EVENTS=919
        _BANK_ENGINES={(GT0,44300,((FFFF,1),(FFFF0000,2))):((rcs0,0),(bcs0,10)),(GT1,44310,((FFFF,
        4),(FFFF0000,8))):((vcs0,0)),(GT3,44330,((FFFF,40))):((vecs0,0))}
    """,
    "mediator.physical.host_engine": """
        IDLE_CONTEXT_ID=FFFFF _FIRST_LOOKS=10 _LEAST_LOOKS=C8 _GDRST_PASSES=2 _MASK_SHIFT=10
        _ALL=FFFFFFFF _POINTER_DWORD=1F _FIRST_ENTRY_DWORD=10 _PROOF_OFFSET=100 _PROOF=600DC0DE
        _MI_NOOP=0 _MI_ARB_CHECK=2800000 _MI_STORE_DATA_IMM_GGTT=10400002
    """,
    "mediator.physical.idle_context": "_MASK_SHIFT=10 _DRIVER_BLOCKS=4",
    "mediator.physical.installed_ggtt": "CHUNK_PAGES=200",
    "mediator.physical.memory": "_PUNCH=3",
    "mediator.physical.partition": """
        PAGE=1000 MIB=100000 GIB=40000000 DMA_SIZE=8000000000 GUEST_GGTT_SIZE=80000000
        APERTURE_SIZE=10000000 MEDIATOR_GGTT=80000000 SLAB_GGTT=4000000 TABLES_SIZE=8000000
        SLAB_SIZE=C000000 EMPTY_TABLES=7FFFFFF000 MAX_VGPUS=1F
    """,
    "mediator.physical.soft": "_IRQ_COUNTS=(0,1,0,0,0)",
    "mediator.translation.page_table_shadow": "STEP=400",
    "mediator.vgpu.admission": "_LONG_AUDIT_NS=1E8480",
    "mediator.vgpu.engine": "_PAGE_MASK=-1000",
    "mediator.vgpu.engine_registers": """
        _DWORD=FFFFFFFF _MASK_SHIFT=10
        _READERS={30:f,34:f,38:f,3C:f,64:f,68:f,6C:f,70:f,74:f,5C:f,78:f,60:f,9C:f,110:f,140:f,
        168:f,114:f,11C:f,234:f,238:f,370:{dword:0},374:{dword:1},378:{dword:2},37C:{dword:3},
        380:{dword:4},384:{dword:5},388:{dword:6},38C:{dword:7},390:{dword:8},394:{dword:9},
        398:{dword:A},39C:{dword:B},3A0:f,358:f,35C:f,3A8:f}
    """,
    "mediator.vgpu.execlist": "NO_SLOT=-1 _SWITCH_REASONS=1FF",
    "mediator.vgpu.ggtt": """
        CHUNK_ENTRIES=200 CHUNK_SIZE=1000 ENTRIES_SIZE=400000 _ADDRESS_MASK=3FFFFFFFF000
        _OFFSET_MASK=FFF
    """,
    "mediator.vgpu.interrupt": """
        _BANKS=((110C2,110C3,((FFFF,1),(FFFF0000,2))),(110C6,110C7,((FFFF,4),(FFFF0000,8))),
        (110CA,110CB,((FFFF,10),(FFFF0000,20))),(110CE,110CF,((FFFF,40))),(11112,11113,((FFFFFFFF,
        100000))),(1111A,1111B,((FFFFFFFF,400000))),(1113A,1113B,((FFFFFFFF,40000000))),(31002,
        31003,((FFFFFFFF,800000))))
    """,
    "mediator.vgpu.metrics": """
        _UNIT_BITS=8 _FINE_BITS=4 _LONGEST_BITS=28 BUCKETS=1D0
    """,
    "mediator.vgpu.pieces": "PIECE=100",
    "mediator.vgpu.power": "_RING_FREQUENCY=FF",
    "mediator.vgpu.pvinfo": "_DWORD=FFFFFFFF _CAPS=1C",
    "mediator.vgpu.regions": """
        REGISTERS_SIZE=200000 GSM_OFFSET=800000 IRQ_COUNTS=(1,1,0,1,1)
    """,
    "mediator.vgpu.state": "VERSION=4",
    "mediator.vgpu.switched_registers": """
        _ENGINE_PAGE=FFFFF000 _PAGES={2000:rcs0,22000:bcs0,12000:vcs0,1A000:vecs0}
    """,
    "mediator.vgpu.trace": "INSTANT=-1 ROOM=30D40",
    "mediator.vgpu.vgpu_type": """
        _LOW_MIB=100 _HIGH_MIB=700 _NATIVE_HIGH_MIB=F00 _WINDOWS_GIB=100 LEAST_WINDOW=400000000
        HEAVIEST=400 PRIVATE=(private,PRIVATE,100,700,4,400000000,20)
        PASSTHROUGH=(passthrough,PASSTHROUGH,100,F00,10,400000000,20)
        TYPES={V9_1:(V9_1,BALLOONED,100,700,10,4000000000,20),V9_2:(V9_2,BALLOONED,80,380,8,
        2000000000,20),V9_4:(V9_4,BALLOONED,40,1C0,4,1000000000,20),V9_8:(V9_8,BALLOONED,20,E0,2,
        800000000,20),V9_16:(V9_16,BALLOONED,10,70,1,400000000,20),private:(private,PRIVATE,100,
        700,4,400000000,20),passthrough:(passthrough,PASSTHROUGH,100,F00,10,400000000,20)}
    """,
    "mediator.workload.audit_rules": "USE_GGTT=16",
    "mediator.workload.batch_shadow": """
        _PAGE=1000 _GGTT_MASK=FFFFFFFF _ALIGN=40 _FAULT=(1B200002,FFFFFFFF) _ILLEGAL=E0000000
        MAX_DWORDS=40000 MAX_USER_DWORDS=200000 MAX_BATCHES=100 MAX_JUMPS=400
        MOST_PLACED=1000 _USER_MASK=FFFFFFFFFFFF _LEAST_READ=200 _MOST_READ=40000
    """,
    "mediator.workload.command_audit": """
        _PAGE=1000 _GGTT_MASK=FFFFFFFF _GTT_PAGES=100000 _PAGE_MASK=FFFFF000 _GLOBAL=400000
        _STORE_QWORD=200000 _STORE_DATA=10000002 _BATCH_START=18800001 _LOAD_IMMEDIATE=11000001
        _CALLED_ALIGN=40 _LOAD_PAIRS=7:0 _BYTE_DISABLES=11:8 _PREDICATED=200000 _COMPARE=14:12
        _COMPARISONS=6 WAIT_REGISTER=10000 _END_MASKED=80000 _ATOMIC_SIZE=20:19
        _ATOMIC_SIZES=(4,8,10) _ATOMIC_INLINE=40000 _ATOMIC_INLINE_DWORDS=B
        _INDEX_PER_PROCESS=200000 _INDEX_OFFSET=FFC _QWORD_INDEX_OFFSET=FF8 _POST_SYNC=15:14
        _STORE_INDEX=200000 _PIPE_REGISTER=800000 _PIPE_GLOBAL=1000000 _PIPE_ACTIVE=80C000
        _PIPE_WRITE_DWORDS=5 _FLUSH_GLOBAL=4 _FLUSH_WRITE_DWORDS=4 _FLUSH_RESERVED=2
        _QWORD_ALIGN=FFFFFFF8 _LONGEST_UNARBITRATED=100 _BATCH_SECOND_LEVEL=400000
        _BATCH_ADD_OFFSET=10000 _BATCH_PREDICATED=8000 _BATCH_PPGTT=100 _DWORD_ALIGN=FFFFFFFC
        _USER_HIGH=FFFF
    """,
    "mediator.workload.command_scanner": "_LONGEST=20000 _RUN=10",
    "mediator.workload.command_stream": """
        ARBITRATION_ON=1 AUDIT_WORK=1ADB0 CHECK_WORK=3 PAIR_WORK=3 VIRTUAL_WORK=20 DROP_WORK=10
        UPDATE_WORK=40 MOST_DROPPED=400
    """,
    "mediator.workload.private_part": "_FIRST_PAGE=2 NOWHERE=FFFFFFFFFFFFF000",
    "mediator.workload.saved_images": """
        MOST_CONTEXTS=2000 MOST_OTHERS=1000 _DIGEST_BYTES=10
    """,
    "mediator.workload.shadow_context": """
        _MASK_ALL=FFFF0000 _BATCH_VALID=1 _BATCH_ADDRESS=FFFFFFFC _KEPT_CONTROL=A _BATCHES=(D,18,-)
        SAVED_FROM=40
    """,
    "mediator.workload.slot": """
        SLOTS=4 STATE_PAGE=1 _RING_PAGE=20 _BATCH_PAGE=220
        _ROOM_PAGES={RCS:120,BCS:420,VCS:120,VECS:120} _CONTEXT_ID=100
    """,
    "mediator.workload.user_audit": "_HEADER=0",
    "mediator.workload.workload": """
        _LONGEST_SPAN=80000 _WARM_ROOM=40000 _TAIL_ALIGN=-8 _LINES=3F _VALID=1 _STATE_BYTES=1000
    """,
    "mediator.world": """
        _ACKNOWLEDGES=3 _CONTEXT_SWITCH=100 _STOOD_STILL_NS=1312D00 _LEAST_FORGIVEN=4 _ERROR=8
    """,
}
