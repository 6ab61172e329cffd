"""A bare machine with its tables already in place, for programs of a few lines.

A guest needs a dozen instructions before it has a GDT, an IDT and a TSS, and those would stand in every hand count.
Here the tables are in RAM and in the CPU before the first instruction, so a program consists of what it is about.
Every vector has a handler that switches the machine off with the vector as the status: the run ends at the first
event that the program does not handle itself, with the handler's stack frame still there to be read.
"""
import functools
import struct
import tempfile
from pathlib import Path
from types import SimpleNamespace

from pvlab.guests.catalogue import Guest
from pvlab.guests.image import Image, load_image
from pvlab.guests.toolchain import HERE, build_guest
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native

MIB = 1 << 20
CODE, GDT, IDT, TSS, LDT, HANDLERS, DATA = 0x100000, 0x200000, 0x201000, 0x202000, 0x203000, 0x204000, 0x210000
STACK0, STACK = 0x230000, 0x240000            # tops: where the TSS leads to in ring 0, and where programs start
TSS_SELECTOR, LDT_SELECTOR, SPARE = 0x48, 0x50, 0x58   # SPARE: the first selector that is free for a test
FLAT = 0xFFFFFFFF
FLAGS = 0x4000_00 | 0x9000                    # a present 32-bit segment: `| 0xB00` for code, `| 0x300` for data


def code_of(ring):
    return 8 + 16 * ring | ring


def data_of(ring):
    return 16 + 16 * ring | ring


def flat(ring, kind, selector):
    """A flat segment register; kind 0xB00 is code, 0x300 data, both with the accessed bit."""
    return c.Segment(selector, 0, FLAT, 1 << 23 | FLAGS | kind | ring << 13)


def gate(offset, selector=8, kind=14, dpl=0, present=True, parameters=0):
    """The eight bytes of a gate: kind 14 is an interrupt gate, 15 a trap gate, 12 a call gate, minus 8: 16-bit."""
    return struct.pack("<II", selector << 16 | offset & 0xFFFF,
                       offset & 0xFFFF0000 | present << 15 | dpl << 13 | kind << 8 | parameters)


def handler_of(vector):
    return HANDLERS + 8 * vector


def tables():
    """What stands in RAM before the program does: {address: bytes}."""
    gdt = bytes(8)
    for ring in range(4):
        gdt += descriptor(0, FLAT, FLAGS | 0xB00 | ring << 13) + descriptor(0, FLAT, FLAGS | 0x300 | ring << 13)
    gdt += descriptor(TSS, 103, 0x8900) + descriptor(LDT, 0xFF, 0x8200)
    tss = bytearray(104)
    for ring in range(3):
        struct.pack_into("<II", tss, 4 + 8 * ring, STACK0 - ring * 0x1000, data_of(ring))
    struct.pack_into("<H", tss, 0x66, 104)                      # the I/O bitmap lies beyond the limit: there is none
    handlers = b"".join(bytes((0xB0, v, 0xE6, 0xF4)).ljust(8) for v in range(256))    # mov $v,%al; out %al,$0xf4
    return {GDT: gdt.ljust(0x1000, b"\0"), IDT: b"".join(gate(handler_of(v)) for v in range(256)), TSS: bytes(tss),
            HANDLERS: handlers}


@functools.cache
def build(text):
    """(machine code, symbols) of 32-bit AT&T assembly at CODE."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "program.S"
        source.write_text(f".text\n.globl _start\n_start:\n{text}\n")
        image = load_image(build_guest([source], HERE / "assembly.ld").read_bytes(), "program")
    return image.segments[0][1], image.symbols


def place(processor, ring=0, eflags=2):
    """Give a CPU, real or virtual, our tables and put it into a ring."""
    processor.set_table("gdt", c.Segment(0, GDT, 0xFFF, 0))
    processor.set_table("idt", c.Segment(0, IDT, 0x7FF, 0))
    processor.set_table("tr", c.Segment(TSS_SELECTOR, TSS, 103, 0x8900))
    processor.set_table("ldt", c.Segment(LDT_SELECTOR, LDT, 0xFF, 0x8200))
    for register in (c.DS, c.ES, c.FS, c.GS):
        processor.set_segment(register, flat(ring, 0x300, data_of(ring)))
    processor.set_ring(flat(ring, 0xB00, code_of(ring)), flat(ring, 0x300, data_of(ring)), ring)
    processor.eflags = eflags


def bare(text, monitor=Native, ring=0, eflags=2, memory=None, gates=None, budget=1_000_000, size=4 * MIB, prepare=None):
    """Run a program and give what it left: run, outcome, status, machine, processor, symbols, words().

    memory: {address or symbol: bytes} to be put over the tables and the program. gates: {vector: gate, or the symbol
    of a handler for an interrupt gate that ring 3 may use}. prepare(processor) has the last word before the start.
    """
    code, symbols = build(text)
    parts = [*tables().items(), (CODE, code)]            # in this order: what comes later lies over what came before
    parts += [(IDT + 8 * vector, entry if isinstance(entry, bytes) else gate(symbols[entry], dpl=3))
              for vector, entry in (gates or {}).items()]
    parts += [(symbols[at] if isinstance(at, str) else at, data) for at, data in (memory or {}).items()]

    class Prepared(monitor):
        def start(self):
            super().start()
            place(self.processor, ring, eflags)
            self.machine.regs[c.ESP] = STACK
            if prepare:
                prepare(self.processor)

    image = Image(CODE, [(at, data, len(data)) for at, data in parts], symbols, None, size)
    prepared = Prepared()
    run = prepared.run(Guest("bare", "", {}, image, size), budget=budget)
    machine = prepared.machine
    status = int(run.detail.split()[1]) if run.outcome == "shutdown" else None

    def words(at, count=1):
        found = [machine.ram.u32((symbols[at] if isinstance(at, str) else at) + 4 * i) for i in range(count)]
        return found[0] if count == 1 else found

    return SimpleNamespace(run=run, outcome=run.outcome, detail=run.detail, status=status, count=run.instructions,
                           machine=machine, regs=machine.regs, processor=prepared.processor, monitor=prepared,
                           symbols=symbols, words=words)


def frame(result, count):
    """The top words of the stack that the run ended on."""
    return result.words(result.regs[c.ESP], count)
