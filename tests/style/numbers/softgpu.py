"""Of `mediator.softgpu`: bits of registers and commands that it alone looks at, and its bounds.

Source: PRM SKL vol 2a, 2c, 3, 7, 11.
"""

from __future__ import annotations

NUMBERS = {
    "mediator.softgpu.address_space": "_OFFSET_MASK=FFF MOST_TRANSLATIONS=4000 _MANY_EDITS=20",
    "mediator.softgpu.alu": """
        ALL_ONES=FFFFFFFFFFFFFFFF _OPCODE=31:20 _OPERAND1=19:10 _OPERAND2=9:0 AluOp.NOOP=0
        AluOp.LOAD=80 AluOp.LOADINV=480 AluOp.LOAD0=81 AluOp.LOAD1=481 AluOp.ADD=100 AluOp.SUB=101
        AluOp.AND=102 AluOp.OR=103 AluOp.XOR=104 AluOp.STORE=180 AluOp.STOREINV=580
        AluRegister.SRCA=20 AluRegister.SRCB=21 AluRegister.ACCU=31 AluRegister.ZF=32
        AluRegister.CF=33
    """,
    "mediator.softgpu.atomic": """
        SIZES=(4,8,10) OPERATION_MASK=1F AtomicOp.AND=1 AtomicOp.OR=2 AtomicOp.XOR=3 AtomicOp.MOVE=4
        AtomicOp.INCREMENT=5 AtomicOp.DECREMENT=6 AtomicOp.ADD=7 AtomicOp.SUBTRACT=8
        AtomicOp.REVERSE_SUBTRACT=9 AtomicOp.SIGNED_MAX=A AtomicOp.SIGNED_MIN=B
        AtomicOp.UNSIGNED_MAX=C AtomicOp.UNSIGNED_MIN=D AtomicOp.COMPARE_WRITE=E
        AtomicOp.PRE_DECREMENT=F
    """,
    "mediator.softgpu.blit_command": "_SWCTRL_BITS=FFFF",
    "mediator.softgpu.blitter": "_ALL_BITS=FFFFFFFF",
    "mediator.softgpu.context": """
        _BATCH_VALID=1 _MASK_ALL=FFFF0000 _PAGE_MASK=-1000 _CACHE_LINE=40 _INDIRECT_LINES_MASK=3F
        _PER_CTX_VALID=1 _HIDDEN_BYTES=20
    """,
    "mediator.softgpu.context_clock": "_DWORD=FFFFFFFF",
    "mediator.softgpu.context_state": """
        RING_OFFSET_MASK=1FFFFC RING_WRAP_UNIT=200000 PredicateMode.NEVER=0
        PredicateMode.ON_RESULT_2_CLEAR=1 PredicateMode.ON_RESULT_2_SET=2
        PredicateMode.ON_RESULT_CLEAR=3 PredicateMode.ON_RESULT_SET=4
        PredicateMode.UNLESS_ONE_SLICE=5 PredicateMode.UNLESS_TWO_SLICES=6
        PredicateMode.UNLESS_THREE_SLICES=7 PredicateMode.ALWAYS=F
    """,
    "mediator.softgpu.engine": "QUANTUM=200 _HALT_WAITS=A _DETOUR_QUANTA=4",
    "mediator.softgpu.engine_registers": """
        _PAGE_DIRECTORY_DWORDS=8
        _READERS={30:f,34:f,38:f,3C:f,5C:f,60:f,74:f,78:f,9C:f,D0:f,110:f,114:f,140:f,168:f,234:f,
        238:f,358:f,35C:f,3A8:f,370:{dword:0},374:{dword:1},378:{dword:2},37C:{dword:3},
        380:{dword:4},384:{dword:5},388:{dword:6},38C:{dword:7},390:{dword:8},394:{dword:9},
        398:{dword:A},39C:{dword:B},3A0:f}
        _WRITERS={9C:f,D0:f,230:f,270:f,274:f,278:f,27C:f,280:f,284:f,288:f,28C:f,3A0:f}
    """,
    "mediator.softgpu.execlist": "_SWITCH_REASON_MASK=1FF _LITE_RESTORE=8002",
    "mediator.softgpu.flush_dw": """
        _STORE_INDEX=200000 _TLB_INVALIDATE=40000 _POST_SYNC=15:14 _NOTIFY=100 _USE_GGTT=4
        _INDEX_OFFSET=FF8 _ADDRESS=FFFFFFFFFFF8 _DWORDS=4 _NO_WRITE=0 _WRITE_IMMEDIATE=1
        _WRITE_TIMESTAMP=3
    """,
    "mediator.softgpu.function": "_IRQ_COUNTS=(1,1,0,1,1)",
    "mediator.softgpu.gpu": """
        REGISTERS_SIZE=200000 GSM_OFFSET=800000 GGTT_SIZE=100000000 APERTURE_SIZE=10000000
        TIMESTAMP_MASK=FFFFFFFFF _NS_PER_12_TICKS=3E8
    """,
    "mediator.softgpu.hidden_state": """
        _ARB_ON_OFF=4000000 _SETUP_CLIP=40C00001 _SET_PREDICATE=800000 _ON=1 _MODE=F FIRST=3F8
    """,
    "mediator.softgpu.image_load": "_HEAD_BYTES=100 _QUANTA=190 _PDPS=(270,290,1)",
    "mediator.softgpu.interrupt": """
        _BANKS=((110C2,110C3,((FFFF,1),(FFFF0000,2))),(110C6,110C7,((FFFF,4),(FFFF0000,8))),
        (110CA,110CB,((FFFF,10),(FFFF0000,20))),(110CE,110CF,((FFFF,40))),(11112,11113,((FFFFFFFF,
        100000))),(1111A,1111B,((FFFFFFFF,400000))),(1113A,1113B,((FFFFFFFF,40000000))),(31002,
        31003,((FFFFFFFF,800000))))
    """,
    "mediator.softgpu.mi_flow": """
        USER_INTERRUPT=0 SEMAPHORE_INTERRUPT=B _ARB_ENABLE=1 _COMPARE_OPERATION=14:12
        _WAIT_REGISTER=10000 _BATCH_SECOND_LEVEL=400000 _BATCH_ADD_OFFSET=10000
        _BATCH_PREDICATED=8000 _BATCH_PPGTT=100 _END_COMPARE=200000 _END_MASKED=80000
        _END_THIS_LEVEL=40000
    """,
    "mediator.softgpu.mi_memory": """
        USE_GGTT=400000 _ADDRESS=FFFFFFFFFFFC _STORE_QWORD=200000 _LENGTH=3FF _STORE_DWORD_LENGTH=2
        _INDEX_PER_PROCESS=200000 _STATUS_OFFSET=FFC _COPY_DESTINATION_GGTT=200000 _GTT_ENTRY=31:12
        _GTT_ENTRY_BYTES=8 _ATOMIC_DATA_SIZE=20:19 _ATOMIC_INLINE=40000 _ATOMIC_RETURN=10000
        _ATOMIC_OPCODE=15:8 _ATOMIC_INLINE_DWORDS=B _ATOMIC_OPERAND1_GPR=0 _ATOMIC_OPERAND2_GPR=2
        _ATOMIC_RETURN_GPR=4 _REPORT_GGTT=1 _REPORT_ADDRESS=FFFFFFFFFFC0 _REPORT_BYTES=100
        _REPORT_HEAD_OFFSET=10
    """,
    "mediator.softgpu.mi_registers": """
        _BYTE_DISABLES=11:8 _WRITE_NOPID=400000 _PREDICATED=200000 _NOPID=21:0
        _BYTE_MASKS=(0,FF,FF00,FFFF,FF0000,FF00FF,FFFF00,FFFFFF,FF000000,FF0000FF,FF00FF00,
        FF00FFFF,FFFF0000,FFFF00FF,FFFFFF00,FFFFFFFF)
    """,
    "mediator.softgpu.mmio_table": """
        _PVINFO=78000 _PVINFO_HEAD_DWORDS=5
        _WRITERS={A278:f,A270:f,A188:f,A090:f,138124:f,941C:f,101008:f,4260:f,4264:f,4268:f,
        426C:f,4270:f,4274:f,100000:f,100004:f,100008:f,10000C:f,100010:f,100014:f,100018:f,
        10001C:f,100020:f,100024:f,100028:f,10002C:f,100030:f,100034:f,100038:f,10003C:f,100040:f,
        100044:f,100048:f,10004C:f,100050:f,100054:f,100058:f,10005C:f,100060:f,100064:f,100068:f,
        10006C:f,100070:f,100074:f,100078:f,10007C:f,100080:f,100084:f,100088:f,10008C:f,100090:f,
        100094:f,100098:f,10009C:f,1000A0:f,1000A4:f,1000A8:f,1000AC:f,1000B0:f,1000B4:f,1000B8:f,
        1000BC:f,1000C0:f,1000C4:f,1000C8:f,1000CC:f,1000D0:f,1000D4:f,1000D8:f,1000DC:f,1000E0:f,
        1000E4:f,1000E8:f,1000EC:f,1000F0:f,1000F4:f,1000F8:f,1000FC:f,44200:f,44304:f,4430C:f,
        44314:f,4431C:f,44324:f,4432C:f,44334:f,4433C:f,44444:f,4444C:f,44464:f,4446C:f,444E4:f,
        444EC:f,C4004:f,C400C:f,44308:f,44318:f,44328:f,44338:f,44448:f,44468:f,444E8:f,C4008:f}
    """,
    "mediator.softgpu.pipe_control": """
        NOTIFY_INTERRUPT=4 _NOTIFY=100 _POST_SYNC=15:14 _TLB_INVALIDATE=40000 _STORE_INDEX=200000
        _REGISTER_WRITE=800000 _USE_GGTT=1000000 _ACTIVE=84C100 _DWORDS=6 _PS_DEPTH_COUNT=2350
        _INDEX_OFFSET=FF8 _ADDRESS=FFFFFFFFFFF8 _WRITE_IMMEDIATE=1 _WRITE_DEPTH_COUNT=2
    """,
    "mediator.softgpu.pipeline_state": """
        BASE_ADDRESS=6101 FRONT_END=7000 _SELECT=6904 _KEY_SHIFT=10 _LENGTH_BIAS=2 _LOAD_BYTES=10
        _COMMANDS=(0,1000,-) _DESCRIPTORS=(1000,2000,-) _CURBE=(2000,12000,-) _COMMANDS_SIZE=780
    """,
    "mediator.softgpu.power": """
        _RESIDENCY_UNIT_NS=500 _DWORD=FFFFFFFF GT_STATE_ON=0 GT_STATE_RC6=3 DOMAINS_AWAKE=3
    """,
    "mediator.softgpu.predicate": """
        _MODE=3:0 _LOAD=7:6 _COMBINE=4:3 _COMPARE=1:0 _COMBINE_AND=1 _COMBINE_OR=2 _COMBINE_XOR=3
        _COMPARE_TRUE=0 _COMPARE_FALSE=1 _COMPARE_SOURCES=2
        _RESULTS={1:(3BC,0),2:(3BC,1),3:(418,0),4:(418,1)} _SLICES={5:1,6:2,7:3}
    """,
    "mediator.softgpu.register_image": """
        _MASK_ALL=FFFF0000 _DWORD=FFFFFFFF HEAD_DWORDS=40 _MOST_REMEMBERED=40
    """,
    "mediator.softgpu.streamer": """
        _PAGE=1000 _PAGE_DWORDS=400 _PAGE_MASK=-1000 SLICE=40 _RING_VALID=1 _RING_PAGES_SHIFT=C
        _RING_PAGES_MASK=1FF _TAIL_MASK=1FFFF8 _ADDRESS_MASK=FFFFFFFFFFFF _WRAPS_MASK=FFE00000
        _RUN_DWORDS=20
    """,
    "mediator.softgpu.render.draw": "_STATE=<16I _BLEND=<3I _MOST_ENTRIES=20 _DRAWN_ON={1,2}",
    "mediator.softgpu.render.primitive": "_PART_COST=8",
    "mediator.softgpu.render.rectangle": "_GRID=100 _GUARD=8000 MOST_PIXELS=4000",
    "mediator.softgpu.render.vertices": """
        _DWORD=FFFFFFFF _ADDRESS_MASK=FFFFFFFFFFFF _FLOAT_ONE=3F800000
    """,
    "mediator.softgpu.strictness": """
        AT_OLD_TAIL=-1 LONGEST_DELAY=7D0 _LONG_DELAY=C8 _MOST_LOOKS=6
    """,
}
