"""Rows for the instructions that CP simulates: what each does, and what it refuses."""
from __future__ import annotations

from functools import partial

from pvlab.machine.s390x import psw
from pvlab.machine.s390x.storage import PAGE
from pvlab.monitors.cp import Cp, ebcdic
from pvlab.monitors.cp.facts import facility_bytes
from pvlab.monitors.cp.vm import EPOCH
from monitors.cp.table import BITS31, BITS64, CALL, END_PSW, MEMORY, PROBLEM, UNTOUCHED, Row

AREA, TABLES = 0x8000, 0x40000
BEYOND = MEMORY
OPERATION, PRIVILEGED, PROTECTION, ADDRESSING, SPECIFICATION, SPECIAL = 1, 2, 4, 5, 6, 0x13
at = partial(Row, None)                # at("what", insn=…): GR6 is the operand's address, unless the row says otherwise


def u(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def equal(found, wanted) -> None:
    assert found == wanted, (found, wanted)


def operands(name: str, insn: str, boundary: int, store: bool) -> list[Row]:
    """What every instruction with an operand in storage has: alignment, addressing, low-address protection,
    privilege."""
    rows = [at(f"{name} beyond storage", insn=insn, regs={6: BEYOND}, program=ADDRESSING),
            at(f"{name} at the end of addresses", insn=insn, regs={6: -boundary if boundary > 1 else -8},
               program=ADDRESSING),
            at(f"{name} in the problem state", insn=insn, regs={6: AREA}, mode=BITS64 | PROBLEM, program=PRIVILEGED,
               storage={AREA: bytes(16)})]
    if boundary > 1:
        rows.append(at(f"{name} not aligned", insn=insn, regs={6: AREA + 1}, program=SPECIFICATION))
    if store:
        rows.append(at(f"{name} into protected low core", insn=insn, regs={6: 8}, program=PROTECTION,
                       prepare=lambda vm: vm.cregs.__setitem__(0, vm.cregs[0] | 1 << 28)))
    return rows


def cr(**values: int):
    """Control registers before: cr(c0=…)."""
    def prepare(vm):
        for name, value in values.items():
            vm.cregs[int(name[1:])] = value
    return prepare


def both(*functions):
    def prepare(vm):
        for function in functions:
            function(vm)
    return prepare


# ------------------------------------------------------------------------------------------------ PSW
_END = u(1 << 49 | BITS64, 8) + u(0x4321, 8)
PSWS = [
    at("lpswe", insn="b2b26000", regs={6: AREA}, data={AREA: _END}, ends=("halted", "4321")),
    at("lpsw", insn="82006000", regs={6: AREA}, data={AREA: u(1 << 51 | 1 << 49 | BITS64 | 0x4321, 8)}, ends=("halted",
       "4321")),
    at("lpsw without bit 12", insn="82006000", regs={6: AREA}, data={AREA: u(1 << 49 | BITS64, 8)},
       program=SPECIFICATION),
    *(at(f"lpswe of an invalid PSW, {what}", insn="b2b26000", regs={6: AREA}, data={AREA: u(mask, 8) + u(address, 8)},
         ends=("halted", "d150"), storage={0x150: u(mask, 8) + u(address, 8), 0x8C: u(6, 4)})
      for what, mask, address in (("bit 0", 1 << 63 | BITS64, 0), ("bit 12", 1 << 51 | BITS64, 0xDEADBEEE),
                                  ("mode", 1 << 32, 0), ("bit 40", BITS64 | 1 << 23, 0),
                                  ("24-bit address", 0, 1 << 24), ("31-bit address", BITS31, 1 << 31))),
    at("lpswe to an odd address", insn="b2b26000", regs={6: AREA}, data={AREA: u(BITS64, 8) + u(0x20001, 8)},
       ends=("halted", "d150"), storage={0x158: u(0x20001, 8), 0x8E: u(6, 2)}),
    at("lpswe to beyond storage", insn="b2b26000", regs={6: AREA}, data={AREA: u(BITS64, 8) + u(BEYOND, 8)},
       ends=("halted", "d150"), storage={0x8E: u(5, 2)}),
    at("ssm", insn="80006000", regs={6: AREA}, data={AREA: b"\3"}, verify=lambda vm: equal(vm.psw.mask >> 56, 0)),
    at("ssm enables", insn="80006000", regs={6: AREA}, data={AREA: b"\1"},
       prepare=both(cr(c0=0x200), lambda vm: vm.service_signals.append(0x1238)), ends=("halted", "d130"),
       storage={0x80: u(0x1238, 4), 0x84: bytes(2) + u(0x2401, 2), 0x138: u(CALL + 4, 8)}),
    at("ssm of invalid bits", insn="80006000", regs={6: AREA}, data={AREA: b"\x80"}, ends=("halted", "d150"),
       storage={0x8C: u(4 << 16 | 6, 4), 0x158: u(CALL + 4, 8)}),
    at("ssm suppressed", insn="80006000", regs={6: AREA}, prepare=cr(c0=1 << 30), program=SPECIAL),
    at("stosm", insn="ad036000", regs={6: AREA}, storage={AREA: bytes(1)}),
    at("stnsm", insn="ac006000", regs={6: AREA}, storage={AREA: bytes(1)}),
    at("stnsm of what was on", insn="acfc6000", regs={6: AREA}, mode=BITS64 | psw.EXTERNAL | psw.IO,
       storage={AREA: b"\3"}),
    at("stosm suppressed by a protected operand", insn="ad036000", regs={6: BEYOND}, program=ADDRESSING,
       verify=lambda vm: equal(vm.psw.mask & psw.EXTERNAL, 0)),
    at("spka", insn="b20a00a0", verify=lambda vm: None),
    at("spka and ipk", insn="b20b0000", mode=BITS64 | 0xA << 52, after={2: (UNTOUCHED + 2) & ~0xFF | 0xA0}),
    at("spka in the problem state, not allowed", insn="b20a00a0", mode=BITS64 | PROBLEM, program=PRIVILEGED),
    at("ipk in the problem state, not allowed", insn="b20b0000", mode=BITS64 | PROBLEM, program=PRIVILEGED),
    at("iac without DAT", insn="b2240010", program=SPECIAL),
    at("sac without DAT", insn="b2190100", program=SPECIAL),
    at("sac to no space", insn="b2190400", program=SPECIFICATION),
    at("epar without DAT", insn="b2260010", program=SPECIAL),
    at("esar without DAT", insn="b2270010", program=SPECIAL),
    at("epsw shows the virtual PSW", insn="b98d0012", after={1: (UNTOUCHED + 1) & ~0xFFFFFFFF | 0x2001,
                                                             2: (UNTOUCHED + 2) & ~0xFFFFFFFF | 0x80000000}),
    at("epsw without a second register", insn="b98d0010", after={1: (UNTOUCHED + 1) & ~0xFFFFFFFF | 0x2001}),
    at("epsw shows the real PSW", insn="b98d0012", monitor=partial(Cp, epsw_hole=True),
       after={1: (UNTOUCHED + 1) & ~0xFFFFFFFF | 0x12001, 2: (UNTOUCHED + 2) & ~0xFFFFFFFF | 0x80000000}),
]
for name, insn, boundary, store in (("lpswe", "b2b26000", 8, False), ("lpsw", "82006000", 8, False), ("ssm", "80006000",
    1, False),
                                    ("stosm", "ad036000", 1, True), ("stnsm", "acfc6000", 1, True)):
    PSWS += operands(name, insn, boundary, store)

# -------------------------------------------------------------------------------- control registers, prefix
CONTROL = [
    at("lctlg", insn="eb9b6000002f", regs={6: AREA}, data={AREA: u(0x1122334455667788, 8) + u(9, 8) + u(10, 8)},
       verify=lambda vm: equal((vm.cregs[9], vm.cregs[10], vm.cregs[11]), (0x1122334455667788, 9, 10))),
    at("lctlg around 15", insn="ebf86000002f", regs={6: AREA}, data={AREA: u(15, 8) + bytes(72)},
       prepare=cr(c15=1, c9=99), verify=lambda vm: equal((vm.cregs[15], vm.cregs[9]), (15, 99))),
    at("lctl", insn="b7886000", regs={6: AREA}, data={AREA: u(0x99, 4)}, prepare=cr(c8=0xABCD00000000 | 1),
       verify=lambda vm: equal(vm.cregs[8], 0xABCD00000099)),
    at("stctg", insn="eb8960000025", regs={6: AREA}, prepare=cr(c8=0x8888, c9=0x9999), storage={AREA: u(0x8888,
       8) + u(0x9999, 8)}),
    at("stctl", insn="b6896000", regs={6: AREA}, prepare=cr(c8=0x8888, c9=0x9999), storage={AREA: u(0x8888,
       4) + u(0x9999, 4)}),
    at("initial control registers", insn="eb0f60000025", regs={6: AREA},
       storage={AREA: u(0xE0, 8) + bytes(104) + u(0xC2000000, 8) + bytes(8)}),
    at("spx", insn="b2106000", regs={6: AREA}, data={AREA: u(0x21FFF, 4)},
       prepare=lambda vm: vm.absolute.write(0x20000, vm.absolute.read(0, PAGE)), ends=("halted", "1234"),
       verify=lambda vm: equal(vm.env.prefix, 0x20000)),
    at("spx beyond storage", insn="b2106000", regs={6: AREA}, data={AREA: u(BEYOND, 4)}, program=ADDRESSING),
    at("stpx", insn="b2116000", regs={6: AREA}, data={AREA: b"\xFF" * 8}, storage={AREA: bytes(4) + b"\xFF" * 4}),
    at("ptlb", insn="b20d0000"),
    at("ptlb in the problem state", insn="b20d0000", mode=BITS64 | PROBLEM, program=PRIVILEGED),
]
for name, insn, boundary, store in (("lctlg", "eb9b6000002f", 8, False), ("lctl", "b7886000", 4, False),
                                    ("stctg", "eb8960000025", 8, True), ("stctl", "b6896000", 4, True),
                                    ("spx", "b2106000", 4, False), ("stpx", "b2116000", 4, True)):
    CONTROL += operands(name, insn, boundary, store)

# ------------------------------------------------------------------------------------------------ facts
_text = ebcdic.encode
FACTS = [
    at("stidp", insn="b2026000", regs={6: AREA}, storage={AREA: u(0xFF000370_29640000, 8)}),
    at("stap", insn="b2126000", regs={6: AREA}, data={AREA: b"\xFF" * 4}, storage={AREA: b"\0\0\xFF\xFF"}),
    at("stfl", insn="b2b10000", storage={200: facility_bytes()[:4]}),
    at("stfl in the problem state", insn="b2b10000", mode=BITS64 | PROBLEM, program=PRIVILEGED),
    at("stfle", insn="b2b06000", regs={0: 0, 6: AREA}, cc=3, after={0: 2},
       storage={AREA: facility_bytes()[:8] + bytes(8)}),
    at("stfle with room", insn="b2b06000", regs={0: 7, 6: AREA}, cc=0, after={0: 2},
       storage={AREA: facility_bytes() + bytes(8)}),
    at("stfle not aligned", insn="b2b06000", regs={0: 0, 6: AREA + 4}, program=SPECIFICATION),
    at("stfle beyond storage", insn="b2b06000", regs={0: 0, 6: BEYOND}, program=ADDRESSING),
    at("stsi, the level", insn="b27d6000", regs={0: 0, 1: 0, 6: 1}, cc=0, after={0: 3 << 28}),
    at("stsi 1.1.1", insn="b27d6000", regs={0: 1 << 28 | 1, 1: 1, 6: AREA}, cc=0,
       storage={AREA + 32: _text("IBM             2964")}),
    at("stsi 1.2.2", insn="b27d6000", regs={0: 1 << 28 | 2, 1: 2, 6: AREA}, cc=0, storage={AREA + 36: u(1, 2) + u(1,
       2)}),
    at("stsi 2.2.2", insn="b27d6000", regs={0: 2 << 28 | 2, 1: 2, 6: AREA}, cc=0),
    at("stsi 3.2.2", insn="b27d6000", regs={0: 3 << 28 | 2, 1: 2, 6: AREA}, cc=0,
       storage={AREA + 31: b"\1", AREA + 64 + 12: _text("PVLAB   "), AREA + 64 + 24: _text("PVLAB CP")}),
    at("stsi of what there is not", insn="b27d6000", regs={0: 3 << 28 | 9, 1: 9, 6: AREA}, cc=3),
    at("stsi of a level that there is not", insn="b27d6000", regs={0: 4 << 28, 1: 0, 6: AREA}, cc=3),
    at("stsi with reserved bits in GR0", insn="b27d6000", regs={0: 1 << 28 | 0x101, 1: 1, 6: AREA},
       program=SPECIFICATION),
    at("stsi with reserved bits in GR1", insn="b27d6000", regs={0: 1 << 28 | 1, 1: 1 << 16 | 1, 6: AREA},
       program=SPECIFICATION),
    at("stsi not on a page", insn="b27d6000", regs={0: 1 << 28 | 1, 1: 1, 6: AREA + 8}, program=SPECIFICATION),
    at("stsi in the problem state", insn="b27d6000", regs={0: 0, 1: 0}, mode=BITS64 | PROBLEM, program=PRIVILEGED),
]
for name, insn, boundary, store in (("stidp", "b2026000", 8, True), ("stap", "b2126000", 2, True)):
    FACTS += operands(name, insn, boundary, store)

# ------------------------------------------------------------------------------------------------ clocks
CLOCKS = [
    at("stck", insn="b2056000", regs={6: AREA}, cc=0, verify=lambda vm: equal(vm.absolute.load(AREA, 8) >> 12,
       EPOCH >> 12)),
    at("stckf", insn="b27c6000", regs={6: AREA}, cc=0, verify=lambda vm: equal(vm.absolute.load(AREA, 8) >> 12,
       EPOCH >> 12)),
    at("stcke", insn="b2786000", regs={6: AREA}, cc=0, data={AREA: b"\xFF" * 16}, prepare=lambda vm: setattr(vm.cpu,
       "tod_programmable", 7),
       verify=lambda vm: equal((vm.absolute.load(AREA, 1), vm.absolute.load(AREA + 1, 8) >> 12,
       vm.absolute.load(AREA + 9, 5),
                                vm.absolute.load(AREA + 14, 2)), (0, EPOCH >> 12, 0, 7))),
    at("stck beyond storage", insn="b2056000", regs={6: BEYOND}, program=ADDRESSING),
    at("stck in the problem state", insn="b2056000", regs={6: BEYOND}, mode=BITS64 | PROBLEM, program=ADDRESSING),
    at("sck", insn="b2046000", regs={6: AREA}, data={AREA: u(0x1234 << 12, 8)}, cc=0,
       verify=lambda vm: equal(vm.tod >> 12, 0x1234)),
    at("sckc", insn="b2066000", regs={6: AREA}, data={AREA: u(0x123456789, 8)},
       verify=lambda vm: equal(vm.cpu.comparator, 0x123456789)),
    at("stckc", insn="b2076000", regs={6: AREA}, data={AREA: b"\xFF" * 8}, storage={AREA: bytes(8)}),
    at("spt", insn="b2086000", regs={6: AREA}, data={AREA: u(1000 << 12, 8)},
       verify=lambda vm: equal(vm.cpu_timer(vm.cpu) < 1000 << 12 and vm.cpu.timer, 1000 << 12)),
    at("stpt", insn="b2096000", regs={6: AREA}, verify=lambda vm: equal(vm.absolute.load(AREA, 8) >> 63, 1)),
    at("sckpf", insn="0107", regs={0: 0x1234}, verify=lambda vm: equal(vm.cpu.tod_programmable, 0x1234)),
    at("sckpf with bits that must be zero", insn="0107", regs={0: 0x10000}, program=SPECIFICATION),
    at("ectg", insn="c83160006008", regs={0: 0, 6: AREA, 3: AREA + 16}, data={AREA: u(5000, 8) + u(7, 8) + u(9, 8)},
       prepare=lambda vm: (setattr(vm.cpu, "timer", 1000), setattr(vm.cpu, "timer_set", vm.now)),
       after={0: 4000 + 2 * 512 // 125, 1: 7, 3: 9}),
    at("ptff is not installed", insn="0104", program=OPERATION),
]
for name, insn, store in (("sck", "b2046000", False), ("sckc", "b2066000", False), ("stckc", "b2076000", True), ("spt",
    "b2086000", False),
                          ("stpt", "b2096000", True)):
    CLOCKS += operands(name, insn, 8, store)

# ------------------------------------------------------------------------------------------------ keys, storage
_RX = {1: 0xF6, 2: 0x20123}


def key(value: int, where: int = 0x20000):
    return lambda vm: vm.keys.set(where, value)


KEYS = [
    at("sske", insn="b22b0012", regs=_RX, verify=lambda vm: equal(vm.keys.get(0x20000), 0xF6)),
    at("sske beyond storage", insn="b22b0012", regs={1: 0, 2: BEYOND}, program=ADDRESSING),
    at("sske conditional, the same", insn="b22b4012", regs=_RX, prepare=key(0xF2), cc=1,
       after={1: 0xF2F6}, verify=lambda vm: equal(vm.keys.get(0x20000), 0xF6)),
    at("sske conditional, only change differs", insn="b22b4012", regs={1: 0xF0, 2: 0x20000}, prepare=key(0xF2), cc=0,
       after={1: 0xF2F0}, verify=lambda vm: equal(vm.keys.get(0x20000), 0xF2)),
    at("sske of many blocks", insn="b22b1012", regs={1: 0x30, 2: 0x2FE000}, after={2: 0x300000},
       verify=lambda vm: equal([vm.keys.get(at) for at in (0x2FD000, 0x2FE000, 0x2FF000, 0x300000)], [0, 0x30, 0x30,
       0])),
    at("iske", insn="b2290012", regs=_RX, prepare=key(0xA8), after={1: 0xA8}),
    at("iske beyond storage", insn="b2290012", regs={1: 0, 2: BEYOND}, program=ADDRESSING),
    at("ivsk without DAT", insn="b2230012", regs=_RX, program=SPECIAL),
    *(at(f"rrbe of {old:#x}", insn="b22a0012", regs=_RX, prepare=key(old), cc=cc, verify=lambda vm, old=old: equal(
        vm.keys.get(0x20000), old & ~4)) for old, cc in ((0, 0), (2, 1), (4, 2), (6, 3))),
    at("pfmf clears", insn="b9af0012", regs={1: 0x10000, 2: 0x20000}, data={0x20000: b"\xAA" * 8192},
       storage={0x20000: bytes(PAGE) + b"\xAA"}),
    at("pfmf sets the key", insn="b9af0012", regs={1: 0x200F0, 2: 0x20000},
       verify=lambda vm: equal(vm.keys.get(0x20000), 0xF0)),
    at("pfmf of a megabyte", insn="b9af0012", regs={1: 0x11000, 2: 0x2FF000}, data={0x2FF000: b"\xAA" * 8192},
       after={2: 0x300000}, storage={0x2FF000: bytes(PAGE) + b"\xAA"}),
    at("pfmf with reserved bits", insn="b9af0012", regs={1: 0x40000, 2: 0x20000}, program=SPECIFICATION),
    at("tb", insn="b22c0002", regs={0: 0, 2: 0x20123}, data={0x20000: b"\xAA" * PAGE}, cc=0,
       storage={0x20000: bytes(PAGE)}),
    at("tb beyond storage", insn="b22c0002", regs={0: 0, 2: BEYOND}, program=ADDRESSING),
    at("tb of protected low core", insn="b22c0002", regs={0: 0, 2: PAGE}, prepare=cr(c0=1 << 28), program=PROTECTION),
    at("tprot, all", insn="e50160000000", regs={6: AREA}, cc=0),
    at("tprot, key differs", insn="e50160000010", regs={6: AREA}, prepare=key(0x20, AREA), cc=1),
    at("tprot, key differs, fetch protected", insn="e50160000010", regs={6: AREA}, prepare=key(0x28, AREA), cc=2),
    at("tprot, key is the same", insn="e50160000020", regs={6: AREA}, prepare=key(0x28, AREA), cc=0),
    at("tprot, low core", insn="e50160000000", regs={6: 0}, prepare=cr(c0=1 << 28), cc=1),
    at("tprot, beyond storage", insn="e50160000000", regs={6: BEYOND}, program=ADDRESSING),
    at("lura", insn="b24b0012", regs={1: -1, 2: AREA}, data={AREA: u(7, 4)}, after={1: 0xFFFFFFFF00000007}),
    at("lurag", insn="b9050012", regs={2: AREA}, data={AREA: u(7, 8)}, after={1: 7}),
    at("stura", insn="b2460012", regs={1: 7, 2: AREA}, storage={AREA: u(7, 4)}),
    at("sturg", insn="b9250012", regs={1: 7, 2: AREA}, storage={AREA: u(7, 8)}),
    at("lurag not aligned", insn="b9050012", regs={2: AREA + 4}, program=SPECIFICATION),
    at("csp with an odd register", insn="b2500012", regs={2: AREA}, program=SPECIFICATION),
    at("csp, equal", insn="b2500042", regs={4: 7, 5: 8, 2: AREA | 1}, data={AREA: u(7, 4)}, cc=0, storage={AREA: u(8,
       4)}),
    at("csp, not equal", insn="b2500042", regs={4: 6, 5: 8, 2: AREA}, data={AREA: u(7, 4)}, cc=1, after={4: 7},
       storage={AREA: u(7, 4)}),
    at("cspg, equal", insn="b98a0042", regs={4: 7, 5: 8, 2: AREA}, data={AREA: u(7, 8)}, cc=0, storage={AREA: u(8, 8)}),
    at("an instruction of a facility that is not there", insn="b2807000", program=OPERATION),
    at("the same in the problem state", insn="b2807000", mode=BITS64 | PROBLEM, program=PRIVILEGED),
]

# ------------------------------------------------------------------------------------------------ translation
# A segment table at TABLES for 2 MB: the first megabyte by pages (page 0x20 is missing, 0x21 protected), nothing else.
_SEGMENTS = u(TABLES + 0x8000, 8) + u(0x20, 8) * 2047
_PAGES = b"".join(u(page << 12 | (0x400 if page == 0x20 else 0x200 if page == 0x21 else 0), 8) for page in range(256))
_SPACE = {"data": {TABLES: _SEGMENTS, TABLES + 0x8000: _PAGES}, "prepare": cr(c1=TABLES | 3)}
_WITH_DAT = {**_SPACE, "mode": BITS64 | psw.DAT}
TRANSLATION = [
    at("lrag", insn="e31060000003", regs={6: 0x12345}, **_SPACE, cc=0, after={1: 0x12345}),
    at("lra in 64-bit mode", insn="b1106000", regs={6: 0x12345}, **_SPACE, cc=0, after={1: 0x12345}),
    at("lra of a missing page", insn="b1106000", regs={1: -1, 6: 0x20123}, **_SPACE, cc=2,
       after={1: 0xFFFFFFFF00000000 | TABLES + 0x8000 + 0x100}),
    at("lra of a missing segment", insn="b1106000", regs={1: 0, 6: 0x100000}, **_SPACE, cc=1, after={1: TABLES + 8}),
    at("lra beyond the table", insn="b1106000", regs={1: 0, 6: 1 << 31}, **_SPACE, cc=3, after={1: 1 << 31 | 0x38}),
    at("lra in the problem state", insn="b1106000", regs={6: 0}, mode=BITS64 | PROBLEM, program=PRIVILEGED),
    at("tprot with DAT", insn="e50160000000", regs={6: 0x12345}, **_WITH_DAT, cc=0),
    at("tprot of a protected page", insn="e50160000000", regs={6: 0x21000}, **_WITH_DAT, cc=1),
    at("tprot of a missing page", insn="e50160000000", regs={6: 0x20000}, **_WITH_DAT, cc=3),
    at("a load from a missing page", insn="e31060000004", regs={6: 0x20123}, **_WITH_DAT, program=0x11, nullified=True,
       storage={0xA8: u(0x20800, 8)}),
    at("a load from a missing segment", insn="e31060000004", regs={6: 0x100123}, **_WITH_DAT, program=0x10,
       nullified=True,
       storage={0xA8: u(0x100800, 8)}),
    at("a store to a protected page", insn="e31060000024", regs={6: 0x21000}, **_WITH_DAT, program=PROTECTION,
       storage={0xA8: u(0x21404, 8)}),
    at("stap to a missing page", insn="b2126000", regs={6: 0x20000}, **_WITH_DAT, program=0x11, nullified=True,
       storage={0xA8: u(0x20400, 8)}),
    at("stap to a protected page", insn="b2126000", regs={6: 0x21000}, **_WITH_DAT, program=PROTECTION,
       storage={0xA8: u(0x21404, 8)}),
    at("iac", insn="b2240010", **_WITH_DAT, cc=0, after={1: (UNTOUCHED + 1) & ~0xFF00}),
    at("epar", insn="b2260010", **{**_WITH_DAT, "prepare": cr(c1=TABLES | 3, c4=0xFFFF0007)},
       after={1: (UNTOUCHED + 1) & ~0xFFFFFFFF | 7}),
    at("epar in the problem state", insn="b2260010", **{**_WITH_DAT, "mode": BITS64 | psw.DAT | PROBLEM},
       program=PRIVILEGED),
    at("sac without secondary-space control", insn="b2190100", **_WITH_DAT, program=SPECIAL),
    at("ivsk", insn="b2230012", regs={1: 0, 2: 0x12345}, **{**_WITH_DAT, "prepare": both(cr(c1=TABLES | 3),
       key(0xA8 | 6, 0x12000))},
       after={1: 0xA8}),
    at("ipte", insn="b2210012", regs={1: TABLES + 0x8000, 2: 0x22000}, **_WITH_DAT,
       storage={TABLES + 0x8000 + 0x110: u(0x22400, 8)}),
    at("idte of a segment", insn="b98e3012", regs={1: 0, 2: 0, 3: TABLES | 3}, **_SPACE,
       storage={TABLES: u(TABLES + 0x8020, 8)}),
]

ROWS = [*PSWS, *CONTROL, *FACTS, *CLOCKS, *KEYS, *TRANSLATION]
