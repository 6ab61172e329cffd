"""What random programs do. Each action is a few instructions that need no sensitive unprivileged one."""
from fidelity import world as w
from fidelity.programs import FREE, PAGING, TRAP, WRITE_PROTECT, action
from machine.assembler import EAX, EBX, ECX, EDI, EDX, ESI, ESP, u32


def _word(r):
    """A number that is interesting more often than chance makes it."""
    return r.choice((0, 1, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, r.getrandbits(5), r.getrandbits(32), r.getrandbits(32)))


def _place(r, size=0x1000):
    """An address in the scratch pages."""
    return w.SCRATCH + r.randrange(size - 16)


# -- ordinary instructions, in any ring --------------------------------------------------------------------------------
@action()
def arithmetic(p, r):
    code = p.code
    for _ in range(r.randrange(3, 12)):
        a, b = r.choice(FREE), r.choice(FREE)
        pair = bytes([0xC0 | a << 3 | b])
        memory = bytes([a << 3 | 5])
        op = r.randrange(8) << 3
        choice = r.randrange(14)
        if choice < 3:
            code(bytes([op | 1]), pair)                                   # op %a, %b
        elif choice == 3:
            code(bytes([op | 3]), memory, _place(r))                      # op mem, %a
        elif choice == 4:
            code(bytes([op | 1]), memory, _place(r))                      # op %a, mem
        elif choice == 5:
            code("81", bytes([0xC0 | op | b]), _word(r))                  # op $imm, %b
        elif choice == 6:
            code("c1", bytes([0xC0 | r.choice((0, 8, 0x10, 0x18, 0x20, 0x28, 0x38)) | b, r.randrange(1, 32)]))
        elif choice == 7:
            code("0f af", pair)                                           # imul
        elif choice == 8:
            code("0f", bytes([r.choice((0xA3, 0xAB, 0xB3, 0xBB, 0xB6, 0xB7, 0xBE, 0xBF))]), pair)
        elif choice == 9:
            code("0f", bytes([0x40 | r.randrange(16)]), pair)             # cmov
        elif choice == 10:
            code("0f", bytes([0x90 | r.randrange(16), 0xC0 | r.choice((0, 1, 2, 3, 5, 6, 7))]))   # set
        elif choice == 11:
            code(r.choice(("9e", "9f", "f5", "f8", "f9", "98", "99")))    # sahf, lahf, cmc, clc, stc, cwde, cdq
        elif choice == 12:
            code(r.choice(("0f c1", "0f b1", "87", "89", "8b")), memory, _place(r))   # xadd, cmpxchg, xchg, mov
        else:
            code(r.choice(("f0 0f c1", "f0 0f b1", "f0 01", "f0 29")), memory, w.SCRATCH + 4 * r.randrange(64))


@action()
def branches(p, r):
    """A counted loop with a conditional jump in it, and a call."""
    code = p.code
    code.mov(ECX, r.randrange(1, 9))
    top = code.here
    code("40 a8 01", bytes([0x70 | r.randrange(16), 1]), "43")            # inc %eax; test $1, %al; jcc 1f; inc %ebx; 1:
    code("e8", 2, "eb 02 46 c3")                                          # call 1f; jmp 2f; 1: inc %esi; ret; 2:
    code("49")                                                            # dec %ecx
    code.jump("0f 85", top)


@action()
def divide(p, r):
    code = p.code
    code.mov(EDX, r.choice((0, 0, 1, _word(r))))
    code.mov(ECX, r.choice((0, 3, _word(r))))
    p.risky(r.choice(("f7 f1", "f7 f9", "66 f7 f1", "f6 f1")))            # div, idiv


@action()
def strings(p, r):
    code = p.code
    code("fd" if r.random() < 0.3 else "fc")
    code.mov(ESI, _place(r, 0xE00) + 0x100)
    code.mov(EDI, _place(r, 0xE00) + 0x100)
    code.mov(ECX, r.randrange(0, 12))
    code(r.choice(("", "f3", "f2")), r.choice(("a4", "a5", "aa", "ab", "ac", "ad", "ae", "af", "a6", "a7", "66 a5")))


