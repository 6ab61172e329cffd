"""What STFLE claims is there: instructions of each facility are executed, by the engine or by CP."""
import pytest

from monitors.cp.table import Row, perform
from pvlab.monitors.cp.facts import FACILITIES

# Facility: instructions (operands in GR7 = A000, GR2 = B000) that only it brings.
INSTRUCTIONS = {
    0: "b90a0012",                                               # algr
    3: "b98e3012",                                               # idte
    7: "b2b07000", 10: "b22b4012", 14: "b9af0012",               # stfle, sske conditional, pfmf
    13: "b2210012",                                              # ipte
    16: "ebf0700000c0 ea0070007000",                             # tp, unpka
    18: "e31070000071 e31070000050",                             # lay, sty
    21: "c01100000001 b9830024",                                 # lgfi, flogr
    22: "b9b00024 b9be0024",                                     # cu14, srstu
    24: "b9900024", 30: "b9b00024",                              # troo, cu14
    25: "b27c7000",                                              # stckf
    31: "c83170007008",                                          # ectg
    34: "ec1200020076 c61200000000",                             # crj, cgfrl
    37: "b3900010", 41: "b3c10010 b3cd0010 b3720010",            # celfbr, ldgr, lgdr, cpsdr
    45: "b9f81012 eb12700000f2 eb12700000f8 b9e10012",           # ark, loc, laa, popcnt
    49: "b2e81012 ec1200000059",                                 # ppa, risbgn
    51: "b2210112",                                              # ipte, local
    129: "e70000000056 e70070000006",                            # vlr, vl
}
# 1, 2 and 138 are the mode itself; 4, 8 and 75 show in translation (rows_instructions.py); 19 is about speed; 27, 32, 33 and
# 35 have operands of their own, below.
OTHERS = {1, 2, 4, 8, 19, 75, 138}
_OWN = {27: ("c81070002000", {}, {}),
        32: ("c83270002000", {0: 0x200, 1: 0x40000}, {}), 33: ("c83270002000", {0: 0x201, 1: 0x40000}, {}),
        35: ("c60000000200", {}, {"data": {0x10500: bytes.fromhex("1800")}})}

CASES = [(bit, code) for bit, codes in INSTRUCTIONS.items() for code in codes.split()]


def test_every_facility_is_accounted_for():
    assert {*INSTRUCTIONS, *OTHERS, *_OWN} == set(FACILITIES)


@pytest.mark.parametrize("bit, code", CASES)
def test_it_executes(bit, code):
    executes(code, {n: 0 for n in range(8)} | {7: 0xA000, 2: 0xB000, 3: 0xB000, 1: 0}, {})


@pytest.mark.parametrize("bit", [32, 33, 35])
def test_it_executes_with_operands_of_its_own(bit):
    code, regs, more = _OWN[bit]
    executes(code, regs | {7: 0xA000, 2: 0xB000, 3: 0}, more)


def test_mvcos_is_there():
    """With DAT off it is a special-operation exception, on any machine that has it."""
    found, made = perform(Row(None, "", insn=_OWN[27][0], regs={0: 0, 7: 0xA000, 2: 0xB000}))
    assert made.machine.ram.read(0x8E, 2) == b"\0\x13", found


def executes(code, regs, more):
    def enable(vm):
        vm.cregs[0] |= 3 << 17                                   # vector and AFP registers
    found, made = perform(Row(None, "", insn=code, regs=regs, prepare=enable, **more))
    assert found.detail.endswith("1234"), (code, found.detail, made.machine.ram.read(0x8C, 4).hex())
