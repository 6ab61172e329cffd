"""Sensitive instructions in ring 0, where a kernel executes them, and interrupts that they let in."""
from fidelity import world as w
from fidelity.actions.flow import function, translated
from fidelity.programs import ARITHMETIC, DIRECTION, FREE, IDENT, INTERRUPT, IOPL, TRAP, place
from machine.assembler import EAX, EBX, ECX, ESP, u32

SELECTORS = (0, 3, 4, w.KERNEL_CODE, w.KERNEL_DATA, w.CODE_OF[1], w.CODE_OF[3], w.DATA_OF[2], w.USER_DATA, w.TASK,
             w.TASK2, w.LOCAL, w.LOCAL_DATA, w.CONFORMING, w.ABSENT_DATA, w.ABSENT_CODE, w.READ_ONLY, w.EXECUTE_ONLY,
             w.BASED_CODE, w.CODE16, w.FIRST_GATE, w.FIRST_GATE + 16, 0xFFF8)
# The interrupt controller: vectors from this base, all but the timer masked. The timer: one shot, or a rate.
PIC = "b0 11 e6 20 b0 {:02x} e6 21 b0 04 e6 21 b0 01 e6 21 b0 fe e6 21"
ONCE, QUIET = "b0 30 e6 43 b0 {:02x} e6 40 b0 00 e6 40", "b0 ff e6 21 b0 30 e6 43"


def flags_of(r):
    return 2 | r.getrandbits(12) & ARITHMETIC | r.choice((0, 0, IOPL, 0x1000)) | r.choice((0, 0, IDENT))


@translated(0)
def read_flags(p, r):
    p.mark("pushf")
    p.code(r.choice(("9c 8f 05", "9c 58 a3", "66 9c 66 58 90 a3")), place(r))   # to memory


@translated(0)
def write_flags(p, r):
    code = p.code
    code("68", flags_of(r) | INTERRUPT * r.randrange(2) | DIRECTION * r.randrange(2))
    p.mark("popf")
    code(r.choice(("9d", "9d", "66 9d 66 58")))
    p.mark("pushf")
    code("9c 8f 05", place(r), "fa fc")


@translated(0)
def save_and_restore(p, r):
    """The idiom of every kernel: save the flags, turn interrupts off, put them back as they were."""
    code = p.code
    code(r.choice(("fb", "fa")))
    p.mark("pushf")
    code("9c fa", "40 43" * r.randrange(3))
    if r.random() < 0.3:
        code("9c fa 9d")                                                  # and once more inside
    p.mark("popf")
    code("9d 9c 58")                                                      # popf; pushf; pop %eax
    code.store(place(r), EAX)
    code("fa")


@translated(0)
def step_by_popf(p, r):
    """POPF that sets the trap flag: after the next instruction comes a debug exception."""
    p.code.set(w.STEPS, r.randrange(1, 4))
    p.code("68", flags_of(r) | TRAP)
    p.mark("popf")
    p.code("9d", r.choice(("90", "9c 58 89 c3", "fa", "0f a2", "8c c8")), "40 90 90 90 90")


@translated(0)
def table_registers(p, r):
    p.mark("sgdt-sidt")
    p.code("0f 01", r.choice(("05", "0d")), place(r))


@translated(0)
def selectors_of_tables(p, r):
    code, ext = p.code, r.randrange(2) << 3                               # sldt, str
    p.mark("sldt-str")
    register = r.choice(FREE)
    code(r.choice((b"\x0f\x00" + bytes([0xC0 | ext | register]), b"\x66\x0f\x00" + bytes([0xC0 | ext | register]),
                   b"\x0f\x00" + bytes([ext | 5]) + u32(place(r)))))


@translated(0)
def status_word(p, r):
    register = r.choice(FREE)
    p.mark("smsw")
    p.code(r.choice((b"\x0f\x01" + bytes([0xE0 | register]), b"\x66\x0f\x01" + bytes([0xE0 | register]),
                     b"\x0f\x01\x25" + u32(place(r)))))


@translated(0)
def segment_registers(p, r):
    """Selectors as programs see them: the low bits are the ring."""
    code, number, choice = p.code, r.choice((0, 1, 1, 2, 2, 3, 4, 5)), r.randrange(4)
    push = ("06", "0e", "16", "1e", "0f a0", "0f a8")[number]
    p.mark("read-segment")
    if choice == 0:
        code("8c", bytes([0xC0 | number << 3 | r.choice(FREE)]))
    elif choice == 1:
        code("66 8c", bytes([0xC0 | number << 3 | r.choice(FREE)]))
    elif choice == 2:
        code("8c", bytes([number << 3 | 5]), place(r))
    else:
        code(push, r.choice(("5b", b"\x8f\x05" + u32(place(r)))))


