"""What the CPU raises when an instruction or an event cannot go on."""
from __future__ import annotations

DE, DB, NMI, BP, OFL, BR, UD, NM, DOUBLE, TS, NP, STACK, GP, PAGE = 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14
HAS_ERROR_CODE = frozenset((8, 10, 11, 12, 13, 14, 17))


class Fault(Exception):
    """An exception of the x86 architecture: its vector, its error code, and CR2 where it is a page fault."""

    def __init__(self, vector: int, code: int = 0, address: int = 0):
        super().__init__(vector, code, address)
        self.vector, self.code, self.address = vector, code, address
