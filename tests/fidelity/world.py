"""The world in which random programs run: where things are in memory, the CPU's tables, and the handlers.

Every program has the same: a GDT with segments of each kind and gates to each ring, an IDT whose handlers write down
what they saw and go on, two task state segments, a local table, page tables for two address spaces in either form of
32-bit paging, and a window of pages whose entries the programs change. All of it is data in the image, so nothing has
to be built by a compiler; a program's own code loads it, bit by bit.
"""
import functools
import struct
from typing import NamedTuple

from machine.assembler import EDI, Code, u32

from pvlab.machine.x86.segments import descriptor

CODE, HANDLERS, DATA, SCRATCH, LOG = 0x100000, 0x110000, 0x120000, 0x121000, 0x128000
LOG_SIZE = 0x8000
GDT, IDT, TSS, TSS2, LDT, POINTERS = 0x130000, 0x131000, 0x132000, 0x133000, 0x134000, 0x135000
TABLES, STACKS, FRAMES = 0x140000, 0x160000, 0x200000
LOW = 0x8000                         # a linear page below 64 KiB, for gates that know 16 bits only
LOW_FRAME = 0x118000
WINDOW, PAGES = 0x4000_0000, 16      # pages whose entries programs change
LARGE = 0x4080_0000                  # a large page of memory from FRAMES (PAE) or from 0 (two-level)

# Variables of the handlers, in the data page.
RECOVER, CONTINUE, LOG_END, STEPS, DEMAND, TICKS, CALLS = (DATA + 4 * i for i in range(7))

# Selectors.
KERNEL_CODE, KERNEL_DATA = 0x08, 0x10
CODE_OF = {0: 0x08, 1: 0x19, 2: 0x2A, 3: 0x3B}
DATA_OF = {0: 0x10, 1: 0x21, 2: 0x32, 3: 0x43}
USER_DATA = DATA_OF[3]
SYSENTER_CS = 0x48
TASK, TASK2, LOCAL, CONFORMING = 0x68, 0x70, 0x78, 0x80
ABSENT_DATA, ABSENT_CODE, READ_ONLY, EXECUTE_ONLY = 0x88, 0x90, 0x98, 0xA0
FRESH_DATA, FRESH_CODE, BASED_DATA, BASED_CODE, CODE16, ABSENT_STACK, SPARE = 0xA8, 0xB0, 0xB8, 0xC0, 0xC8, 0xD0, 0xD8
FIRST_GATE = 0xE0
LOCAL_DATA = 0x0F                    # in the local table, for ring 3

# Interrupt vectors beside the exceptions.
SERVICE, TO_KERNEL, CLOSED, ABSENT, TO_RING1, TO_CONFORMING, NARROW, NULL_TARGET = range(0x80, 0x88)
IRQ = 0x20
QUIET_IRQ = 0x28                     # the same interrupt, whose handler writes down nothing

ERROR_CODES = (8, 10, 11, 12, 13, 14, 17)
SKIPPED = (0, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16)     # faults: the handler goes on where the program says


class Gate(NamedTuple):
    """A call gate of the GDT: its selector, the ring it leads to, and how many parameters it takes along."""

    name: str
    selector: int
    ring: int
    parameters: int
    conforming: bool = False


GATES = (Gate("call-gate", FIRST_GATE | 3, 0, 0), Gate("call-gate-parameters", FIRST_GATE + 8 | 3, 0, 3),
         Gate("call-gate-parameters", FIRST_GATE + 16 | 3, 1, 2), Gate("call-gate", FIRST_GATE + 24 | 3, 2, 0),
         Gate("call-gate-same-ring", FIRST_GATE + 32 | 3, 3, 0, conforming=True))
BAD_GATES = {"absent-gate": FIRST_GATE + 40, "closed-gate": FIRST_GATE + 48, "gate-to-data": FIRST_GATE + 56,
             "gate-to-null": FIRST_GATE + 64, "gate-to-absent-code": FIRST_GATE + 72, "no-gate": FIRST_GATE + 240}
