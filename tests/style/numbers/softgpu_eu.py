"""Of `mediator.softgpu.eu`: edges, masks and bounds."""

from __future__ import annotations

NUMBERS = {
    "mediator.softgpu.eu.dispatch.clear": "SIMD=10 _DESCRIPTOR=2030100 _COLOUR_BYTES=10",
    "mediator.softgpu.eu.dispatch.commands": """
        _ANYWHERE=0 _BETWEEN_COMMANDS=2 START_COST=40 _QWORD=FFFFFFFFFFFFFFFF _DWORD=FFFFFFFF
    """,
    "mediator.softgpu.eu.dispatch.interpreted": "_BUDGET=200",
    "mediator.softgpu.eu.dispatch.interrupted": """
        _DWORDS=E _HEADER=7105000C _MORE=1 NO_TOKEN=00000000000000000000000000000000
        PAGES_BYTES=1000
    """,
    "mediator.softgpu.eu.dispatch.job": "_ADDRESS_MASK=FFFFFFFFFFFF",
    "mediator.softgpu.eu.dispatch.media_state": """
        _KNOWN=100 _ADDRESS_MASK=FFFFFFFFFFFF _NO_LIMIT=1000000000000 _GRF=20
    """,
    "mediator.softgpu.eu.dispatch.native_pool": """
        _SLM_BYTES=10000 _MOST_GROUPS=4000000000000000 _LOW=FFFFFFFFFFFFFFFF
    """,
    "mediator.softgpu.eu.dispatch.payload": "GRF=20 MOST_GRFS=7F",
    "mediator.softgpu.eu.dispatch.pixels": """
        GRF_DWORDS=8 SUBSPAN=4 HALF=10 _HALF_SUBSPANS=4 _COORDINATE=10
    """,
    "mediator.softgpu.eu.dispatch.program_cache": """
        _PROGRAMS=400 _INSTRUCTIONS=40000 _OF_ONE=10000 _PLACES=400 _VERSIONS=8 _UNFINISHED=40
        _SMALL_WORK=1000
    """,
    "mediator.softgpu.eu.dispatch.run": "INSTRUCTION_BYTES=190",
    "mediator.softgpu.eu.dispatch.suspended": """
        MOST_BYTES=1000000 MOST_RUNS=20 PART_SHIFT=1A TOKEN_BYTES=10
    """,
    "mediator.softgpu.eu.dispatch.units": "SLICE_NS=3D0900 DRAIN_NS=F4240",
    "mediator.softgpu.eu.interpreter.architecture_registers": """
        _READ_ONLY={40,70,71,C0} _FLAG_BYTES=4
    """,
    "mediator.softgpu.eu.interpreter.interpreter": """
        _TURN=40 _STRAIGHT=100 _MODE_BITS=4F1
    """,
    "mediator.softgpu.eu.interpreter.predication": """
        SEQUENTIAL=1 ANY_VERTICAL=2 ALL_VERTICAL=3 _REGISTER=20
        GROUPS={4:(2,False),5:(2,True),6:(4,False),7:(4,True),8:(8,False),9:(8,True),A:(10,False),
        B:(10,True),C:(20,False),D:(20,True)} _ALIGN16_GROUPS={6:(4,False),7:(4,True)}
        _REPLICATED={2:0,3:1,4:2,5:3}
    """,
    "mediator.softgpu.eu.interpreter.regions": "_REGISTER_BYTES=1000",
    "mediator.softgpu.eu.interpreter.register_access": "_GRF=1000",
    "mediator.softgpu.eu.interpreter.rounding": """
        _CODES={x86_64:{0:0,2:400,1:800,3:C00},aarch64:{0:0,1:400000,2:800000,3:C00000}}
    """,
    "mediator.softgpu.eu.interpreter.sending": """
        _RESPONSE_LENGTH=24:20 _MESSAGE_LENGTH=28:25 _EXTENDED_LENGTH=9:6 _SHARED_FUNCTION=3:0
        _REGISTERS=1000
    """,
    "mediator.softgpu.eu.interpreter.shelf": "MOST_READY=4000",
    "mediator.softgpu.eu.interpreter.threads": """
        CHANNELS=20 _NOWHERE=-1 _DISPATCH=2
    """,
    "mediator.softgpu.eu.isa.assembler": """
        _THREAD_SPAWNER=7 _END_OF_THREAD_DESCRIPTOR=2000010
    """,
    "mediator.softgpu.eu.isa.compaction": """
        _THREE_SOURCE={12,18,1A,5B,5C,5D}
        _SUBREGISTERS_BEFORE_IMMEDIATE={1C000000000000:1F,0:0,40007000000000000:11,
        C0000000000000000:7,F0008000000000000:16,4000F000000000000:14,4000E000000000000:13,
        40008000000000000:12,40004000000000000:10,40003000000000000:F,40002000000000000:E,
        40001000000000000:D,1000000000000:1,140000000000000000:A,100010000000000000:9,
        100000000000000000:8,80000000000000000:6,40000000000000000:5,10000000000000:4,
        F000000000000:3,8000000000000:2} _IMMEDIATE_REPEATED=127:109
    """,
    "mediator.softgpu.eu.isa.decoder": """
        NATIVE_BYTES=10 COMPACTED_BYTES=8 _COMPACT_IN_BYTE_3=20 _CHANNELS=20 _SWITCH=2
        _CONTROL_BITS=7FFFFFFFF
    """,
    "mediator.softgpu.eu.isa.disassembler": """
        _QUIET_BITS={HF:200,F:400000,DF:8000000000000} _ROWS=(4,4,1) _NO_DD_CLEAR=1 _NO_DD_CHECK=2
        _ATOMIC=1
    """,
    "mediator.softgpu.eu.isa.encoder": """
        _SCALAR=(0,1,0) _ALL=F _SWITCH=2 _OFFSET_LIMIT=200 _IP_OF_D=1400002000000000
        _IMPLIED={JMPI:14001400000000000000,BRD:1400002000000000,BRC:1400002000000000}
    """,
    "mediator.softgpu.eu.isa.instruction": """
        GRF_BYTES=20 GRF_COUNT=80 Condition.NONE=0 Condition.EQUAL=1 Condition.NOT_EQUAL=2
        Condition.GREATER=3 Condition.GREATER_EQUAL=4 Condition.LESS=5 Condition.LESS_EQUAL=6
        Condition.OVERFLOW=8 Condition.UNORDERED=9
    """,
    "mediator.softgpu.eu.isa.operands": """
        _CACHED=4000 _SCALAR=(0,1,0) _ADDRESS_WORDS=10 _ROW=4 _ALL=F
    """,
    "mediator.softgpu.eu.isa.program": """
        MOST_INSTRUCTIONS=10000 MOST_RANGES=400 _MOST_PAGES=400 _PAGE_SIZE=A
        _PIECE=80 _UNIT=8 _PAGE=1000
    """,
    "mediator.softgpu.eu.isa.register": "_SCALAR=(0,1,0) _ROWS=(4,4,1)",
    "mediator.softgpu.eu.isa.send_decoder": """
        _NULL=(ARF,0,UD,1,-,-) _WHOLE=(8,8,1)
    """,
    "mediator.softgpu.eu.messages.atomic": """
        _MAGNITUDE=7FFFFFFF _INFINITY=7F800000
    """,
    "mediator.softgpu.eu.messages.block": "_CHANNELS=10",
    "mediator.softgpu.eu.messages.data_port": """
        _LANES_OF_MODE={1:10,2:8} _ALL_CHANNELS=F _MOST_GRFS=10
        PORT_1={1:{write:False,wide:False},9:{write:True,wide:False},11:{write:False,wide:True},
        19:{write:True,wide:True},2:{wide:False,floating:False},1B:{wide:False,floating:True},
        12:{wide:True,floating:False},1D:{wide:True,floating:True},5:{write:False},D:{write:True},
        6:f,4:{write:False},A:{write:True},10:{write:False},1A:{write:True},14:{write:False},
        15:{write:True}}
        PORT_0={0:{write:False},1:{write:False,unit:1},8:{write:True},2:{write:False},
        A:{write:True},3:{write:False},B:{write:True},4:{write:False},C:{write:True},
        5:{write:False},D:{write:True},7:f}
        READ_ONLY={0:{write:False},1:{write:False,unit:1},2:{write:False},3:{write:False},
        4:{write:False,unit:1},5:{write:False}}
    """,
    "mediator.softgpu.eu.messages.memory": """
        ADDRESS_MASK=FFFFFFFFFFFF ILLEGAL_MESSAGE=10
    """,
    "mediator.softgpu.eu.messages.message": """
        GRF_BYTES=20 GRF_DWORDS=8 MESSAGE_GRFS=30 DWORD=FFFFFFFF
    """,
    "mediator.softgpu.eu.messages.python_messages": "SLM_BYTES=10000",
    "mediator.softgpu.eu.messages.render_target": "_LANES={0:10,1:10,4:8} _HALF=10",
    "mediator.softgpu.eu.messages.sampler": "_LANES_OF_MODE={1:8,2:10}",
    "mediator.softgpu.eu.messages.sampling": """
        SUBTEXEL=100 _FARTHEST=1099511627776.0 _NOT_A_NUMBER=7FC00000 _GATHER_CORNERS=(2,3,1,0)
    """,
    "mediator.softgpu.eu.messages.surface": "TILE_BYTES=1000 CUBE_FACES=6",
    "mediator.softgpu.eu.messages.texel": """
        NOTHING=(0,0,0,0) FLOAT_ONE=3F800000 _PIECE=8 _SMALL_BIAS=F _SMALL_EXPONENT=1F
        _MAGNITUDE=7FFFFFFF _INFINITY=7F800000 _ALPHA=3
    """,
    "mediator.softgpu.eu.messages.typed": """
        _LANES=8 _MODES={1,2} _UPPER=2 _MEDIA_BLOCK_MOST=200
    """,
    "mediator.softgpu.eu.semantics.accumulator": """
        ACCUMULATOR_BYTE=400 ACCUMULATOR_BYTES=140
    """,
    "mediator.softgpu.eu.translator.cache": """
        _OPEN=A0800 MOST_BYTES=10000000 MOST_FILE_BYTES=1000000
    """,
    "mediator.softgpu.eu.translator.compiler": "LLVM_LEVEL=2",
    "mediator.softgpu.eu.translator.compute": "_ACCUMULATOR=40",
    "mediator.softgpu.eu.translator.costs": """
        _SIMPLE=1 _FUNCTION=20 _INDIRECT=20 _MESSAGE=40 _MEDIA_BLOCKS={4,A}
    """,
    "mediator.softgpu.eu.translator.functions": """
        _EXP2=(1.0,0.6931471805599453,0.2402265069591007,0.055504108664821576,
        0.009618129107628477,0.0013333558146428441,0.00015403530393381606,1.5252733804059838e-05,
        1.3215486790144305e-06)
        _SINE=(1.0,-0.16666666666666666,0.008333333333333333,-0.0001984126984126984,
        2.7557319223985893e-06,-2.505210838544172e-08)
        _COSINE=(1.0,-0.5,0.041666666666666664,-0.001388888888888889,2.48015873015873e-05,
        -2.755731922398589e-07)
        _LOG2=(2.8853900817779268,0.9617966939259756,0.5770780163555853,0.4121985831111324,
        0.3205988979753252,0.2623081892525388,0.22195308321368667)
    """,
    "mediator.softgpu.eu.translator.gathers": "_DWORD=4",
    "mediator.softgpu.eu.translator.host_memory": """
        PAGE=1000 _ENTRIES=400 _SPREAD=279 ADDRESS=FFFFFFFFFFFF LOCAL=FFFF
    """,
    "mediator.softgpu.eu.translator.kernel": """
        ENDED=0 FAULT=-1 MOST_INSTRUCTIONS=4000 MOST_MESSAGES=800 MOST_BLOCKS=1000 _LONG=4
        _FRUGAL_FROM=80 _MASKS=40
    """,
    "mediator.softgpu.eu.translator.kills": "_EVER=-10000000000 _ROUNDS=2",
    "mediator.softgpu.eu.translator.lane_access": "_HEADER_OFFSET=2 _HEADER_BASE=5 _ROOM=80",
    "mediator.softgpu.eu.translator.lane_use": """
        NOBODY=FE UNTOUCHED=FF
        WHOLE=fefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefe
    """,
    "mediator.softgpu.eu.translator.liveness": """
        ALL=FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF
    """,
    "mediator.softgpu.eu.translator.message_shape": """
        _LANES_OF_MODE={1:10,2:8} _LANES_OF_SCATTERED={2:8,3:10}
    """,
    "mediator.softgpu.eu.translator.modes": """
        AGAIN=40000000 _KEEP_F=80 _KEEP_DF=40
    """,
    "mediator.softgpu.eu.translator.ops": """
        _EXPONENTS={half:(i16,7C00),float:(i32,7F800000)}
    """,
    "mediator.softgpu.eu.translator.predicates": """
        _SEQUENTIAL=1 _ANY_VERTICAL=2 _ALL_VERTICAL=3
        _GROUPS={4:(2,any),5:(2,all),6:(4,any),7:(4,all),8:(8,any),9:(8,all),A:(10,any),B:(10,
        all),C:(20,any),D:(20,all)} _ALIGN16_GROUPS={6:(4,any),7:(4,all)}
        _ALIGN16_CHANNELS={2:0,3:1,4:2,5:3} _SECOND_REGISTER=20
    """,
    "mediator.softgpu.eu.translator.sandbox": """
        _PR_SET_PDEATHSIG=1 _PR_SET_DUMPABLE=4 _PR_SET_SECCOMP=16 _PR_SET_NO_NEW_PRIVS=26
        _SECCOMP_MODE_FILTER=2 _SIGKILL=9
        _ALLOWED=(0,1,3,5,8,9,A,B,C,19,1C,D,E,F,83,7,17,18,23,10E,10F,27,3C,3F,60,61,62,63,BA,C9,
        CA,CC,E4,E5,E6,E7,EA,106,12E,135,13E,14E,1C1) _LOAD=20 _EQUAL=15 _RETURN=6
        _AUDIT_ARCH_X86_64=C000003E _RETURN_ALLOW=7FFF0000 _RETURN_ERRNO=50000 _RETURN_KILL=80000000
    """,
    "mediator.softgpu.eu.translator.sends": """
        SPAWNER=7 _MOST_GRFS={payload:F,more:F,response:1F}
    """,
    "mediator.softgpu.eu.translator.state": """
        FLAG_CHUNKS=4 FLAG_CHUNK=10 GRF_FILE_BYTES=1000 _BEHIND=8 _ADDRESSES=10 _ACC_BYTES=140
        _ACC_HIGH_BYTES=100 _MEMBERS={60:(sp,8),70:(sr0,10),80:(cr0,10),90:(n0,10)}
        _READ_ONLY={40,70,71,C0}
    """,
    "mediator.softgpu.eu.translator.service": "QUICK_S=5",
    "mediator.softgpu.eu.translator.text": "_BITS={half:10,float:20,double:40}",
    "mediator.softgpu.eu.translator.translations": """
        _ATTEMPTS=2 MOST_CODE_BYTES=100000 MOST_GAPS=10000
    """,
    "mediator.softgpu.eu.translator.turns": "_REMEMBERED=400",
    "mediator.softgpu.eu.translator.wire": """
        MOST_REPLY_BYTES=1000000 Status.READY=1 Status.OBJECT=2 Status.REFUSED=3
    """,
}
