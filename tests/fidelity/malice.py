"""Guests that mean harm: a grammar of what hurts, applied to the world of the random programs.

Bytes at random find nothing. These know what a CPU reads: descriptors and gates of each type, task state segments and
the task register, selectors, control registers, page tables that point to themselves or out of memory, returns to
every ring. Nothing is asked of them but that the lab survives: each must end with an outcome.
"""
from fidelity import world as w
from fidelity.programs import FREE, Program
from machine.assembler import EAX, ECX, EDI, EDX, ESI, ESP, u32

MONITOR = 0xF0000000                                  # where a monitor keeps its own memory
HARM = {}


def harm(function):
    HARM[function.__name__] = function
    return function


def address(r):
    """An address that matters."""
    return r.choice((
        0, 4, 0xFFC, 0x1000, w.CODE, w.DATA, w.SCRATCH, w.GDT, w.IDT, w.TSS, w.TABLES + 0x1000 * r.randrange(8), w.LDT,
        w.WINDOW, w.LARGE, w.STACKS, 0x3FFFF8, 0x400000, 0x7FFFFFFC, 0x80000000, MONITOR, MONITOR + 0x1000, 0xF1000000,
        0xFFFFF000, 0xFFFFFFF8, 0xFFFFFFFC, 0xFFFFFFFF, r.getrandbits(32),
        r.getrandbits(22))) + r.choice((0, 0, 0, 1, 4, 8))


def word(r):
    return r.choice((0, 1, 0xFFFFFFFF, 0x80000000, 0xFFFF, r.getrandbits(8), r.getrandbits(32), address(r)))


def selector(r):
    return r.choice((0, 1, 3, 4, 7, 0x08, 0x10, w.TASK, w.TASK2, w.LOCAL, w.SPARE, w.SPARE, w.FIRST_GATE, 0xFFF8,
                     0xFFFF, 8 * r.randrange(0x20) | r.randrange(8), r.getrandbits(16)))


def descriptor_words(r):
    """Two words of a descriptor or gate of any type."""
    kind, dpl, present = r.randrange(32), r.randrange(4), r.random() < 0.85
    rights = present << 15 | dpl << 13 | kind << 8
    if kind in (4, 5, 6, 7, 12, 14, 15):
        offset = r.choice((w.CODE, w.HANDLERS, address(r)))
        return selector(r) << 16 | offset & 0xFFFF, offset & 0xFFFF0000 | rights | r.randrange(32)
    base = r.choice((0, 0, w.TSS, w.LDT, address(r)))
    limit = r.choice((0xFFFFF, 0xFFFFF, 103, 43, 7, 0, r.getrandbits(20)))
    return (base << 16 | limit & 0xFFFF) & 0xFFFFFFFF, (
        base >> 16 & 0xFF | base & 0xFF000000 | limit & 0xF0000 | rights | r.getrandbits(4) << 20)


def put_descriptor(p, r, at):
    low, high = descriptor_words(r)
    p.code.set(at, low)
    p.code.set(at + 4, high)


# -- the CPU's tables ------------------------------------------------------------------------------------------------
@harm
def gdt_entry(p, r):
    slot = r.choice((w.SPARE, w.SPARE, w.FIRST_GATE, w.TASK, w.TASK2, w.LOCAL, 8 * r.randrange(0x25)))
    put_descriptor(p, r, w.GDT + slot)


@harm
def idt_entry(p, r):
    put_descriptor(p, r, w.IDT + 8 * r.choice((3, 6, 8, 13, 14, 0x20, 0x80, 0x81, r.randrange(0x88))))


@harm
def task_register(p, r):
    """Any TSS descriptor, available, busy or absent, and any selector; then a way inwards."""
    if r.random() < 0.7:
        base = r.choice((w.TSS, w.TSS2, address(r)))
        kind, limit = r.choice((1, 3, 9, 9, 11, 2, 5)), r.choice((0x200, 103, 43, 11, 0, 0xFFFFF))
        p.code.set(w.GDT + w.SPARE, base << 16 | limit & 0xFFFF)
        rights = r.choice((0x8000, 0x8000, 0xE000, 0)) | kind << 8
        p.code.set(w.GDT + w.SPARE + 4, base >> 16 & 0xFF | base & 0xFF000000 | rights)
    p.code.mov(EAX, r.choice((w.SPARE, w.SPARE, 0, selector(r))))
    p.code("0f 00 d8")
    far_call_through_gate(p, r)


@harm
def local_table(p, r):
    p.code.mov(EAX, selector(r))
    p.code("0f 00 d0")


@harm
def descriptor_table(p, r):
    p.code.set(w.SCRATCH, r.choice((0, 7, 0x3FF, 0xFFFF, r.getrandbits(16))) | address(r) << 16)
    p.code("66 c7 05", w.SCRATCH + 4, u32(address(r) >> 16)[:2])
    p.code(r.choice(("", "66")), "0f 01", r.choice(("15", "1d")), w.SCRATCH)