@action()
def stack(p, r):
    code = p.code
    choice = r.randrange(6)
    if choice == 0:
        code("60 61")                                                     # pusha; popa
    elif choice == 1:
        code("68", _word(r), "58 6a", bytes([r.randrange(256)]), "5b")    # push; pop
    elif choice == 2:
        code("c8", bytes([r.randrange(64), 0, 0]), "c9")                  # enter; leave
    elif choice == 3:
        code("66 68 34 12 66 58")                                         # 16-bit push and pop
    elif choice == 4:
        code("1e 06 07 1f 0f a0 0f a8 0f a9 0f a1")                       # push ds, es; pop es, ds; the same with fs, gs
    else:
        code("ff 35", _place(r), "8f 05", _place(r))                      # push mem; pop mem


@action()
def exchange(p, r):
    """CMPXCHG8B, which compares and stores eight bytes."""
    p.code(r.choice(("", "f0")), "0f c7 0d", w.SCRATCH + 8 * r.randrange(64))


@action()
def x87(p, r):
    """Floating point; where exceptions are not masked and CR0.NE says so, a division by zero is one."""
    code = p.code
    with p.recovering():
        code("db e3 d9 eb d9 e8 de c1 db 1d", _place(r))                  # fninit; fldpi; fld1; faddp; fistpl
    if r.random() < 0.5:
        code.set(w.SCRATCH, 0x33F)
        with p.recovering():
            code("db e3")
            if r.random() < 0.7:
                code("66 81 25", w.SCRATCH, "fb ff d9 2d", w.SCRATCH)     # unmask it: fldcw
            code("d9 e8 d9 ee de f9 9b")                                  # fld1; fldz; fdivp; fwait
    code("db e2")


@action()
def bounds(p, r):
    p.code.set(w.SCRATCH, r.randrange(4))
    p.code.set(w.SCRATCH + 4, r.randrange(4, 9))
    p.code.mov(EAX, r.randrange(12))
    p.risky("62 05", w.SCRATCH)


@action()
def other_faults(p, r):
    """Faults and traps that take one instruction."""
    code = p.code
    choice = r.randrange(4)
    if choice == 0:
        p.risky("0f 0b")                                                  # ud2
    elif choice == 1:
        code("b0 7f", bytes([0x04, r.choice((0, 1))]))                    # add to 127: overflow or not
        p.risky("ce")                                                     # into
    elif choice == 2:
        code("cc")                                                        # int3
    else:
        p.risky("f0 90")                                                  # a lock prefix where none may be


# -- privileged instructions: done in ring 0, general protection in the others -----------------------------------------
def _in(p, r):
    """Ring 0 for the most part."""
    if r.random() < 0.7:
        p.to_ring(0)


@action()
def interrupt_flag(p, r):
    _in(p, r)
    p.risky(r.choice(("fa", "fb")))
    p.code("90")
    if p.ring == 0:
        p.code("fa")


@action()
def control_registers(p, r):
    _in(p, r)
    code, choice = p.code, r.randrange(9)
    if choice == 0:
        p.risky("0f 20 c0")                                               # mov %cr0, %eax
    elif choice == 1:
        code.mov(EAX, p.cr0 | PAGING * p.paging | r.choice((0, 2, 8)))
        p.risky("0f 22 c0")
    elif choice == 2:
        p.risky(r.choice(("0f 20 d3", "0f 22 d3")))                       # CR2 and EBX
    elif choice == 3:
        p.risky("0f 20 d9")                                               # mov %cr3, %ecx
    elif choice == 4:
        with p.recovering():
            code("0f 20 d8 0f 22 d8")
    elif choice == 5:
        p.risky("0f 20 e2")                                               # mov %cr4, %edx
    elif choice == 6:
        with p.recovering():
            code("0f 20 e0 35", r.choice((0, 0x80, 0x100, 8)), "0f 22 e0")
    elif choice == 7:
        p.risky("0f 06")                                                  # clts
    else:
        p.risky(r.choice(("0f 20 c8", "0f 22 c8", "0f 22 f8")))           # CR1 and CR7, which do not exist


@action()
def machine_status(p, r):
    """LMSW, which also says whether floating point traps: then it does, until somebody has cleared CR0.TS."""
    _in(p, r)
    code, trap = p.code, r.random() < 0.7
    code.mov(EAX, p.cr0 & 0xF | (8 if trap else r.choice((0, 2))))
    p.risky("0f 01 f0")
    if trap:
        p.risky("d9 eb")                                                  # fldpi
        if p.ring == 0:
            code("0f 06")