NARROW_GATE = FIRST_GATE + 80 | 3
GDT_LIMIT = FIRST_GATE + 88 - 1

FLAT = 0xFFFFFFFF
CODE_FLAGS, DATA_FLAGS = 0x409B00, 0x409300           # present, accessed, 32-bit, DPL 0


def gate(selector, offset, kind, dpl=0, parameters=0, present=True):
    """A call, interrupt or trap gate: kind 4, 5, 6, 7 (16-bit) or 12, 14, 15."""
    return struct.pack("<II", selector << 16 | offset & 0xFFFF,
                       offset & 0xFFFF0000 | present << 15 | dpl << 13 | kind << 8 | parameters)


def stack_of(ring):
    """The top of a ring's stack."""
    return STACKS + 0x4000 * (ring + 1)


def handlers():
    """The code behind gates and interrupts; gives (code, {name: address})."""
    code, entries = Code(HANDLERS), {}

    # What arrives: the vector and the error code above the CPU's frame. Both are pushed by a stub for each vector.
    def common(skip):
        at = code("60 1e 06 fc b8", USER_DATA, "8e d8 8e c0")            # pusha; push ds, es; cld; load ds, es
        code.load(EDI, LOG_END)
        for offset in (40, 44, 48, 52, 56):                              # vector, error code, EIP, CS, EFLAGS
            code("8b 44 24", bytes([offset]), "ab")
        code("83 7c 24 28 0e 0f 85")                                     # a page fault?
        code(u32(4), "0f 20 d0 ab")                                      # its address: mov %cr2, %eax; stosl
        code("81 e7", LOG_SIZE - 1, "81 cf", LOG)                        # the log is a ring
        code.store(LOG_END, EDI)
        if skip:
            code("80 7c 24 28 07 75 02 0f 06")                           # device not available: clts
            code("80 7c 24 28 10 75 02 db e2")                           # x87 error: fnclex
            code("83 7c 24 28 0e 75 1f 83 3d", DEMAND, "00 74 16")       # a page fault, to be served by its entry?
            code("a1", DEMAND, "8b 15", DEMAND + 0x100, "89 10")         # yes: write the entry
            code("31 c0 a3", DEMAND, "eb 09")
            code("a1", RECOVER, "89 44 24 30")                           # no: go on where the program says
        else:
            code("80 7c 24 28 01 75 10 ff 0d", STEPS, "75 08 81 64 24 38", ~0x100)   # single steps: enough now?
        code("07 1f 61 83 c4 08 cf")                                     # pop; add $8, %esp; iret
        return at

    skip, go_on = common(True), common(False)
    for vector in range(32):
        entries[vector] = code("" if vector in ERROR_CODES else "6a 00", "6a", bytes([vector]))
        code.jump("e9", skip if vector in SKIPPED else go_on)
    for vector in (SERVICE, CLOSED, TO_CONFORMING):
        entries[vector] = code("6a 00 68", vector)
        code.jump("e9", go_on)
    entries[IRQ] = code("50 b0 20 e6 20 ff 05", TICKS, "58 6a 00 68", IRQ)
    code.jump("e9", go_on)
    entries[QUIET_IRQ] = code("50 b0 20 e6 20 ff 05", TICKS, "58 cf")
    entries[TO_KERNEL] = code("bc", stack_of(0), "ff 25", CONTINUE)      # mov, %esp; jmp *CONTINUE
    entries[TO_RING1] = code("ff 05", CALLS, "cf")
    entries["sysenter"] = code("ff 25", CONTINUE)
    for each in GATES:
        release = 4 * each.parameters
        read = "".join(f"03 44 24 {8 + 4 * i:02x}" for i in range(each.parameters))   # add the parameters
        at = code("ff 05", CALLS, read, f"ca {release:02x} 00" if release else "cb")  # lret
        entries[each.selector] = at
    entries["return"] = code("ff 05", CALLS, "cb")                       # what a far call of the same ring reaches
    return code, entries