@harm
def task_state(p, r):
    p.code.set(w.TSS + 4 * r.randrange(27), r.choice((selector(r), word(r))))
    p.code.set(w.TSS2 + 4 * r.randrange(27), r.choice((selector(r), word(r))))


# -- ways from here to there -----------------------------------------------------------------------------------------
@harm
def far_call_through_gate(p, r):
    if r.random() < 0.7 and p.ring == 0:
        p.return_to(r.choice((1, 2, 3)))
    gate = r.choice(w.GATES).selector
    if r.random() < 0.3:
        gate = r.choice((w.NARROW_GATE, w.FIRST_GATE + 8 * r.randrange(16) | 3))
    p.code("9a", 0, u32(gate)[:2])


@harm
def far_transfer(p, r):
    if r.random() < 0.5:
        p.code(r.choice(("9a", "ea")), address(r), u32(selector(r))[:2])
    else:
        p.code.set(w.SCRATCH, address(r))
        p.code.set(w.SCRATCH + 4, selector(r))
        p.code(r.choice(("", "66")), "ff", r.choice(("1d", "2d")), w.SCRATCH)


@harm
def task_switch(p, r):
    """By JMP, CALL, an interrupt through a task gate, or IRET with the nested-task flag."""
    state = w.TSS2
    for offset, value in (                                                # CR3, EIP, EFLAGS, ESP, CS, SS, DS, LDT
            (0x1C, r.choice((p.tables.roots[0], word(r)))), (0x20, r.choice((w.CODE, p.entries["return"], word(r)))),
            (0x24, r.getrandbits(22)), (0x38, r.choice((w.stack_of(0), word(r)))), (0x4C, r.choice((8, selector(r)))),
            (0x50, r.choice((0x10, selector(r)))), (0x54, selector(r)), (0x60, r.choice((0, selector(r))))):
        p.code.set(state + offset, value)
    choice = r.randrange(4)
    if choice == 0:
        p.code(r.choice(("9a", "ea")), 0, u32(w.TASK2)[:2])
    elif choice == 1:
        p.code.set(w.GDT + w.SPARE, w.TASK2 << 16)
        p.code.set(w.GDT + w.SPARE + 4, 0xE500)
        p.code(r.choice(("9a", "ea")), 0, u32(w.SPARE)[:2])
    elif choice == 2:
        vector = r.choice((3, 0x80, 13, 6))
        p.code.set(w.IDT + 8 * vector, w.TASK2 << 16)
        p.code.set(w.IDT + 8 * vector + 4, 0xE500)
        p.code(r.choice((bytes([0xCD, vector]), b"\x0f\x0b", b"\xf4")))
    else:
        p.code.set(w.TSS, r.choice((w.TASK2, w.TASK, selector(r))))
        p.code("80 0d", w.GDT + w.TASK2 + 5, r.choice(("02", "00")))
        nested_return(p, r)


@harm
def nested_return(p, r):
    p.code("9c 81 0c 24", 0x4000, "9d cf")                                # pushf; or $NT; popf; iret


@harm
def interrupt(p, r):
    vector = r.choice((3, 6, 13, 14, 0x80, 0x81, r.randrange(256)))
    p.code(r.choice((bytes([0xCD, vector]), bytes([0xCD, vector]), b"\xcc", b"\xf1", b"\xce")))


@harm
def interrupt_return(p, r):
    """To any ring, and to virtual-8086 mode."""
    flags = r.choice((2, 2, r.getrandbits(22), 0x20002, 0x23202, 0x102, 0x4002, 0x3002))
    ring = r.randrange(4)
    for _ in range(4):
        p.code("68", selector(r) if r.random() < 0.5 else 0x20)           # GS, FS, DS, ES of virtual-8086 mode
    p.code("68", r.choice((w.DATA_OF[ring], selector(r))), "68", r.choice((w.stack_of(ring), word(r))))
    p.code("68", flags, "68", r.choice((w.CODE_OF[ring], selector(r), 0x1000)))
    hole = p.code.hole("68")
    if r.random() < 0.3:
        p.code.fill(hole, address(r))
        hole = None
    p.code(r.choice(("cf", "cf", "cf", "66 cf", "cb", "ca 08 00", "66 cb")))
    if hole is not None:
        p.code.fill(hole)


@harm
def fast_calls(p, r):
    for number in (0x174, 0x175, 0x176):
        p.code.mov(ECX, number)
        p.code.mov(EAX, r.choice((w.SYSENTER_CS, selector(r), p.entries["return"], word(r))))
        p.code.mov(EDX, r.choice((0, word(r))))
        p.code("0f 30")
    p.code.mov(ECX, word(r))
    p.code.mov(EDX, r.choice((w.CODE, word(r))))
    p.code(r.choice(("0f 34", "0f 35", "66 0f 34", "0f 05", "0f 07")))