@action()
def debug_registers(p, r):
    _in(p, r)
    number = r.choice((0, 1, 2, 3, 6, 7))
    p.code.mov(EAX, r.getrandbits(32) & ~0xFF & ~0x2000)
    p.risky(r.choice(("0f 21", "0f 23")), bytes([0xC0 | number << 3]))


@action()
def caches(p, r):
    _in(p, r)
    p.risky(r.choice(("0f 08", "0f 09")))                                 # invd, wbinvd


@action()
def one_page(p, r):
    _in(p, r)
    p.risky("0f 01 3d", r.choice((w.WINDOW, w.DATA, 0xFFFFF000)))         # invlpg


@action()
def tables(p, r):
    """LGDT and LIDT, of the same tables."""
    _in(p, r)
    p.risky(r.choice((b"\x0f\x01\x15" + u32(w.POINTERS), b"\x0f\x01\x1d" + u32(w.POINTERS + 8))))


@action()
def system_segments(p, r):
    """LLDT and LTR, of what is right and of what is not."""
    _in(p, r)
    code = p.code
    if r.random() < 0.5:
        code.mov(EAX, r.choice((w.LOCAL, w.LOCAL, 0, w.KERNEL_DATA, w.TASK, 0xFFF8, 4)))
        p.risky("0f 00 d0")
    else:
        selector = r.choice((w.TASK, w.TASK2, w.TASK2, 0, w.LOCAL, 0xFFF8, w.KERNEL_CODE))
        if p.ring == 0 and selector in (w.TASK, w.TASK2):
            code("80 25", w.GDT + selector + 5, "fd")                     # not busy
        code.mov(EAX, selector)
        p.risky("0f 00 d8")


@action()
def model_specific(p, r):
    _in(p, r)
    code = p.code
    code.mov(ECX, r.choice((0x174, 0x175, 0x176, 0x1B, 0x277, 0xC0000080, 0x10, 0x12345)))
    if r.random() < 0.5:
        p.risky("0f 32")
    else:
        code("31 d2")
        code.mov(ECX, r.choice((0x174, 0x175, 0x176)))
        p.risky("0f 30")


@action()
def time_stamp(p, r):
    p.risky("0f 31")
    p.code.store(_place(r), EAX)


@action()
def counters(p, r):
    p.risky("0f 33")                                                      # rdpmc


@action()
def halt_outside(p, r):
    if p.ring:
        p.risky("f4")


@action()
def ports(p, r):
    code, choice = p.code, r.randrange(8)
    far = w.WINDOW + 0xFFD if p.paging else w.SCRATCH
    if choice == 0:
        p.risky("e4 80")
    elif choice == 1:
        p.risky("e6 e9")
    elif choice == 2:
        code("66 ba e9 00")
        p.risky(r.choice(("ee", "66 ef", "ef")))
    elif choice == 3:
        code("66 ba 80 00")
        p.risky(r.choice(("ec", "66 ed", "ed")))
    elif choice == 4:
        code("fc 66 ba e9 00")
        code.mov(ESI, _place(r))
        code.mov(ECX, r.randrange(6))
        p.risky(r.choice(("", "f3")), r.choice(("6e", "6f")))
    elif choice == 5:
        code("fc 66 ba 80 00")
        code.mov(EDI, r.choice((_place(r), far)))
        code.mov(ECX, r.randrange(6))
        p.risky(r.choice(("", "f3")), r.choice(("6c", "6d")))
    elif choice == 6:
        p.risky("e4 21")                                                  # the interrupt mask
    else:
        p.risky("e4 40")                                                  # the timer


# -- segments -------------------------------------------------------------------------------------------------------
GOOD_DATA = (w.USER_DATA, 0x40, w.BASED_DATA | 3, w.READ_ONLY, w.FRESH_DATA, w.CONFORMING)
BAD_DATA = (w.ABSENT_DATA, w.EXECUTE_ONLY, w.TASK, 0xFFF8, w.KERNEL_DATA | 3, w.ABSENT_CODE, 4)


