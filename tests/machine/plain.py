"""A plain Unicorn, for the halves of tests that show what the engine does where nobody guards against it."""
import ctypes
import mmap
import struct

import unicorn
from unicorn import x86_const as x86

MIB = 1 << 20


class Plain:
    """A Unicorn as its documentation shows it, with 2 MiB of memory that both sides see."""

    def __init__(self, code, paging=False):
        self.memory = mmap.mmap(-1, 2 * MIB)
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self.uc.ctl_set_cpu_model(x86.UC_CPU_X86_COREDUO)
        self.uc.mem_map_ptr(0, 2 * MIB, unicorn.UC_PROT_ALL, ctypes.addressof(ctypes.c_char.from_buffer(self.memory)))
        self.memory[0x1000:0x1000 + len(code)] = code
        self.set("ESP", 0x8000)
        self.vectors = []
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        if paging:       # two levels: the first 2 MiB are mapped as they are, and nothing else is
            self.put(0x10000, 0x11003)
            self.put(0x11000, *(page << 12 | 3 for page in range(512)))
            self.set("CR3", 0x10000)
            self.set("CR0", 0x8000_0011)

    def _on_exception(self, uc, vector, data):
        self.vectors.append(vector)
        uc.emu_stop()

    def put(self, address, *words):
        self.memory[address:address + 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)

    def get(self, name):
        return self.uc.reg_read(getattr(x86, f"UC_X86_REG_{name}"))

    def set(self, name, value):
        self.uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), value)

    def run(self, until, begin=0x1000):
        self.uc.emu_start(begin, until)

    def run_in_ring_3(self, code, until=0x3000):
        """Put a GDT into memory, enter ring 3 by an IRET, and run `code` there, at 0x2000."""
        self.memory[0x1000:0x1001] = b"\xcf"
        self.memory[0x2000:0x2000 + len(code)] = code
        self.put(0x9000, 0, 0, 0xFFFF, 0xCF9B00, 0xFFFF, 0xCF9300, 0xFFFF, 0xCFFB00, 0xFFFF, 0xCFF300)
        self.uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0x9000, 39, 0))
        self.put(0x7000, 0x2000, 0x1B, 2, 0x6000, 0x23)
        self.set("ESP", 0x7000)
        self.run(until)
