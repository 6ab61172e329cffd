"""Calls, returns and jumps of every form; code entered in the middle of an instruction; faults in a unit's middle."""
import functools

from fidelity import world as w
from fidelity.programs import FOR_TRANSLATION, FREE, action, word
from machine.assembler import EAX, EBX, ECX, EDI, ESI, ESP, u32

RINGS = 0, 0, 0, 3
NOWHERE = 0x50000000                  # a linear page that is mapped in no address space
TABLE = w.SCRATCH + 0x1800            # of addresses; out of the way of ordinary stores

translated = functools.partial(action, among=FOR_TRANSLATION)


def function(p, *parts, mark=None):
    """Code that is jumped over, to be called; gives its address. `mark` is of its last instruction, of one byte."""
    code = p.code
    over = code.hole("e9")
    at = code(*parts)
    if mark:
        p.marks.setdefault(mark, set()).add(code.here - 1)
    code.fill(over, relative=True)
    return at


def map_page(p, page, frame, flags=7, high=0):
    """Let a page of the window lead to a frame (ring 0)."""
    at = p.window_entry(page)
    p.code.set(at, frame | flags)
    if p.pae:
        p.code.set(at + 4, high)
    p.flush(w.WINDOW + page * 4096)


@translated(*RINGS)
def recursion(p, r):
    """A function that calls itself."""
    code = p.code
    over, f = code.hole("e9"), code.here
    code("49 74 05")                                                      # dec %ecx; jz 1f
    code.jump("e8", f)
    p.marks.setdefault("return", set()).add(code.here + 1)
    code("40 c3")                                                         # 1: inc %eax; ret
    code.fill(over, relative=True)
    for _ in range(r.randrange(1, 3)):
        code.mov(ECX, r.randrange(1, 7))
        p.mark("direct-call")
        code.jump("e8", f)


@translated(*RINGS)
def parameters(p, r):
    """A function that takes its parameters off the stack."""
    n = r.randrange(1, 5)
    f = function(p, "8b 44 24 04 03 1c 24", bytes([0xC2, 4 * n, 0]))      # mov 4(%esp), %eax; add (%esp), %ebx; ret $4n
    p.marks.setdefault("return-and-release", set()).add(f + 7)
    for _ in range(n):
        p.code("68", word(r))
    p.code.jump("e8", f)


@translated(*RINGS)
def indirect_calls(p, r):
    code = p.code
    first = function(p, "43 c3", mark="return")                           # inc %ebx; ret
    second = function(p, r.choice(("46", "83 c3 11", "f7 d3")), "f3 c3")  # rep ret, as compilers wrote it
    code.set(TABLE, first)
    code.set(TABLE + 4, second)
    choice = r.randrange(5)
    if choice == 0:
        register = r.choice(FREE)
        code.mov(register, second)
        p.mark("indirect-call")
        code("ff", bytes([0xD0 | register]))
    elif choice == 1:
        p.risky(r.choice(("", "64", "2e")), "ff 15", TABLE, mark="indirect-call")   # through %fs, or %cs
    elif choice == 2:
        code("68", first)
        p.mark("indirect-call")
        code("ff 14 24 58")                                               # call *(%esp); pop %eax
    else:                                                                 # now this, now that
        code.mov(ECX, r.randrange(1, 8))
        top = code("89 c8 83 e0 01")                                      # mov %ecx, %eax; and $1, %eax
        p.mark("indirect-call")
        code("ff 14 85", TABLE, "49")                                     # call *TABLE(, %eax, 4); dec %ecx
        code.jump("0f 85", top)


@translated(*RINGS)
def indirect_jumps(p, r):
    code = p.code
    choice = r.randrange(4)
    if choice == 0:
        register = r.choice(FREE)
        hole = code.hole(bytes([0xB8 | register]).hex())
        p.mark("indirect-jump")
        code("ff", bytes([0xE0 | register]), "43" * r.randrange(3))
        code.fill(hole)
    elif choice == 1:
        hole = code.hole("c7 05" + u32(TABLE).hex())
        p.mark("indirect-jump")
        code("ff 25", TABLE, "cc")
        code.fill(hole)
    else:                                                                 # a switch in a loop
        code.mov(ECX, r.randrange(2, 12))
        holes = [code.hole("c7 05" + u32(TABLE + 4 * i).hex()) for i in range(4)]
        top = code("89 c8 83 e0 03")                                      # mov %ecx, %eax; and $3, %eax
        p.mark("indirect-jump")
        code("ff 24 85", TABLE)                                           # jmp *TABLE(, %eax, 4)
        for hole, body in zip(holes, ("43 43", "46", "83 c7 05", "")):
            code.fill(hole)
            code(body)                                                    # each falls into the next
        code("49")
        code.jump("0f 85", top)