@translated(0)
def descriptors(p, r):
    """LAR, LSL, VERR, VERW: what a selector may do."""
    code = p.code
    code.mov(ECX, r.choice(SELECTORS))
    p.mark("lar-lsl")
    code("0f", bytes([r.choice((2, 3)), 0xC1 | r.choice((0, 3, 5, 6, 7)) << 3]))
    code("0f 94 05", place(r))                                            # setz
    code.mov(ECX, r.choice(SELECTORS))
    code.store(w.SCRATCH, ECX)
    p.mark("verr-verw")
    code("0f 00", r.choice((b"\xe1", b"\xe9", b"\x25" + u32(w.SCRATCH), b"\x2d" + u32(w.SCRATCH))))
    code("0f 94 05", place(r), "39 c0")                                   # and defined flags


@translated(0)
def privileged(p, r):
    """Privileged instructions that are emulated, among ordinary ones."""
    code = p.code
    code.mov(ECX, w.WINDOW)
    for _ in range(r.randrange(2, 6)):
        code(r.choice(("40 43", "01 c3", "f7 d6", "")))
        p.mark("privileged")
        code(r.choice(("fa", "fb", "0f 20 c0", "0f 20 d3", "0f 22 d0", "0f 20 d8", "0f 20 e6", "0f 06", "0f 01 39",
                       "0f 31", "0f 09", b"\x0f\x01\x15" + u32(w.POINTERS), b"\x0f\x01\x1d" + u32(w.POINTERS + 8),
                       "e4 80", "e4 21",
                       "0f 21 fb", "0f 20 d8 0f 22 d8", "0f 20 c0 0f 22 c0")))
    code("fa")


@translated(0)
def identify(p, r):
    p.code.mov(EAX, r.choice((0, 1, 2, 0x80000000)))
    p.code("31 c9 0f a2")


@translated(0)
def call_a_handler(p, r):
    """PUSHF, PUSH CS, CALL: how a kernel enters its own interrupt handler, which ends in IRET."""
    handler = function(p, "43 cf", mark="iret")
    p.mark("pushf")
    p.code("9c")
    p.mark("read-segment")
    p.code("0e")
    p.code.jump("e8", handler)


@translated(0)
def far_way_round(p, r):
    """PUSH CS and a near CALL to what returns far; a far call or jump within the kernel."""
    code, choice = p.code, r.randrange(3)
    f = function(p, "46 cb")
    p.mark("far-transfer")
    if choice == 0:
        code("0e")
        code.jump("e8", f)
    elif choice == 1:
        code("9a", f, u32(w.KERNEL_CODE)[:2])
    else:
        code("ea", code.here + 7, u32(w.KERNEL_CODE)[:2])


@translated(0)
def enable_by(p, r):
    """An interrupt is pending; POPF, IRET or STI lets it in."""
    code, choice = p.code, r.randrange(3)
    code("fa", PIC.format(w.IRQ), ONCE.format(3))
    code.mov(ECX, 2000)
    code("49 75 fd")                                                      # 1: dec %ecx; jnz 1b
    p.mark("interrupt let in")
    if choice == 0:
        code("68", flags_of(r) | INTERRUPT)
        code("9d 40 43")
    elif choice == 1:
        code("68", flags_of(r) | INTERRUPT, "0e")
        hole = code.hole("68")
        code("cf")
        code.fill(hole)
        code("40 43")
    else:
        code("fb 40 43 46")
    code("fa", QUIET)


@translated(0, 0, 3)
def interrupted(p, r):
    """A loop that the timer interrupts somewhere: where exactly is the monitor's choice, so nobody writes it down."""
    code, ring = p.code, p.ring
    p.to_ring(0)
    code.mov(ESP, w.stack_of(0))
    code("fa", PIC.format(w.QUIET_IRQ), ONCE.format(r.randrange(2, 5)))
    code.mov(ECX, 2500)
    f = function(p, "43 c3")
    p.mark("interrupt in a loop")
    if ring:
        p.return_to(3, 2 | INTERRUPT)
    else:
        code("fb")
    top = code.here
    choice = r.randrange(3)
    if choice == 0:
        code.jump("e8", f)
    elif choice == 1:
        code.mov(EBX, f)
        code("ff d3")
    else:
        code("83 c3 03 83 d6 00")
    code("49")
    code.jump("0f 85", top)
    p.to_ring(0)
    code("fa", QUIET)
    for i in range(1, 9):                                                 # what the interrupt left on the stack
        code.set(w.stack_of(0) - 4 * i, 0)
