"""Segment registers, and ways from one code segment or ring to another."""
from fidelity import world as w
from fidelity.actions.ordinary import arithmetic
from fidelity.programs import TRAP, action, word
from machine.assembler import EAX, ECX, ESP, u32

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
    code.set(w.SCRATCH, word(r))
    code.set(w.SCRATCH + 4, r.choice(GOOD_DATA + BAD_DATA))
    p.risky(r.choice(("c4", "0f b4", "0f b5")), "05", w.SCRATCH)
    code("66 b8", u32(w.USER_DATA)[:2], "8e c0")


@action()
def stack_segment(p, r):
    code = p.code
    good = w.DATA_OF[p.ring]
    other = w.DATA_OF[(p.ring + 1) & 3]
    selector = r.choice((good, good, 0, w.ABSENT_STACK | p.ring, w.READ_ONLY | p.ring, other, 0xFFF8))
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
    same = w.CODE_OF[p.ring]
    target, selector = p.entries["return"], r.choice((same, same, w.CONFORMING, w.ABSENT_CODE))
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
        code("68", word(r))
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
    vector = r.choice((w.SERVICE, w.SERVICE, w.CLOSED, w.ABSENT, w.TO_RING1, w.TO_CONFORMING, w.NULL_TARGET, 0xFF, 13,
                       3, 4))
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
