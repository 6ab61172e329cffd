"""Programs that run with paging on, in tables that are built here as data."""
import pytest
from machine.bare import bare, code_of, data_of

from pvlab.monitors import Native, TrapAndEmulate

PRESENT, WRITE, USER, ACCESSED, DIRTY, LARGE = 1, 2, 4, 0x20, 0x40, 0x80
ALL = PRESENT | WRITE | USER
NO_EXECUTE = 1 << 63
ROOT, FREE, WINDOW, FRAMES = 0x300000, 0x310000, 0x4000_0000, 0x280000
FORMS = pytest.mark.parametrize("pae", [True, False], ids=["PAE", "two-level"])


class Tables:
    """Page tables from ROOT on, of either form, in which the first 4 MiB are mapped as they are."""

    def __init__(self, pae, root=ROOT, free=FREE):
        self.pae, self.width, self.root, self._free, self._words = pae, 8 if pae else 4, root, free, {}
        for page in range(0, 4 << 20, 4096):
            self.map(page, page | ALL)

    def _new(self):
        self._free += 4096
        return self._free - 4096

    def entry(self, linear, directory=False):
        """The physical address of the entry for this linear address, in its table or its directory."""
        if self.pae:
            pointer = self.root + (linear >> 30) * 8
            if pointer not in self._words:
                self._words[pointer] = self._new() | PRESENT
            at = (self._words[pointer] & ~0xFFF) + (linear >> 21 & 511) * 8
        else:
            at = self.root + (linear >> 22) * 4
        if directory:
            return at
        if at not in self._words:
            self._words[at] = self._new() | ALL
        return (self._words[at] & ~0xFFF) + (linear >> 12 & (511 if self.pae else 1023)) * self.width

    def map(self, linear, value, directory=False):
        """Set an entry; gives its address."""
        at = self.entry(linear, directory)
        self._words[at] = value
        return at

    def memory(self):
        return {at: value.to_bytes(self.width, "little") for at, value in self._words.items()}

    def on(self, cr0=0x80010011, no_execute=True):
        """The instructions that switch paging on: 9 of them with PAE and NX, 6 without."""
        efer = "mov $0xc0000080, %ecx; rdmsr; or $0x800, %eax; wrmsr;" if self.pae and no_execute else ""
        return f"""{efer} mov ${0x620 if self.pae else 0x610}, %eax; mov %eax, %cr4
            mov ${self.root}, %eax; mov %eax, %cr3; mov ${cr0:#x}, %eax; mov %eax, %cr0;"""


def run(monitor, tables, program, memory=None, **how):
    """Run a program with paging on, in the form of `bare`."""
    parts = tables.memory() | (memory or {})
    return bare(tables.on() + program, monitor, memory=parts, size=8 << 20, **how)


def both(tables, program, **how):
    """The program's ends under both monitors, which must be alike."""
    native, emulated = (run(monitor, tables, program, **how) for monitor in (Native, TrapAndEmulate))
    assert (native.outcome, native.status, native.count) == (emulated.outcome, emulated.status, emulated.count)
    assert native.regs[:] == emulated.regs[:]
    assert native.processor.cr2 == emulated.processor.cr2
    one, other = native.machine.ram, emulated.machine.ram
    if one.bytes[:] != other.bytes[:]:
        assert not [f"{at:#x}: {one.u32(at):#x}, {other.u32(at):#x}" for at in range(0, one.size, 4)
                    if one.u32(at) != other.u32(at)]
    return native, emulated


def to_ring_3(label="user"):
    return f"push ${data_of(3)}; push $0x23f000; push $2; push ${code_of(3)}; push ${label}; iret; {label}:"
