"""What the CPU raises when an instruction or an event cannot go on."""
from __future__ import annotations

DE, DB, NMI, BP, OFL, BR, UD, NM, DOUBLE, TS, NP, STACK, GP, PAGE = 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14
# What the vectors are called. 0 to 31 are the architecture's (Intel SDM vol. 3, table 6-1).
EXCEPTIONS = {
    DE: "divide-error", DB: "debug", NMI: "nmi", BP: "breakpoint", OFL: "overflow", BR: "bound-range",
    UD: "invalid-opcode", NM: "device-not-available", DOUBLE: "double-fault", TS: "invalid-tss",
    NP: "segment-not-present", STACK: "stack-fault", GP: "general-protection", PAGE: "page-fault", 16: "x87-error",
    17: "alignment-check", 18: "machine-check", 19: "simd-error",
}
HAS_ERROR_CODE = frozenset((8, 10, 11, 12, 13, 14, 17))


class Fault(Exception):
    """An exception of the x86 architecture: its vector, its error code, and CR2 where it is a page fault."""

    def __init__(self, vector: int, code: int = 0, address: int = 0):
        super().__init__(vector, code, address)
        self.vector, self.code, self.address = vector, code, address