@harm
def to_nowhere(p, r):
    p.code.mov(EAX, address(r))
    p.code(r.choice(("ff e0", "ff d0", "50 c3")))


# -- control ---------------------------------------------------------------------------------------------------------
@harm
def control_register(p, r):
    code, choice = p.code, r.randrange(6)
    if choice == 0:
        bits = (0x80000000, 0x10000, 1, 0x80000001, 0x60000000, 2, 4, 8, 0x20, 0x40000, 1 << r.randrange(32))
        code("0f 20 c0 35", r.choice(bits))
        code("0f 22 c0")
    elif choice == 1:
        code("0f 20 e0 35", r.choice((0x20, 0x10, 0x30, 0x80, 0x200, 1 << r.randrange(32), r.getrandbits(32))))
        code("0f 22 e0")
    elif choice == 2:
        code.mov(EAX, r.choice((*p.tables.roots, p.tables.roots[0] | 0x18, address(r))))
        code("0f 22 d8")
    elif choice == 3:
        code.mov(EAX, word(r))
        code("0f", r.choice(("20", "22")), bytes([r.randrange(256)]))
    elif choice == 4:
        code.mov(EAX, r.choice((word(r), r.getrandbits(16))))
        code("0f 01 f0")
    else:
        code("0f 20 c0 25", 0x7FFFFFFF, "0f 22 c0 0f 20 e0 35", 0x20, "0f 22 e0 0f 20 c0 0d", 0x80000000, "0f 22 c0")


@harm
def model_specific(p, r):
    p.code.mov(ECX, r.choice((0xC0000080, 0x10, 0x1B, 0x174, 0xC0000081, 0xC0010117, 0x277, 0x1A0, 0x400 + r.randrange(64),
                              0x200 + r.randrange(64), 0xD90, 0xC0000100 + r.randrange(4), r.getrandbits(32))))
    p.code.mov(EAX, word(r))
    p.code.mov(EDX, word(r))
    p.code(r.choice(("0f 30", "0f 30", "0f 32")))


@harm
def debug_register(p, r):
    p.code.mov(EAX, r.choice((w.CODE, p.code.here + 20, w.SCRATCH, w.DATA, word(r))))
    p.code("0f 23", bytes([0xC0 | r.randrange(4) << 3]))
    p.code.mov(EAX, r.choice((0xFF, 0xFFFFFFFF, 0x30003, r.getrandbits(32))))
    p.code("0f 23 f8 ff 05", w.SCRATCH, "e4 80")


@harm
def trap_flag(p, r):
    p.code("9c 81 0c 24", 0x100 | r.choice((0, 0x200, 0x3000, 0x40000, 0x10000)), "9d 90")
    p.code(r.choice(("", "fa", "0f 06", "8e d0")))


@harm
def flags(p, r):
    p.code("68", r.getrandbits(22), "9d")


@harm
def power_states(p, r):
    p.code(r.choice(("f4", "fb f4", "fa f4", "fb 90 fa", "0f 01 c8", "0f 01 c9", "31 c9 0f 01 c8 0f 01 c9", "fb fb f4",
                     "f3 90")))


# -- memory ----------------------------------------------------------------------------------------------------------
@harm
def page_table(p, r):
    """An entry of any level that points anywhere; then an access."""
    table = w.TABLES + 0x1000 * r.randrange(10)
    at = table + 8 * r.choice((0, 1, 2, 0x100, 0x120, 0x130, r.randrange(512)))
    frame = r.choice((table, w.TABLES, w.GDT, w.CODE, MONITOR, MONITOR + 0x1000 * r.randrange(40), 0x400000, 0xFFFFF000,
                      address(r)))
    p.code.set(at, frame & ~0xFFF | r.choice((7, 0x67, 0x87, 0xE7, 1, 3, 5, r.getrandbits(12))))
    p.code.set(at + 4, r.choice((0, 0, 0, 0, 0x80000000, 1, 0xF, r.getrandbits(32))))
    if r.random() < 0.7:
        p.code("0f 20 d8 0f 22 d8")
    memory_access(p, r)


@harm
def memory_access(p, r):
    at = r.choice((w.WINDOW + r.randrange(0x10000), w.LARGE + r.getrandbits(21), address(r)))
    p.code(r.choice(("a1", "a3", "ff 05", "0f c1 05", "f0 ff 05", "0f ae 05", "0f c7 0d", "dd 05", "0f ae 0d", "dd 35")))
    p.code(at)