def low_page(entries):
    """Code that 16-bit gates can reach. Their frames hold 16 bits of each address, so it does not go back that way."""
    code = Code(LOW)
    code("ff 05", CALLS, "ff 25", CONTINUE)
    return code.bytes


def based_page():
    """Code for segments with a base: 32-bit code at 0, 16-bit code at 0x40. Both return far, 32 bits wide."""
    code = Code(0)
    code("ff 05", CALLS, "40 cb")
    code("90" * (0x40 - len(code.bytes)))
    code("66 40 05 34 12 66 cb")                                         # inc %eax; add $0x1234, %ax; lretl
    return code.bytes


BASED = 0x119000                                                         # where that page is


def gdt(entries):
    table = bytearray(GDT_LIMIT + 1)

    def put(selector, data):
        table[selector & ~7:(selector & ~7) + 8] = data
    for ring in range(4):
        put(CODE_OF[ring], descriptor(0, FLAT, CODE_FLAGS | ring << 13))
        put(DATA_OF[ring], descriptor(0, FLAT, DATA_FLAGS | ring << 13))
        flags = (CODE_FLAGS, DATA_FLAGS)[ring & 1] | (ring >> 1) * 0x6000
        put(SYSENTER_CS + 8 * ring, descriptor(0, FLAT, flags))
    put(TASK, descriptor(TSS, 0x200, 0x8900))
    put(TASK2, descriptor(TSS2, 0x200, 0x8900))
    put(LOCAL, descriptor(LDT, 31, 0x8200))
    put(CONFORMING, descriptor(0, FLAT, 0x409F00))
    put(ABSENT_DATA, descriptor(0, FLAT, 0x407300))
    put(ABSENT_CODE, descriptor(0, FLAT, 0x401B00))
    put(READ_ONLY, descriptor(0, FLAT, 0x40F100))
    put(EXECUTE_ONLY, descriptor(0, FLAT, 0x409900))
    put(FRESH_DATA, descriptor(0, FLAT, 0x40F200))
    put(FRESH_CODE, descriptor(0, FLAT, 0x409A00))
    put(BASED_DATA, descriptor(SCRATCH, FLAT, 0x40F300))
    put(BASED_CODE, descriptor(BASED, 0xFFF, 0x409B00))
    put(CODE16, descriptor(BASED, 0xFFF, 0x9B00))
    put(ABSENT_STACK, descriptor(0, FLAT, 0x401300))
    for each in GATES:
        target = CONFORMING if each.conforming else CODE_OF[each.ring] & ~3
        put(each.selector, gate(target, entries[each.selector], 12, 3, each.parameters))
    put(BAD_GATES["absent-gate"], gate(KERNEL_CODE, 0, 12, 3, present=False))
    put(BAD_GATES["closed-gate"], gate(KERNEL_CODE, entries["return"], 12, 0))
    put(BAD_GATES["gate-to-data"], gate(KERNEL_DATA, 0, 12, 3))
    put(BAD_GATES["gate-to-null"], gate(0, 0, 12, 3))
    put(BAD_GATES["gate-to-absent-code"], gate(ABSENT_CODE, 0, 12, 3))
    put(NARROW_GATE, gate(KERNEL_CODE, LOW, 4, 3))
    return table