@action()
def segment_loads(p, r):
    code = p.code
    register = r.choice((0, 3, 4, 5))                                     # es, ds, fs, gs
    selector = r.choice(GOOD_DATA + BAD_DATA + (0, 3, w.LOCAL_DATA, w.KERNEL_DATA))
    with p.recovering():
        if r.random() < 0.5:
            code.mov(EAX, selector)
            code("8e", bytes([0xC0 | register << 3]))
        elif register < 4:
            code("68", selector, bytes([register << 3 | 7]))              # push; pop
        else:
            code("68", selector, "0f", bytes([register << 3 | 0x81]))
    if register in (4, 5) and selector in GOOD_DATA:
        p.risky(bytes([0x60 | register]), "a1", r.choice((w.SCRATCH, 16)))   # read through it
    code("66 b8", u32(w.USER_DATA)[:2], "8e d8 8e c0")
    code.mov(ESP, w.stack_of(p.ring))


@action()
def far_pointers(p, r):
    """LDS, LES, LFS, LGS: a register and a segment at once."""
    code = p.code
    code.set(w.SCRATCH, _word(r))
    code.set(w.SCRATCH + 4, r.choice(GOOD_DATA + BAD_DATA))
    p.risky(r.choice(("c4", "0f b4", "0f b5")), "05", w.SCRATCH)
    code("66 b8", u32(w.USER_DATA)[:2], "8e c0")


@action()
def stack_segment(p, r):
    code = p.code
    good = w.DATA_OF[p.ring]
    selector = r.choice((good, good, 0, w.ABSENT_STACK | p.ring, w.READ_ONLY | p.ring, w.DATA_OF[(p.ring + 1) & 3], 0xFFF8))
    choice = r.randrange(3)
    with p.recovering():
        if choice == 0:
            code.mov(EAX, selector)
            code("8e d0")
            code.mov(ESP, w.stack_of(p.ring))
        elif choice == 1:
            code("68", selector, "17")
        else:
            code.set(w.SCRATCH, w.stack_of(p.ring))
            code.set(w.SCRATCH + 4, selector)
            code("0f b2 25", w.SCRATCH)                                   # lss
    code.mov(ESP, w.stack_of(p.ring))


@action(0)
def absent_stack(p, r):
    p.code.mov(EAX, w.ABSENT_STACK)
    p.risky(r.choice(("8e d0", "50 17")))
    p.code.mov(ESP, w.stack_of(0))


@action(0)
def new_descriptor(p, r):
    """Write a descriptor, then load it."""
    code = p.code
    code.set(w.GDT + w.SPARE, r.getrandbits(32))
    code.set(w.GDT + w.SPARE + 4, r.getrandbits(32) | r.choice((0, 0x9000, 0x9000, 0xF000)))
    code.mov(EAX, w.SPARE | r.randrange(4))
    p.risky(r.choice(("8e e0", "8e e8")))
    code("66 b8", u32(w.USER_DATA)[:2], "8e e0 8e e8")


# -- far transfers ---------------------------------------------------------------------------------------------------
@action()
def far_jump(p, r):
    code, same = p.code, w.CODE_OF[p.ring]
    selector = r.choice((same, same, same, 0, w.ABSENT_CODE, w.KERNEL_DATA, w.CODE_OF[(p.ring + 1) & 3], 0xFFF8))
    with p.recovering():
        p.mark("far-jump")
        if r.random() < 0.5:
            code("ea", code.here + 7, u32(selector)[:2])
        else:
            hole = code.hole("c7 05" + u32(w.SCRATCH).hex())
            code.set(w.SCRATCH + 4, selector)
            p.mark("far-jump")
            code("ff 2d", w.SCRATCH)                                      # ljmp *mem
            code.fill(hole)


@action()
def far_call(p, r):
    code = p.code
    target, selector = p.entries["return"], r.choice((w.CODE_OF[p.ring], w.CODE_OF[p.ring], w.CONFORMING, w.ABSENT_CODE))
    if p.ring == 0 and r.random() < 0.6:
        target, selector = r.choice(((p.entries["return"], w.FRESH_CODE), (0, w.BASED_CODE), (0x40, w.CODE16)))
    with p.recovering():
        if r.random() < 0.5:
            p.mark("far-call")
            code("9a", target, u32(selector)[:2])
        else:
            code.set(w.SCRATCH, target)
            code.set(w.SCRATCH + 4, selector)
            p.mark("far-call")
            code("ff 1d", w.SCRATCH)
    code.mov(ESP, w.stack_of(p.ring))


@action()
def call_gate(p, r):
    code = p.code
    gate = r.choice(w.GATES)
    if gate.ring > p.ring:
        p.to_ring(r.choice(range(gate.ring, 4)))
    for _ in range(gate.parameters):
        code("68", _word(r))
    with p.recovering():
        p.mark("call-gate-same-ring" if gate.ring == p.ring else gate.name)
        code("9a", 0, u32(gate.selector)[:2])
    code.mov(ESP, w.stack_of(p.ring))