@harm
def strings(p, r):
    p.code(r.choice(("fc", "fd")))
    p.code.mov(ESI, address(r))
    p.code.mov(EDI, address(r))
    p.code.mov(ECX, r.choice((1, 3, 100, 0x2000, 0xFFFFFFFF, word(r))))
    p.code.mov(EDX, r.choice((0xE9, 0x80, 0x40, 0x20, r.getrandbits(16))))
    p.code(r.choice(("", "67", "66", "64", "36")), r.choice(("f3", "f3", "f2", "")),
           r.choice(("a4", "a5", "aa", "ab", "ac", "ae", "af", "a6", "6c", "6d", "6e", "6f")))


@harm
def stack_pointer(p, r):
    p.code.mov(ESP, address(r))
    p.code(r.choice(("50", "60", "9c", "cd 80", "58", "61", "c3", "cf", "c8 10 00 1f", "0f a1")))


@harm
def segments(p, r):
    p.code.mov(EAX, r.choice((w.SPARE, selector(r))))
    p.code(r.choice(("8e d8", "8e c0", "8e e0", "8e e8", "8e d0", "8e d0", "50 17", "50 1f")))
    p.code(r.choice(("a1", "ff 05", "64 a1", "36 a1", "50 58", "")))
    p.code(address(r))


@harm
def narrow_code(p, r):
    """Code and stack segments of 16 bits, with any base and limit."""
    base = r.choice((0, w.CODE, p.code.here, address(r)))
    kind = r.choice((0x9A, 0x9E, 0xFA, 0x92, 0x96))
    for slot, rights in ((w.SPARE, kind), (w.TASK2, 0x92)):
        p.code.set(w.GDT + slot, base << 16 | 0xFFFF)
        size = r.choice((0, 0x400000, 0xF0000, 0xCF0000))
        p.code.set(w.GDT + slot + 4, base >> 16 & 0xFF | base & 0xFF000000 | rights << 8 | size)
    if r.random() < 0.5:
        p.code.mov(EAX, w.TASK2)
        p.code("8e d0 50 58 60 61")
    p.code("ea", p.code.here + 7 - base & 0xFFFFFFFF, u32(w.SPARE)[:2])
    p.code("90 50 58 e8 00 00 58 cd 80 e4 80 f4 66 cb 66 cf")


# -- the rest --------------------------------------------------------------------------------------------------------
@harm
def port(p, r):
    p.code.mov(EDX, r.choice((0x20, 0x21, 0xA0, 0xA1, 0x40, 0x43, 0x80, 0xE9, 0xF3, 0xFFFF, r.getrandbits(16))))
    p.code.mov(EAX, word(r))
    p.code(r.choice(("", "66", "f0")), r.choice(("ec", "ed", "ee", "ef", "e4 40", "e6 20")))


@harm
def instruction(p, r):
    """Any instruction with any prefixes, some of which no CPU takes."""
    prefixes = bytes(r.choice(b"\x66\x67\xf0\xf0\xf2\xf3\x2e\x36\x64") for _ in range(r.choice((0, 1, 1, 2, 14))))
    any_one, any_two = bytes([r.randrange(256)]), bytes([0x0F, r.randrange(256)])
    opcode = r.choice((any_one, any_two, b"\x0f\xab", b"\x0f\xba", b"\x0f\x01", b"\xff"))
    p.code(prefixes, opcode, bytes(r.choice((r.randrange(256), r.randrange(0xC0, 0x100))) for _ in range(8)))


@harm
def own_code(p, r):
    p.code("c7 05", p.code.here + r.randrange(4, 40), r.getrandbits(32))
    p.code.mov(EDI, p.code.here + r.randrange(-8, 40))
    p.code.mov(ECX, r.randrange(12))
    p.code("b0", bytes([r.choice((0x90, 0x40, 0xF1, r.randrange(256)))]), r.choice(("f3 aa", "aa", "88 07", "89 07")))


@harm
def endless(p, r):
    p.code(r.choice(("eb fe", "e2 fe", "f3 90 eb fc", "cd 80 eb fc", "e4 80 eb fc", "0f 0b eb fc", "0f a2 eb fc", "ff 05",
                     "0f 31 eb fc", "ce " * 600)))


@harm
def registers(p, r):
    for register in FREE:
        p.code.mov(register, word(r))


def build(seed, steps):
    """The guest for a seed and a list of (kind of harm, seed)."""
    p = Program(seed)
    for name, number in steps:
        r = p.random
        r.seed(number)
        if r.random() < 0.25:
            p.to_ring(r.choice((0, 1, 2, 3)))
        with p.recovering():                                              # so that harm comes after harm
            HARM[name](p, r)
    hole = p.code.hole("c7 05" + u32(w.CONTINUE).hex())                   # if anything still works: switch off
    p.code("cd", bytes([w.TO_KERNEL]))
    p.code.fill(hole)
    p.code.stop()
    return p