@translated(*RINGS)
def push_and_return(p, r):
    """A jump that is spelled as a return."""
    release = r.choice((0, 0, 4, 12))
    for _ in range(release // 4):
        p.code("68", word(r))
    hole = p.code.hole("68")
    p.mark("return")
    p.code(b"\xc2" + bytes([release, 0]) if release else "c3", "cc 43")
    p.code.fill(hole)


@translated(*RINGS)
def return_address(p, r):
    """A function that looks at its return address, or changes it."""
    code, choice = p.code, r.randrange(6)
    elsewhere = function(p, "83 c6 07 ff 25", TABLE + 8)                  # add $7, %esi; jmp *TABLE+8
    f = function(p, *(("83 04 24 01 c3",),                                # addl $1, (%esp); ret
                      ("c7 04 24", elsewhere, "c3"),                      # movl $elsewhere, (%esp); ret
                      ("58 ff e0",),                                      # pop %eax; jmp *%eax
                      ("8f 05", TABLE, "ff 25", TABLE),                   # pop TABLE; jmp *TABLE
                      ("8b 1c 24 c3",),                                   # mov (%esp), %ebx; ret
                      ("83 c4 04 c3",))[choice])                          # add $4, %esp; ret: past its caller
    caller = function(p, "e8", f - (code.here + 5 + 5), "cc")
    hole = code.hole("c7 05" + u32(TABLE + 8).hex())
    p.mark("return-address")
    if choice == 5:
        code.jump("e8", caller)
    elif r.random() < 0.2:
        code("e8", 0, "58")                                               # call 1f; 1: pop %eax
    else:
        code.jump("e8", f)
        code("40" if choice == 0 else "")                                 # what is skipped
    code.fill(hole)


@translated(*RINGS)
def loops(p, r):
    code = p.code
    code.mov(ECX, r.randrange(1, 9))
    p.mark("loop")
    code("40 a8 02", r.choice(("e2 fb", "e1 fb", "e0 fb", "67 e2 fa", "f2 e1 fa")))   # 1: inc %eax; test $2, %al; loop… 1b
    code.mov(ECX, r.choice((0, 1, 0x10000)))
    p.mark("loop")
    code(r.choice(("e3 01 43", "67 e3 01 43")))                           # jecxz 1f; inc %ebx; 1:


@translated(*RINGS)
def conditions(p, r):
    """All conditions, on flags of one comparison after the other."""
    code = p.code
    for condition in r.sample(range(16), 6):
        code("39" if r.random() < 0.7 else "85", bytes([0xC0 | r.choice(FREE) << 3 | r.choice((0, 3, 7))]))
        p.mark("condition")
        code(r.choice((b"", b"\x2e", b"\x3e")), bytes([0x70 | condition, 1]) if r.random() < 0.5 else
             b"\x0f" + bytes([0x80 | condition]) + u32(1), "46")


@translated(*RINGS)
def middle(p, r):
    """An instruction whose operand is code: it is executed both ways."""
    code = p.code
    code.mov(ECX, r.randrange(2, 6))
    over = code.hole("e9")
    outer = code("b8", r.choice(("40 43 46 90", "83 c3 05 90", "f7 d0 46 43")))   # mov $..., %eax; or what it hides
    code.fill(over, relative=True)
    code("49")                                                            # dec %ecx
    done = code.hole("0f 84")                                             # jz
    code("f6 c1 01")                                                      # test $1, %cl
    code.jump("0f 84", outer)
    p.mark("middle of an instruction")
    code.jump("e9", outer + 1)
    code.fill(done, relative=True)


@translated(*RINGS)
def long_unit(p, r):
    """More instructions in a row than fit into a unit."""
    p.mark("long-unit")
    for _ in range(r.randrange(13, 40)):
        p.code(r.choice(("40", "43", "46", "4f", "f7 d0", "d1 c3", "01 d8", "83 d6 01", "99", "0f ba e0 03 39 c0",
                         b"\x03\x05" + u32(w.SCRATCH), b"\x89\x1d" + u32(w.SCRATCH + 4))))


FAULTS = {
    "page-fault": (b"\xa1" + u32(NOWHERE), b"\x89\x1d" + u32(NOWHERE), b"\xff\x05" + u32(NOWHERE),
                   b"\xff\x35" + u32(NOWHERE), b"\xff\x15" + u32(NOWHERE), b"\xff\x25" + u32(NOWHERE),
                   b"\x8f\x05" + u32(NOWHERE), b"\xfc\xbe" + u32(NOWHERE) + b"\xa5"),
    "divide-error": ("31 c9 f7 f1", "31 c9 f7 f9", "b1 00 f6 f1", "d4 00"),
    "invalid-opcode": ("0f 0b", "0f ff c0", "f0 90", "8e c8", "ff ff", "0f 01 c1", "8d c0"),
    "general-protection": ("b8 f8 ff 00 00 8e d8", "b8 08 20 00 00 8e e0", "b8 00 00 00 80 0f 22 e0",
                           "cd 8f"),
}


@translated(*RINGS)
def fault_in_unit(p, r):
    """A fault between instructions that have been executed and others that are not."""
    code = p.code
    for kind in r.sample([kind for kind in FAULTS if p.paging or kind != "page-fault"], 3 + p.paging):
        with p.recovering():
            code(r.choice(("40 43 46", "01 d8 11 fe", "f9 47")))
            code.mov(EBX, word(r))
            fault = r.choice(FAULTS[kind])
            fault = bytes.fromhex(fault) if isinstance(fault, str) else fault
            code(fault)
            p.marks.setdefault(f"{kind} in a unit", set()).update(range(code.here - len(fault), code.here))
            code("41 4e", "81 c3", word(r))                               # not executed
        code("42")


@translated(0)
def stack_in_nowhere(p, r):
    """What takes from the stack, on a page that is not there; the page below takes the exception's frame."""
    if p.paging:
        code, page = p.code, r.randrange(w.PAGES - 1)
        map_page(p, page, w.FRAMES + 4096 * r.randrange(64))
        map_page(p, page + 1, 0, 0)
        p.to_ring(r.choice((0, 0, 3)))
        with p.recovering():
            code.mov(ESP, w.WINDOW + (page + 1) * 4096)
            code("40")
            p.mark("pop from nowhere")
            code(r.choice(("c3", "c2 04 00", "58", "9d", "61", "1f", "cf", "cb", "ff 24 24", "ff 14 24", "8f 00")))
        code.mov(ESP, w.stack_of(p.ring))
        p.segments_of_this_ring()


@translated(*RINGS)
def bad_target(p, r):
    """To where there is no code: a page that is not there, or one that must not be executed."""
    if not p.paging:
        return
    code, target = p.code, NOWHERE + r.randrange(0x1000)
    if p.no_execute and p.ring == 0 and r.random() < 0.4:
        page = r.randrange(w.PAGES)
        map_page(p, page, w.FRAMES, high=1 << 31)
        target = w.WINDOW + page * 4096 + r.randrange(0x1000)
    choice = r.randrange(8)
    with p.recovering():
        code("40")
        if choice < 2:
            code.mov(EAX, target)
            p.mark("jump to nowhere")
            code("ff", bytes([(0xD0, 0xE0)[choice]]))                     # call, jmp *%eax
        elif choice < 4:
            code.set(TABLE, target)
            p.mark("jump to nowhere")
            code("ff", bytes([(0x15, 0x25)[choice & 1]]), TABLE)
        elif choice == 4:
            code("68", target)
            p.mark("jump to nowhere")
            code("c3")
        elif choice == 5:
            code("39 c0")
            p.mark("jump to nowhere")
            code.jump("0f 84", target)
        else:
            p.mark("jump to nowhere")
            code.jump(("e8", "e9")[choice & 1], target)
        code("43")
    code.mov(ESP, w.stack_of(p.ring))


@translated(0)
def page_crossing(p, r):
    """Code at a page's end whose last instruction goes on in the next page, if that is there."""
    if p.paging:
        code, page = p.code, r.randrange(w.PAGES - 1)
        first, second = r.sample(range(64), 2)
        map_page(p, page, w.FRAMES + 4096 * first)
        map_page(p, page + 1, w.FRAMES + 4096 * second)
        at = w.WINDOW + (page + 1) * 4096 - r.randrange(1, 9)
        code.set(at, 0x44B84340)                                          # inc %eax; inc %ebx; mov $…, %eax
        code.set(at + 4, word(r))
        code("c6 05", at + 7, "46 c6 05", at + 8, "c3")                   # inc %esi; ret
        if r.random() < 0.4:
            map_page(p, page + 1, 0, 0)
        p.to_ring(r.choice((0, 0, 3)))
        with p.recovering():
            for _ in range(r.randrange(1, 3)):
                p.mark("page-crossing")
                code.jump("e8", at)
        code.mov(ESP, w.stack_of(p.ring))


@translated(*RINGS)
def straight_copy(p, r):
    """String instructions in the middle of a unit, as compilers use them."""
    code = p.code
    code("fc")
    code.mov(ESI, w.SCRATCH + r.randrange(0x800))
    code.mov(EDI, w.SCRATCH + 0x900 + r.randrange(0x400))
    code.mov(ECX, r.randrange(0, 40))
    code("40", r.choice(("f3 a4", "f3 a5", "f3 aa", "f3 ab", "f3 a6", "f2 ae")), "43")
