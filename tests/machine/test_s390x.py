"""The s390x machine: exact counts, stops, storage views and translation, with machine code written out by hand."""
import pytest

from pvlab.machine.engine import NOWHERE, Why
from pvlab.machine.s390x import psw
from pvlab.machine.s390x.decode import Instruction, describe_block, length, opcode
from pvlab.machine.s390x.faults import ADDRESSING, EXECUTE, PROTECTION, SPECIFICATION, Interruption
from pvlab.machine.s390x.machine import Machine
from pvlab.machine.s390x.psw import BASIC, EXTENDED, PROBLEM, Psw

RAM, CODE, DATA = 1 << 20, 0x10000, 0x20000
BITS64 = EXTENDED | BASIC
ADD, SVC, DIAG = "1a11", "0a2a", "83120008"           # ar %r1, %r1; svc 42; diag


def machine(code: str, at: int = CODE, **registers: int) -> Machine:
    made = Machine(RAM)
    made.absolute.write(at, bytes.fromhex(code))
    made.set_psw(Psw(PROBLEM | BITS64, at))
    for name, value in registers.items():
        made.regs[int(name[1:])] = value
    return made


@pytest.mark.parametrize("code, count, pc, vector, registers", [
    (ADD + SVC, 1, 2, 2, {}),
    (ADD * 3 + DIAG, 3, 6, 3, {}),
    (DIAG, 0, 0, 3, {}),
    (ADD + "0000", 1, 2, 3, {}),
    (ADD + "58305000" + ADD + SVC, 1, 2, 3, {"r5": RAM}),                       # l %r3, 0(%r5), beyond storage
    (ADD + "44002000" + ADD + SVC, 3, 8, 2, {"r2": DATA}),                      # ex 0, 0(%r2)
    (ADD + "44002000" + ADD + SVC, 1, 2, 3, {"r2": DATA + 16, "r5": RAM}),      # … whose target cannot
    (ADD + "44002000" + SVC, 1, 2, 2, {"r2": DATA + 8}),                        # … svc 7
    ("a7280003" + ADD + "a726ffff" + SVC, 7, 10, 2, {}),                        # brct %r2, three times
])
def test_counts_are_exact(code, count, pc, vector, registers):
    made = machine(code, **registers)
    made.absolute.write(DATA, bytes.fromhex("1a11 0000 0000 0000 0a07 0000 0000 0000 58305000"))
    assert made.enter(1_000_000) is Why.EXCEPTION and made.state.vector == vector
    assert (made.instructions, made.pc - CODE) == (count, pc)


def test_a_deadline_is_met_at_the_next_block():
    made = machine("a73b0001a7f4fffe")                  # aghi %r3, 1; j to it
    for until in (1000, 1001, 77_777):
        assert made.enter(until) is Why.DEADLINE
        assert until <= made.instructions <= until + 1 and made.instructions == 2 * made.regs[3]


def test_the_condition_code_is_there_whenever_it_stops():
    for code, cc in (("1b11" + SVC, 0), ("a71afff0" + SVC, 1), ("a71a0001" + SVC, 2)):
        made = machine(code, r1=0)
        made.enter(100)
        assert made.cc == cc == made.psw.mask >> 44 & 3
        made.cc = 3
        made.retire(2)
        made.absolute.write(CODE + 0x100, bytes.fromhex("b2220010" + SVC))       # ipm %r1
        made.set_psw(Psw(made.psw.mask, CODE + 0x100))
        made.enter(200)
        assert made.regs[1] >> 28 & 3 == 3


def test_code_that_the_lab_changes_is_translated_again():
    made = machine(ADD + SVC, r1=1)
    made.enter(100)
    made.absolute.write(CODE, bytes.fromhex("1b11"))
    made.set_psw(Psw(PROBLEM | BITS64, CODE))
    made.enter(200)
    assert made.regs[1] == 0 and made.instructions == 2


def test_code_that_the_guest_changes_is_translated_again():
    """mvi of the second byte of an instruction in another block, twice through."""
    made = machine("92235000 07f6", r5=CODE + 0x101, r6=CODE + 0x100)            # br %r6
    made.absolute.write(CODE + 0x100, bytes.fromhex("1a22" + SVC))
    made.regs[2], made.regs[3] = 1, 5
    made.enter(100)
    assert (made.regs[2], made.regs[3], made.instructions) == (6, 5, 3)            # ar %r2, %r3 by then
    made.set_psw(Psw(PROBLEM | BITS64, CODE + 0x100))
    made.absolute.write(CODE + 0x101, b"\x22")
    made.enter(200)
    assert made.regs[2] == 12


def test_points_stop_exactly_before():
    made = machine(ADD + "b2055000" + ADD + SVC, r5=DATA)                        # stck
    assert made.enter(100) is Why.POINT and made.pc == CODE + 2 and made.instructions == 1
    assert made.instruction() == Instruction(bytes.fromhex("b2055000")) and made.instruction().opcode == 0xB205
    made.retire(4)
    assert made.enter(100) is Why.EXCEPTION and made.instructions == 3


