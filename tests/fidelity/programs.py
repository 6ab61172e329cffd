"""Random programs: a list of actions becomes the machine code that does one after the other, in one ring or another."""
import random

from fidelity import world as w
from machine.assembler import EAX, ESP, Code, handmade

CARRY, PARITY, ADJUST, ZERO, SIGN, TRAP, INTERRUPT, DIRECTION, OVERFLOW = (
    1, 4, 0x10, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800)
IOPL, RESUME, ALIGNMENT, IDENT = 0x3000, 0x10000, 0x40000, 0x200000
ARITHMETIC = CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW
PAGING, WRITE_PROTECT, NUMERIC_ERROR = 0x80000000, 0x10000, 0x20
FREE = (0, 1, 2, 3, 5, 6, 7)         # registers that a program may change: all but ESP

ACTIONS = {}                          # name -> (function, the rings it may be done in)
FOR_TRANSLATION = {}                  # the same; what trap-and-emulate does not see, or what is hard to translate


def action(*rings, among=ACTIONS):
    """Make a function of (program, random numbers) an action that is done in one of these rings."""
    def register(function):
        among[function.__name__] = function, rings or (0, 1, 2, 3)
        return function
    return register


def word(r):
    """A number that is interesting more often than chance makes it."""
    return r.choice((0, 1, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, r.getrandbits(5), r.getrandbits(32), r.getrandbits(32)))


def place(r, size=0x1000):
    """An address in the scratch pages."""
    return w.SCRATCH + r.randrange(size - 16)


class Program:
    """Machine code under construction, and what is known about the moment that it has come to.

    `marks` gives the addresses of instructions of interest, by what they are: coverage is told from the addresses
    that the trace of a run mentions.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pae = self.random.random() < 0.7
        self.paging = self.random.random() < 0.93
        self.no_execute = self.pae and self.random.random() < 0.8
        segments, self.entries, self.tables = w.segments(self.pae)
        self.segments = list(segments)
        self.code, self.ring, self.space, self.marks = Code(w.CODE), 0, 0, {}
        self.cr0 = NUMERIC_ERROR * self.random.randrange(2) | 0x11 | WRITE_PROTECT * (self.random.random() < 0.7)
        self._begin()

    def _begin(self):
        """Load the tables, set paging up, and give every register a value."""
        code, pointers = self.code, Code(w.POINTERS)
        pointers(w.u32(w.GDT_LIMIT)[:2], w.GDT, "00 00", w.u32(0x88 * 8 - 1)[:2], w.IDT, "00 00")
        self.segments.append((w.POINTERS, pointers.bytes))
        code("0f 01 15", w.POINTERS)                                      # lgdt
        code("0f 01 1d", w.POINTERS + 8)                                  # lidt
        code.mov(ESP, w.stack_of(0))
        code("ea", code.here + 7, "08 00")                                # ljmp
        self.segments_of_this_ring()
        code("66 b8", bytes([w.TASK, 0]), "0f 00 d8")                     # ltr
        if self.no_execute:
            code("b9", 0xC0000080, "0f 32 80 cc 08 0f 30")                # rdmsr; or $8, %ah; wrmsr
        code.mov(EAX, 0x620 if self.pae else 0x610)                       # CR4: PAE or large pages; SSE
        code("0f 22 e0")
        code.mov(EAX, self.tables.roots[0])
        code("0f 22 d8")
        code.mov(EAX, self.cr0 | PAGING * self.paging)
        code("0f 22 c0")
        for register in FREE:
            code.mov(register, self.random.getrandbits(32))

    # -- what actions are made of ----------------------------------------------------------------------------
    def mark(self, name):
        """The next instruction is of interest."""
        self.marks.setdefault(name, set()).add(self.code.here)

    def risky(self, *parts, mark=None):
        """An instruction that may fault; then the handler goes on behind it."""
        with self.recovering():
            if mark:
                self.mark(mark)
            return self.code(*parts)

    def recovering(self):
        return _Recovering(self.code)

    def segments_of_this_ring(self):
        """Flat segments, as programs want them."""
        code = self.code
        code("66 b8", w.u32(w.USER_DATA)[:2], "8e d8 8e c0 8e e0 8e e8")  # ds, es, fs, gs
        code("66 b8", w.u32(w.DATA_OF[self.ring])[:2], "8e d0")           # ss

    def to_ring(self, ring, flags=None):
        """Change to a ring: inwards through an interrupt gate, outwards by a return."""
        code = self.code
        if self.ring and ring != self.ring:
            hole = code.hole("c7 05" + w.u32(w.CONTINUE).hex())
            code("cd", bytes([w.TO_KERNEL]))
            code.fill(hole)
            self.ring = 0
        if ring != self.ring or flags is not None:
            self.return_to(ring, flags)

    def return_to(self, ring, flags=None):
        """IRET, or a far return where no flags are asked for, to a ring that is not further in."""
        code, r = self.code, self.random
        if ring != self.ring:
            code("68", w.DATA_OF[ring], "68", w.stack_of(ring))           # push SS, ESP
        far = flags is None and r.random() < 0.3
        if not far:
            code("68", self.random_flags() if flags is None else flags)
        code("68", w.CODE_OF[ring])
        hole = code.hole("68")
        self.mark("return-to-outer-ring" if ring != self.ring else "return")
        code("cb" if far else "cf")
        code.fill(hole)
        self.ring = ring

    def random_flags(self):
        r = self.random
        return (r.getrandbits(12) & ARITHMETIC | 2 | r.choice((0, 0, IOPL, IOPL, 0x1000, 0x2000))
                | RESUME * (r.random() < 0.2) | ALIGNMENT * (r.random() < 0.1) | IDENT * (r.random() < 0.1))

    def window_entry(self, page, space=None):
        """The physical address of a window page's entry in the current address space, or another."""
        return self.tables.window[self.space if space is None else space] + page * self.tables.width

    def flush(self, linear):
        """Forget a page's translation, or all (ring 0)."""
        code = self.code
        if self.random.random() < 0.6:
            code.mov(EAX, linear)
            code("0f 01 38")
        else:
            code("0f 20 d8 0f 22 d8")                                     # mov %cr3, %eax; mov %eax, %cr3

    def guest(self, name="program"):
        """The guest that does all this and then switches off."""
        return handmade([(w.CODE, self.code.bytes), *self.segments], w.CODE, name=name)


class _Recovering:
    """While an action may fault, the handlers know where it ends."""

    def __init__(self, code):
        self._code = code

    def __enter__(self):
        self._hole = self._code.hole("c7 05" + w.u32(w.RECOVER).hex())

    def __exit__(self, *_):
        self._code.fill(self._hole)


def build(seed, steps):
    """The program for a seed and a list of (action's name, seed)."""
    program = Program(seed)
    do(program, steps)
    program.code.stop()
    return program


def do(program, steps):
    """Do these actions one after the other, and come back to ring 0."""
    for name, number in steps:
        function, rings = ACTIONS.get(name) or FOR_TRANSLATION[name]
        r = program.random = random.Random(number)       # a number or a text
        program.to_ring(r.choice(rings))
        if len(program.code.bytes) > 0xF000:
            break
        function(program, r)
    program.to_ring(0)
