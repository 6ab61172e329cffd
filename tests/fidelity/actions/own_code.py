"""Code that writes over itself: the next instruction, the same unit, another one; in a loop, by another mapping."""
from fidelity import world as w
from fidelity.actions.flow import RINGS, function, map_page, translated
from fidelity.programs import word
from machine.assembler import EAX, EBX, ECX, EDI, ESI, ESP, u32


def write(p, r, at, value):
    """Write a word in one of many ways."""
    code, choice = p.code, r.randrange(10)
    if choice == 0:
        code("c6 05", at, bytes([value & 0xFF]))                          # a byte of it
    elif choice == 1:
        code("66 c7 05", at, u32(value)[:2])
    elif choice == 2:
        code.mov(EBX, value)
        code(r.choice(("89 1d", "87 1d", "01 1d", "31 1d", "0f c1 1d")), at)
    elif choice == 3:
        code(*r.choice((("f7 15", at), ("ff 05", at), ("f7 1d", at), ("80 05", at, bytes([value & 0x7F])))))
    elif choice == 4:
        code.mov(ESP, at + 4)
        code("68", value)
        code.mov(ESP, w.stack_of(p.ring))
    elif choice == 5:
        code.mov(EDI, at)
        code.mov(EAX, value)
        code("fc ab")
    elif choice == 6:
        code.set(w.SCRATCH, value)
        code("fc")
        code.mov(ESI, w.SCRATCH)
        code.mov(EDI, at)
        code.mov(ECX, 4)
        code("f3 a4")
    elif choice == 7:
        code.set(w.SCRATCH, value)
        code("ff 35", w.SCRATCH, "8f 05", at)                             # push; pop
    else:
        code.set(at, value)


def other_name(p, r, at):
    """The same memory by another linear address, through a page of the window (ring 0 with paging)."""
    page = r.randrange(w.PAGES)
    map_page(p, page, at & ~4095)
    return w.WINDOW + page * 4096 + (at & 4095)


@translated(*RINGS)
def other_unit(p, r):
    """A function that is called, changed, and called again; perhaps by another ring."""
    f = function(p, "b8", word(r), "c3")                                  # mov $…, %eax; ret
    for _ in range(r.randrange(1, 3)):
        p.code.jump("e8", f)
        p.mark("own code: another unit")
        write(p, r, f + 1, word(r))
        if r.random() < 0.2:
            p.to_ring(3 - p.ring)
    p.code.jump("e8", f)
    p.code.store(w.SCRATCH + 0x40, EAX)


@translated(*RINGS)
def next_instruction(p, r):
    code = p.code
    hole = code.hole("c6 05")
    p.marks.setdefault("own code: next instruction", set()).add(code.here - 6)
    code(bytes([r.choice((0x40, 0x43, 0x46, 0x4B, 0x90))]))               # movb $opcode, 1f
    code.fill(hole)
    code("90")                                                            # 1: nop


@translated(*RINGS)
def same_unit(p, r):
    """Some instructions on, in the same unit; or behind, in a loop."""
    code = p.code
    if r.random() < 0.6:
        hole = code.hole("c7 05")
        p.marks.setdefault("own code: same unit", set()).add(code.here - 6)
        code(word(r), "40 43" * r.randrange(4), "be")
        code.fill(hole)
        code(word(r), "46")                                               # mov $…, %esi; inc %esi
    else:
        code.mov(ECX, r.randrange(1, 6))
        top = code("b8", word(r), "01 c3")                                # 1: mov $…, %eax; add %eax, %ebx
        p.mark("own code: same unit")
        code("ff 05", top + 1, "49")                                      # incl 1b+1; dec %ecx
        code.jump("0f 85", top)


@translated(*RINGS)
def itself(p, r):
    """An instruction that changes itself: its constant doubles each time."""
    code = p.code
    code.mov(ECX, r.randrange(1, 4))
    p.mark("own code: itself")
    top = code("80 05", code.here + 6, "03 49")                           # 1: addb $3, 1b+6; dec %ecx
    code.jump("0f 85", top)


@translated(*RINGS)
def target_of_a_call(p, r):
    """A call whose target is changed to and fro, after it has been chained."""
    code = p.code
    first = function(p, "43 c3")
    second = function(p, "83 c6 05 c3")
    code.mov(ECX, r.randrange(2, 7))
    top = code.here
    opcode = r.choice(("e8", "e8", "0f 84"))
    if opcode == "0f 84":                                                 # a conditional jump, and what it skips
        top = code("39 c0")
        hole = code.hole("0f 84")
        code("43")
        there = code("46")
        code.fill(hole, there, relative=True)
        at, change = code.origin + hole, 1
    else:
        code.jump("e8", first)
        at = code.here - 4
        change = (first - code.here ^ second - code.here) & 0xFFFFFFFF
    p.mark("own code: a jump's target")
    code("81 35", at, change, "49")                                       # xorl $…, at; dec %ecx
    code.jump("0f 85", top)


@translated(0)
def through_another_mapping(p, r):
    if p.paging:
        f = function(p, "b8", word(r), "c3")
        p.code.jump("e8", f)
        alias = other_name(p, r, f)
        p.mark("own code: another mapping")
        if r.random() < 0.5:
            write(p, r, alias + 1, word(r))
            p.code.jump("e8", f)
        else:
            p.code.jump("e8", alias)
            write(p, r, f + 1, word(r))
            p.code.jump("e8", alias)
        p.code.store(w.SCRATCH + 0x44, EAX)


@translated(0)
def page_remapped(p, r):
    """The same linear address leads to one function, then to another."""
    if p.paging:
        code, page = p.code, r.randrange(w.PAGES)
        frames = [w.FRAMES + 4096 * i for i in r.sample(range(64), 2)]
        offset = 16 * r.randrange(250)
        for frame in frames:
            code.set(frame + offset, 0xB8 | r.getrandbits(24) << 8)       # mov $…, %eax; ret
            code.set(frame + offset + 4, 0xC300 | r.getrandbits(8))
        for i in range(r.randrange(2, 5)):
            map_page(p, page, frames[i & 1])
            if i:
                p.mark("own code: remapped")
            code.jump("e8", w.WINDOW + page * 4096 + offset)
            code("01 c3")                                                 # add %eax, %ebx


@translated(*RINGS)
def new_function(p, r):
    """A function copied to where another has been, several times."""
    code, at = p.code, w.FRAMES + 0x3F000 + 32 * r.randrange(100)
    bodies = [function(p, body, "c3" * 4) for body in ("40 43 46 47", "f7 d0 01 c3", "83 c6 11 4b", "b8 78 56 34 12")]
    for body in r.sample(bodies, 3):
        code("fc")
        code.mov(ESI, body)
        code.mov(EDI, at)
        code.mov(ECX, 8)
        p.mark("own code: copied")
        code("f3 a4")
        code.jump("e8", at)


@translated(0)
def across_pages(p, r):
    """A store that lies in two pages, of which one holds code that has run."""
    if p.paging:
        code, page = p.code, r.randrange(w.PAGES - 1)
        for i in range(2):
            map_page(p, page + i, w.FRAMES + 4096 * r.randrange(64))
        at = w.WINDOW + (page + 1) * 4096
        code.set(at, 0x41434040)
        code("c6 05", at + 4, "c3")
        code.jump("e8", at)
        p.mark("own code: across pages")
        code.set(at - 2, r.choice((0x43434343, 0x46464646, 0x4B909090)))
        code.jump("e8", at)
