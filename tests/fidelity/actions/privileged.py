"""Privileged instructions: done in ring 0, general protection in the others. And waiting for the timer."""
from fidelity import world as w
from fidelity.programs import PAGING, action, place
from machine.assembler import EAX, ECX, EDI, ESI, u32


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
    p.code.store(place(r), EAX)


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
        code.mov(ESI, place(r))
        code.mov(ECX, r.randrange(6))
        p.risky(r.choice(("", "f3")), r.choice(("6e", "6f")))
    elif choice == 5:
        code("fc 66 ba 80 00")
        code.mov(EDI, r.choice((place(r), far)))
        code.mov(ECX, r.randrange(6))
        p.risky(r.choice(("", "f3")), r.choice(("6c", "6d")))
    elif choice == 6:
        p.risky("e4 21")                                                  # the interrupt mask
    else:
        p.risky("e4 40")                                                  # the timer


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