def idt(entries):
    table = bytearray(0x88 * 8)

    def put(vector, data):
        table[8 * vector:8 * vector + 8] = data
    for vector in range(32):
        put(vector, gate(KERNEL_CODE, entries[vector], 14, 3 if vector in (3, 4) else 0))
    for vector in (IRQ, QUIET_IRQ):
        put(vector, gate(KERNEL_CODE, entries[vector], 14))
    put(SERVICE, gate(KERNEL_CODE, entries[SERVICE], 15, 3))
    put(TO_KERNEL, gate(KERNEL_CODE, entries[TO_KERNEL], 14, 3))
    put(CLOSED, gate(KERNEL_CODE, entries[CLOSED], 14, 0))
    put(ABSENT, gate(KERNEL_CODE, 0, 14, 3, present=False))
    put(TO_RING1, gate(CODE_OF[1], entries[TO_RING1], 14, 3))
    put(TO_CONFORMING, gate(CONFORMING, entries[TO_CONFORMING], 15, 3))
    put(NARROW, gate(KERNEL_CODE, LOW, 6, 3))
    put(NULL_TARGET, gate(0, 0, 14, 3))
    return table


def task_state():
    """Stacks for the inner rings, and an I/O map in which port 0x80 is open and the others are closed."""
    words = [0]
    for ring in range(3):
        words += [stack_of(ring), DATA_OF[ring]]
    data = bytearray(u32(*words).ljust(0x66, b"\0") + struct.pack("<H", 0x68))
    return data + bytes([0xFF] * 16 + [0xFE]) + b"\xff" * (0x201 - 0x68 - 17)


class Paging:
    """Page tables for two address spaces, built as data: the window's pages lead to other frames in each."""

    def __init__(self, pae):
        self.pae, self.width = pae, 8 if pae else 4
        self.bytes = bytearray(0x20000)
        self._free = TABLES
        self.roots, self.window, self.large, self.identity = [], [], [], []
        for space in range(2):
            root = self._page()
            table_of = [0x0, 0x200000] if pae else [0x0]
            identity = []
            for linear in table_of:
                table = self._table(root, linear)
                identity.append(table)
                for i in range(0x1000 // self.width):
                    at = linear + i * 4096
                    self._put(table + i * self.width, (LOW_FRAME if at == LOW else at) | 7)
            window = self._table(root, WINDOW)
            for i in range(PAGES):
                self._put(window + i * self.width, FRAMES + 4096 * (i + PAGES * space) | 7)
            self.roots.append(root)
            self.identity.append(identity)
            self.window.append(window)
            self.large.append(self._directory_entry(root, LARGE))
            self._put(self.large[-1], (FRAMES if pae else 0) | 0x87)

    def _page(self):
        self._free += 4096
        return self._free - 4096

    def _put(self, address, value):
        self.bytes[address - TABLES:address - TABLES + self.width] = value.to_bytes(self.width, "little")

    def _get(self, address):
        return int.from_bytes(self.bytes[address - TABLES:address - TABLES + self.width], "little")

    def _directory_entry(self, root, linear):
        if not self.pae:
            return root + (linear >> 22) * 4
        pointer = root + (linear >> 30) * 8
        if not self._get(pointer):
            self._put(pointer, self._page() | 1)
        return (self._get(pointer) & ~0xFFF) + (linear >> 21 & 511) * 8

    def _table(self, root, linear):
        entry = self._directory_entry(root, linear)
        if not self._get(entry):
            self._put(entry, self._page() | 7)
        return self._get(entry) & ~0xFFF


@functools.cache
def segments(pae):
    """All of the world but the program: [(physical address, bytes)], the names of its handlers, and its page tables."""
    code, entries = handlers()
    paging = Paging(pae)
    data = bytearray(0x200)
    data[LOG_END - DATA:LOG_END - DATA + 4] = u32(LOG)
    scratch = bytes((i * 37 + (i >> 8) * 11) & 0xFF for i in range(0x2000))
    return ((HANDLERS, code.bytes), (LOW_FRAME, low_page(entries)), (BASED, based_page()), (DATA, data),
            (SCRATCH, scratch), (GDT, gdt(entries)), (IDT, idt(entries)), (TSS, task_state()), (TSS2, task_state()),
            (LDT, bytes(8) + descriptor(SCRATCH, 0xFFFFF, 0x40F300)), (TABLES, paging.bytes)), entries, paging

