"""Opcodes of the Gen9 execution units: code, how many sources, and which layout the word has.

Source: PRM SKL vol 2a "EU Opcode Encoding"; where it is silent Intel's IGA and Mesa's brw_eu.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final


class Form(Enum):
    """The layout of an instruction word."""

    BASIC = "basic"
    """One or two sources."""
    THREE_SOURCE = "three-source"
    BRANCH = "branch"
    """Offsets in place of sources; `Opcode.JMPI`, BRD, BRC, CALL, CALLA and RET may take a
    register."""
    SEND = "send"
    SPLIT_SEND = "split send"
    MATH = "math"
    NOTHING = "nothing"


class Opcode(Enum):
    """An opcode: (code, mnemonic, sources, form)."""

    ILLEGAL = (0, "illegal", 0, Form.NOTHING)
    MOV = (1, "mov", 1, Form.BASIC)
    SEL = (2, "sel", 2, Form.BASIC)
    MOVI = (3, "movi", 1, Form.BASIC)
    NOT = (4, "not", 1, Form.BASIC)
    AND = (5, "and", 2, Form.BASIC)
    OR = (6, "or", 2, Form.BASIC)
    XOR = (7, "xor", 2, Form.BASIC)
    SHR = (8, "shr", 2, Form.BASIC)
    SHL = (9, "shl", 2, Form.BASIC)
    SMOV = (10, "smov", 2, Form.BASIC)
    ASR = (12, "asr", 2, Form.BASIC)
    CMP = (16, "cmp", 2, Form.BASIC)
    CMPN = (17, "cmpn", 2, Form.BASIC)
    CSEL = (18, "csel", 3, Form.THREE_SOURCE)
    BFREV = (23, "bfrev", 1, Form.BASIC)
    BFE = (24, "bfe", 3, Form.THREE_SOURCE)
    BFI1 = (25, "bfi1", 2, Form.BASIC)
    BFI2 = (26, "bfi2", 3, Form.THREE_SOURCE)
    JMPI = (32, "jmpi", 1, Form.BRANCH)
    BRD = (33, "brd", 1, Form.BRANCH)
    IF = (34, "if", 0, Form.BRANCH)
    BRC = (35, "brc", 1, Form.BRANCH)
    ELSE = (36, "else", 0, Form.BRANCH)
    ENDIF = (37, "endif", 0, Form.BRANCH)
    WHILE = (39, "while", 0, Form.BRANCH)
    BREAK = (40, "break", 0, Form.BRANCH)
    CONT = (41, "cont", 0, Form.BRANCH)
    HALT = (42, "halt", 0, Form.BRANCH)
    CALLA = (43, "calla", 1, Form.BRANCH)
    CALL = (44, "call", 1, Form.BRANCH)
    RET = (45, "ret", 1, Form.BRANCH)
    GOTO = (46, "goto", 0, Form.BRANCH)
    JOIN = (47, "join", 0, Form.BRANCH)
    WAIT = (48, "wait", 1, Form.BASIC)
    SEND = (49, "send", 1, Form.SEND)
    SENDC = (50, "sendc", 1, Form.SEND)
    SENDS = (51, "sends", 2, Form.SPLIT_SEND)
    SENDSC = (52, "sendsc", 2, Form.SPLIT_SEND)
    MATH = (56, "math", 2, Form.MATH)
    ADD = (64, "add", 2, Form.BASIC)
    MUL = (65, "mul", 2, Form.BASIC)
    AVG = (66, "avg", 2, Form.BASIC)
    FRC = (67, "frc", 1, Form.BASIC)
    RNDU = (68, "rndu", 1, Form.BASIC)
    RNDD = (69, "rndd", 1, Form.BASIC)
    RNDE = (70, "rnde", 1, Form.BASIC)
    RNDZ = (71, "rndz", 1, Form.BASIC)
    MAC = (72, "mac", 2, Form.BASIC)
    MACH = (73, "mach", 2, Form.BASIC)
    LZD = (74, "lzd", 1, Form.BASIC)
    FBH = (75, "fbh", 1, Form.BASIC)
    FBL = (76, "fbl", 1, Form.BASIC)
    CBIT = (77, "cbit", 1, Form.BASIC)
    ADDC = (78, "addc", 2, Form.BASIC)
    SUBB = (79, "subb", 2, Form.BASIC)
    SAD2 = (80, "sad2", 2, Form.BASIC)
    SADA2 = (81, "sada2", 2, Form.BASIC)
    DP4 = (84, "dp4", 2, Form.BASIC)
    DPH = (85, "dph", 2, Form.BASIC)
    DP3 = (86, "dp3", 2, Form.BASIC)
    DP2 = (87, "dp2", 2, Form.BASIC)
    LINE = (89, "line", 2, Form.BASIC)
    PLN = (90, "pln", 2, Form.BASIC)
    MAD = (91, "mad", 3, Form.THREE_SOURCE)
    LRP = (92, "lrp", 3, Form.THREE_SOURCE)
    MADM = (93, "madm", 3, Form.THREE_SOURCE)
    NOP = (126, "nop", 0, Form.NOTHING)

    def __init__(self, code: int, mnemonic: str, sources: int, form: Form) -> None:
        self.code = code
        self.mnemonic = mnemonic
        self.source_count = sources
        self.form = form


OPCODES: Final = MappingProxyType({opcode.code: opcode for opcode in Opcode})
"""By code, bits 6:0 of a word. Other codes are reserved."""


class MathFunction(Enum):
    """A function of the math instruction: (code, mnemonic, sources)."""

    INV = (1, "inv", 1)
    LOG = (2, "log", 1)
    EXP = (3, "exp", 1)
    SQRT = (4, "sqt", 1)
    RSQ = (5, "rsqt", 1)
    SIN = (6, "sin", 1)
    COS = (7, "cos", 1)
    FDIV = (9, "fdiv", 2)
    POW = (10, "pow", 2)
    IDIVREM = (11, "idiv", 2)
    IQOT = (12, "iqot", 2)
    IREM = (13, "irem", 2)
    INVM = (14, "invm", 2)
    RSQTM = (15, "rsqtm", 1)

    def __init__(self, code: int, mnemonic: str, sources: int) -> None:
        self.code = code
        self.mnemonic = mnemonic
        self.source_count = sources


MATH_FUNCTIONS: Final = MappingProxyType({function.code: function for function in MathFunction})
"""By code, bits 27:24 of a math word."""