@action()
def bad_gate(p, r):
    name = r.choice(list(w.BAD_GATES))
    p.risky(r.choice(("9a", "ea")), 0, u32(w.BAD_GATES[name] | r.randrange(4))[:2])
    p.code.mov(ESP, w.stack_of(p.ring))


@action()
def narrow_gate(p, r):
    """A 16-bit gate, to code below 64 KiB that goes on in ring 0."""
    if p.paging:
        p.to_ring(r.choice((1, 2, 3)))
        hole = p.code.hole("c7 05" + u32(w.CONTINUE).hex())
        if r.random() < 0.5:
            p.code("9a", 0, u32(w.NARROW_GATE)[:2])
        else:
            p.code("cd", bytes([w.NARROW]))
        p.code.fill(hole)
        p.ring = 0
        p.code.mov(ESP, w.stack_of(0))


@action()
def software_interrupt(p, r):
    vector = r.choice((w.SERVICE, w.SERVICE, w.CLOSED, w.ABSENT, w.TO_RING1, w.TO_CONFORMING, w.NULL_TARGET, 0xFF, 13, 3, 4))
    p.risky("cd", bytes([vector]))


@action()
def bad_return(p, r):
    """IRET and a far return to where no one may go."""
    code = p.code
    inner = w.CODE_OF[max(p.ring - 1, 0)]
    selector = r.choice((inner, 0, w.KERNEL_DATA, w.ABSENT_CODE | p.ring, w.CODE_OF[3] & ~3, 0xFFF8))
    if selector == w.CODE_OF[p.ring]:
        selector = 0
    with p.recovering():
        code("68", p.random_flags(), "68", selector, "68", code.here)
        code(r.choice(("cf", "cb")))
    code.mov(ESP, w.stack_of(p.ring))


@action()
def same_ring_return(p, r):
    p.return_to(p.ring)


@action(0)
def fast_system_call(p, r):
    """SYSEXIT to ring 3 and SYSENTER back; or SYSENTER where it is not set up."""
    code = p.code
    for number, value in ((0x174, w.SYSENTER_CS), (0x175, w.stack_of(0)), (0x176, p.entries["sysenter"])):
        code.mov(ECX, number)
        code.mov(EAX, value)
        code("31 d2 0f 30")
    hole = code.hole("ba")
    code.mov(ECX, w.stack_of(3))
    p.mark("sysexit")
    code("0f 35")
    code.fill(hole)
    p.ring = 3
    arithmetic(p, r)
    p.risky("0f 35")                                                      # SYSEXIT in ring 3
    hole = code.hole("c7 05" + u32(w.CONTINUE).hex())
    p.mark("sysenter")
    code("0f 34")
    code.fill(hole)
    p.ring = 0
    if r.random() < 0.5:
        code("31 c0 31 d2")
        code.mov(ECX, 0x174)
        code("0f 30")
        p.risky(r.choice(("0f 34", "0f 35")))


@action(0)
def single_steps(p, r):
    """Some instructions, each of them followed by a debug exception."""
    ring = r.choice((0, 0, 3))
    p.code.set(w.STEPS, r.randrange(1, 7))
    with p.recovering():
        p.return_to(ring, p.random_flags() & ~0x10000 | TRAP)
        for _ in range(4):
            p.code(r.choice(("90", "40", "43", "fc", "0f 31")))
            if p.ring == 0:
                p.code(r.choice(("fa", "0f 06", "0f 20 d9", "e4 80", "8e e0", "90")))
    p.code("90" * 6)


# -- page tables ------------------------------------------------------------------------------------------------------
def _entry(p, r):
    """An entry for a window page: mostly usable, sometimes not."""
    frame = w.FRAMES + 4096 * r.randrange(64)
    flags = r.choice((7, 7, 3, 5, 1, 0, 0x67, 0x63, 6))
    high = 0x80000000 if p.pae and r.random() < 0.3 else 0
    if p.pae and r.random() < 0.05:
        high |= r.choice((1 << 20, 1 << 25, 1 << 30))                     # reserved bits
    return frame | flags, high