def test_a_point_is_passed_once_with_its_execute():
    made = machine("44002000" + SVC, r2=DATA, r4=DATA + 0x100, r5=8, r6=DATA + 0x200, r7=8)
    made.absolute.write(DATA, bytes.fromhex("0e46"))                             # mvcl %r4, %r6
    made.absolute.write(DATA + 0x200, b"moved it")
    assert made.enter(100) is Why.POINT and made.instruction().executed_by == 4
    made.pass_point(made.instruction())
    assert made.enter(100) is Why.EXCEPTION and made.stopped_by_svc and made.instructions == 1
    assert made.ram.read(DATA + 0x100, 8) == b"moved it"


def test_an_odd_address_is_stopped_before():
    made = machine("07f1", r1=DATA + 1)
    made.absolute.write(DATA + 1, bytes.fromhex(ADD + SVC))
    assert made.enter(100) is Why.POINT and made.pc == DATA + 1
    with pytest.raises(Interruption) as caught:
        made.instruction()
    assert caught.value.code == SPECIFICATION


def test_a_branch_beyond_storage():
    made = machine("07f1", r1=RAM)
    assert made.enter(100) is Why.EXCEPTION and made.env.program_code == ADDRESSING and made.pc == RAM
    assert made.instructions == 1


def test_execute_of_execute():
    made = machine("44002000", r2=DATA)
    made.absolute.write(DATA, bytes.fromhex("44002000"))
    made.enter(100)
    with pytest.raises(Interruption) as caught:
        made.instruction()
    assert caught.value.code == EXECUTE


def test_execute_modifies_its_target():
    made = machine("44102000", r1=0x0F, r2=DATA)
    made.absolute.write(DATA, bytes.fromhex("0a30"))
    made.enter(100)
    assert made.env.svc_code == 0x3F and made.instruction().code == b"\x0a\x3f"


# ------------------------------------------------------------------------------------------------ PSW

@pytest.mark.parametrize("mask, address, valid", [
    (BITS64, 0, True), (BITS64, (1 << 64) - 1, True), (BASIC, (1 << 31) - 1, True), (BASIC, 1 << 31, False),
    (0, (1 << 24) - 1, True), (0, 1 << 24, False), (EXTENDED, 0, False), (1 << 63, 0, False), (1 << 51, 0, False),
    (1 << 60, 0, False), (1 << 33, 0, False), (1 << 30, 0, False), (1, 0, False),
    (psw.PER | psw.DAT | psw.IO | psw.EXTERNAL | psw.KEY | psw.MACHINE_CHECK | psw.WAIT | PROBLEM | psw.SPACE | psw.CC
     | psw.PROGRAM_MASK | BITS64, 2, True)])
def test_validity(mask, address, valid):
    assert Psw(mask, address).valid is valid
    assert Psw.of(Psw(mask, address).to_bytes()) == (mask, address)


def test_a_short_psw():
    assert Psw.of_short(0x0008000180001234) == (BITS64, 0x1234) and Psw.of_short(0x0008000080001234) == (BASIC, 0x1234)
    assert not Psw.of_short(0x0000000180001234).valid


@pytest.mark.parametrize("mask, address, wrapped", [(BITS64, 1 << 64 | 5, 5), (BASIC, 0x80000005, 5), (0, 0x1000005,
    5)])
def test_addresses_wrap(mask, address, wrapped):
    assert psw.wrap(mask, address) == wrapped


# ------------------------------------------------------------------------------------------------ decoding

def test_lengths_and_opcodes():
    assert [length(first) for first in (0x07, 0x41, 0x83, 0xC0)] == [2, 4, 4, 6]
    for code, number in (("0a2a", 0x0A), ("b2b20000", 0xB2B2), ("e31020000071", 0xE371), ("eb0f00000025", 0xEB25),
                         ("a7f40000", 0xA704), ("c60000000000", 0xC600), ("e50110002000", 0xE501), ("c80120003000",
                             0xC801)):
        assert opcode(bytes.fromhex(code)) == number


@pytest.mark.parametrize("code, base", [("b2b26123", (6, 0x123)), ("e31061230124", (6, 0x1123)), ("e3106fff8024", (6,
    -0x7F001)),
                                        ("e50161230000", (6, 0x123))])
def test_operand_addresses(code, base):
    assert Instruction(bytes.fromhex(code)).base == base


def test_what_a_block_is():
    assert describe_block(bytes.fromhex(ADD + "b2055000" + "44002000"), b"", CODE, False) == ([0, 2], NOWHERE,
        [CODE + 2])
    assert describe_block(bytes.fromhex("b2055000"), b"", CODE, True) == ([0], NOWHERE, [CODE])
    assert describe_block(bytes.fromhex(ADD), b"", CODE + 1, False) == ([0], NOWHERE, [CODE + 1])
    assert describe_block(b"\xc0", bytes.fromhex("1f00000000"), CODE, False)[0] == [0]