def _access(p, r, linear):
    code, choice = p.code, r.randrange(7)
    if choice < 2:
        p.risky("a1", linear)
    elif choice < 4:
        p.risky(r.choice(("89 1d", "01 05", "0f c1 0d", "ff 05")), linear)
    elif choice == 4:
        p.risky("89 1d", linear | 0xFFE)                                  # across the page's end
    elif choice == 5:
        with p.recovering():
            code("fc")
            code.mov(ESI, w.SCRATCH)
            code.mov(EDI, (linear & ~0xFFF) + 0xFFC - 4 * r.randrange(3))
            code.mov(ECX, r.randrange(1, 6))
            code("f3", r.choice(("a5", "a4", "ab")))                      # a string into the next page
    else:
        with p.recovering():
            code.mov(EAX, linear & ~0xFFF)
            code("c6 00 c3 ff d0")                                        # write a RET there, and call it
        code.mov(ESP, w.stack_of(p.ring))


@action(0)
def page_table_write(p, r):
    """Change an entry in one of many ways, then use the page in some ring."""
    code, page = p.code, r.randrange(w.PAGES)
    at, (low, high) = p.window_entry(page), _entry(p, r)
    choice = r.randrange(9)
    if choice == 0 and p.pae:
        code("8b 35", at, "89 f0 8b 15", at + 4)                          # cmpxchg8b from what it is
        code.mov(EBX, low)
        code.mov(ECX, high)
        code("0f c7 0d", at)
    elif choice == 1:
        code("81 25", at, ~r.choice((0x60, 0x20, 0x40, 2, 4, 1)))         # and
    elif choice == 2:
        code("81 0d", at, r.choice((7, 2, 4, 0x20)))                      # or
    elif choice == 3:
        code("0f ba", bytes([r.choice((0x2D, 0x35, 0x3D))]), at, bytes([r.choice((0, 1, 2, 5, 6))]))   # bts, btr, btc
    elif choice == 4:
        code.mov(EAX, low)
        code("87 05", at)                                                 # xchg
    elif choice == 5:
        code("c6 05", at, bytes([low & 0xE7]))                            # one byte
    elif choice == 6:
        code.set(w.SCRATCH, low)
        code.set(w.SCRATCH + 4, high)
        code("fc")
        code.mov(ESI, w.SCRATCH)
        code.mov(EDI, at)
        code.mov(ECX, 2 if p.pae else 1)
        code("f3 a5")                                                     # rep movsl
    elif choice == 7:
        code.mov(ESP, at + p.tables.width)                                # push
        code("68", high, "68", low) if p.pae else code("68", low)
        code.mov(ESP, w.stack_of(0))
    else:
        code.set(at, low)
        if p.pae:
            code.set(at + 4, high)
    p.flush(w.WINDOW + page * 4096)
    if p.paging:
        p.to_ring(r.choice((0, 0, 3, 3, 1)))
        for _ in range(r.randrange(1, 4)):
            _access(p, r, w.WINDOW + page * 4096 + 4 * r.randrange(1000))


@action()
def page_access(p, r):
    if p.paging:
        _access(p, r, r.choice((w.WINDOW + 4096 * r.randrange(w.PAGES), w.LARGE + 4096 * r.randrange(500), 0x50000000))
                + 4 * r.randrange(1000))


@action(0)
def page_on_demand(p, r):
    """A missing page that the handler maps, so that the instruction runs again."""
    if p.paging:
        page = r.randrange(w.PAGES)
        at = p.window_entry(page)
        p.code.set(at, 0)
        if p.pae:
            p.code.set(at + 4, 0)
        p.flush(w.WINDOW + page * 4096)
        p.code.set(w.DEMAND + 0x100, w.FRAMES + 4096 * r.randrange(64) | 7)
        p.code.set(w.DEMAND, at)
        p.to_ring(r.choice((0, 3)))
        p.code(r.choice(("a1", "89 1d", "ff 05")), w.WINDOW + page * 4096 + 4 * r.randrange(1000))


@action(0)
def large_page(p, r):
    """Change a directory's entry: a large page with other rights, or none."""
    if p.paging:
        base = w.FRAMES if p.pae else 0
        p.code.set(p.tables.large[p.space], base | 0x80 | r.choice((7, 7, 3, 5, 0, 1, 0x67)))
        p.code("0f 20 d8 0f 22 d8")
        p.to_ring(r.choice((0, 3)))
        for _ in range(4):                                                # in both halves of a page of 4 MiB
            _access(p, r, w.LARGE + r.choice((0x1000, 0x31000, 0x80000)) + 4 * r.randrange(900)
                    + (0 if p.pae else r.choice((0x80000, 0x280000))))


@action(0)
def address_space(p, r):
    p.space = 1 - p.space
    p.code.mov(EAX, p.tables.roots[p.space])
    p.code("0f 22 d8")


@action(0)
def write_protection(p, r):
    """CR0.WP decides whether ring 0 may write to read-only pages."""
    p.cr0 ^= WRITE_PROTECT
    p.code.mov(EAX, p.cr0 | PAGING * p.paging)
    p.code("0f 22 c0")
    page = r.randrange(w.PAGES)
    p.code("81 25", p.window_entry(page), ~2)
    p.flush(w.WINDOW + page * 4096)
    if p.paging:
        p.risky("ff 05", w.WINDOW + page * 4096 + 8)


@action(0)
def paging_off(p, r):
    """Without paging for a moment, which is also when entries can change unseen."""
    if p.paging:
        p.code.mov(EAX, p.cr0)
        p.code("0f 22 c0")
        page = r.randrange(w.PAGES)
        p.code.set(p.window_entry(page), _entry(p, r)[0])
        arithmetic(p, r)
        p.code.mov(EAX, p.cr0 | PAGING)
        p.code("0f 22 c0")
        _access(p, r, w.WINDOW + page * 4096 + 16)


# -- the rest -----------------------------------------------------------------------------------------------------------
@action(0)
def double_fault(p, r):
    """A fault whose handler is missing, while another is being delivered."""
    at = w.IDT + 13 * 8 + 5
    p.code("80 25", at, "7f")                                             # the gate of vector 13 is not present
    p.to_ring(r.choice((0, 3)))
    p.risky("cd", bytes([w.CLOSED])) if p.ring else p.risky("b8 98 00 00 00 8e d0")
    p.to_ring(0)
    p.code("80 0d", at, "80")


@action(0)
def bad_inner_stack(p, r):
    """The task state segment names a stack that cannot be used: invalid TSS, or a stack fault."""
    at = w.TSS + 4 + 8 + 4                                                # SS for ring 1
    p.code("66 c7 05", at, u32(r.choice((0, w.KERNEL_DATA, w.ABSENT_STACK | 1, w.READ_ONLY | 1, 0xFFF9)))[:2])
    p.code.mov(EAX, w.TASK)
    p.code("80 25", w.GDT + w.TASK + 5, "fd 0f 00 d8")
    p.to_ring(r.choice((2, 3)))
    p.risky(r.choice((b"\x9a" + u32(0) + u32(w.GATES[2].selector)[:2], bytes([0xCD, w.TO_RING1]))))
    p.to_ring(0)
    p.code("66 c7 05", at, u32(w.DATA_OF[1])[:2])


@action()
def own_code(p, r):
    """Code that changes the code behind it, with and without a jump in between."""
    code = p.code
    hole = code.hole("c6 05")
    code(bytes([r.choice((0x40, 0x43, 0x90))]))                           # movb $opcode, 1f
    if r.random() < 0.5:
        code("eb 00")
    code("40" * r.randrange(3))
    code.fill(hole)
    code("90 41")                                                         # 1: nop; inc %ecx


_PIC = "b0 11 e6 20 b0 20 e6 21 b0 04 e6 21 b0 01 e6 21 b0 fe e6 21"


@action(0)
def wait(p, r):
    """Sleep until the timer ticks."""
    code = p.code
    code("fa", _PIC, "b0 34 e6 43 b0", bytes([r.randrange(2, 200)]), "e6 40 b0 00 e6 40")
    code("fb f4 fa")                                                      # sti; hlt; cli
    code("b0 ff e6 21 b0 30 e6 43")


@action(0)
def interrupt_window(p, r):
    """An interrupt that has waited comes in behind the instruction after STI, if only one follows."""
    code = p.code
    code("fa", _PIC, "b0 34 e6 43 b0 03 e6 40 b0 00 e6 40")
    code.mov(ECX, 2000)
    code("49 75 fd")                                                      # 1: dec %ecx; jnz 1b
    with p.recovering():
        code("fb", r.choice(("90", "40", "0f 06", "8e e0", "a1" + u32(w.SCRATCH).hex())), r.choice(("", "90 90")))
    code("fa")
    code("b0 ff e6 21 b0 30 e6 43")