# ------------------------------------------------------------------------------------------------ storage

def test_prefixing():
    made = machine("")
    made.absolute.write(0, b"absolute 0")
    made.absolute.write(DATA, b"prefix area")
    made.set_prefix(DATA)
    assert made.real.read(0, 11) == b"prefix area" and made.real.read(DATA, 10) == b"absolute 0"
    made.real.write(0x1FFE, b"abcd")
    assert made.absolute.read(DATA + 0x1FFE, 2) == b"ab" and made.absolute.read(0x2000, 2) == b"cd"
    made.absolute.write(CODE, bytes.fromhex("e3100000 0004" + SVC))              # lg %r1, 0: the engine prefixes, too
    made.set_psw(Psw(PROBLEM | BITS64, CODE))
    made.enter(100)
    assert made.regs[1].to_bytes(8, "big") == b"prefix a"


@pytest.mark.parametrize("view", ["absolute", "real", "logical"])
def test_addresses_beyond_storage(view):
    storage = getattr(machine(""), view)
    for address, size in ((RAM, 1), (RAM - 1, 2), (-1 & (1 << 64) - 1, 1), (1 << 63, 8)):
        for use in (storage.read, storage.check, lambda at, size: storage.write(at, bytes(size))):
            with pytest.raises(Interruption) as caught:
                use(address, size)
            assert caught.value.code == ADDRESSING


def test_a_write_that_fails_writes_nothing():
    made = machine("")
    with pytest.raises(Interruption):
        made.real.write(RAM - 4, b"12345678")
    assert made.absolute.read(RAM - 4, 4) == bytes(4)


def test_low_address_protection_is_for_logical_stores():
    made = machine("")
    made.cregs[0] |= 1 << 28
    for address in (0, 511, 4096, 4607):
        with pytest.raises(Interruption) as caught:
            made.logical.write(address, b"x")
        assert caught.value.code == PROTECTION
    made.logical.write(512, b"x")
    made.real.write(0, b"x")


# ------------------------------------------------------------------------------------------------ translation

_TABLES = 0x40000


def translated(levels: int) -> Machine:
    """Tables of so many levels above the pages: 1 segment, 2 region third, …; virtual 0x123000 is real DATA."""
    made = machine("")
    made.absolute.store(_TABLES + 0x23 * 8, 8, DATA)                              # the page table: page 0x23
    origin = _TABLES
    for level in range(levels):
        table = _TABLES + 0x10000 * (level + 1)
        for i in range(2048):
            made.absolute.store(table + i * 8, 8, 0x20 | level << 2)
        made.absolute.store(table + (8 if level == 0 else 0), 8, origin | level << 2 | (3 if level else 0))
        origin = table
    made.cregs[1] = origin | (levels - 1) << 2 | 3
    made.absolute.write(DATA, b"translated")
    return made


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_the_lab_translates_as_the_engine_does(levels):
    made = translated(levels)
    made.env.psw_mask = PROBLEM | BITS64 | psw.DAT
    assert made.logical.read(0x123000, 10) == b"translated"
    for address, code in ((0x123008, None), (0x24000, 0x10), (0x200000, 0x10),
                          (1 << 31, {1: 0x38, 2: 0x3B, 3: 0x3B, 4: 0x3B}[levels]),
                          (1 << 42, {1: 0x38, 2: 0x38, 3: 0x3A, 4: 0x3A}[levels]),
                          (1 << 53, {1: 0x38, 2: 0x38, 3: 0x38, 4: 0x39}[levels])):
        made.absolute.write(DATA + 0x100, bytes.fromhex("e31050000004" + SVC))   # lg %r1, 0(%r5), at virtual 0x123100
        made.regs[5] = address
        made.set_psw(Psw(PROBLEM | BITS64 | psw.DAT, 0x123100))
        made.enter(made.instructions + 100)
        if code is None:
            assert made.stopped_by_svc and made.logical.read(address, 8) == b"ed" + bytes(6)
            continue
        assert (made.state.vector, made.env.program_code) == (3, code)
        with pytest.raises(Interruption) as caught:
            made.logical.read(address, 8)
        assert caught.value.code == code


def test_two_cpus_on_one_storage():
    made = machine(ADD + SVC, r1=1)
    other = made.save_cpu()
    made.enter(100)
    mine = made.save_cpu()
    made.load_cpu(other)
    assert made.regs[1] == 1 and made.pc == CODE
    made.regs[1] = 10
    made.enter(100)
    assert made.regs[1] == 20
    made.load_cpu(mine)
    assert made.regs[1] == 2 and made.saved_control_register(mine, 0) == 0xE0
