"""Interruptions of z/Architecture: their codes, names, and where they stand in low core (Principles of Operation,
chapter 6 and figure 3-1, "Assigned storage locations")."""
from __future__ import annotations

OPERATION, PRIVILEGED, EXECUTE, PROTECTION, ADDRESSING, SPECIFICATION, DATA = 1, 2, 3, 4, 5, 6, 7
SPECIAL_OPERATION, OPERAND, TRANSLATION_SPECIFICATION = 0x13, 0x15, 0x12
VECTOR_PROCESSING, MONITOR_EVENT = 0x1B, 0x40
SEGMENT_TRANSLATION, PAGE_TRANSLATION, ASCE_TYPE = 0x10, 0x11, 0x38
REGION_FIRST, REGION_SECOND, REGION_THIRD = 0x39, 0x3A, 0x3B

PROGRAM = {
    1: "operation", 2: "privileged-operation", 3: "execute", 4: "protection", 5: "addressing", 6: "specification",
    7: "data", 8: "fixed-point-overflow", 9: "fixed-point-divide", 0xA: "decimal-overflow", 0xB: "decimal-divide",
    0xC: "hfp-exponent-overflow", 0xD: "hfp-exponent-underflow", 0xE: "hfp-significance", 0xF: "hfp-divide",
    0x10: "segment-translation", 0x11: "page-translation", 0x12: "translation-specification", 0x13: "special-operation",
    0x15: "operand", 0x1B: "vector-processing", 0x28: "alet-specification", 0x29: "alen-translation",
    0x1C: "space-switch", 0x1D: "hfp-square-root", 0x38: "asce-type", 0x39: "region-first-translation",
    0x3A: "region-second-translation", 0x3B: "region-third-translation", 0x40: "monitor-event",
}
# These leave the PSW at the instruction, so that it can be tried again; the others leave it behind it.
# The last bits of a TEID: a fetch or a store (facility 75); protection by DAT, or of low addresses.
TEID_FETCH, TEID_STORE, TEID_DAT, TEID_LOW = 0x800, 0x400, 4, 0x80
NULLIFYING = frozenset((0x10, 0x11, 0x29, 0x38, 0x39, 0x3A, 0x3B))
TRANSLATION = frozenset((0x10, 0x11, 0x38, 0x39, 0x3A, 0x3B))

# Interruption classes: (old PSW, new PSW), real addresses.
RESTART, EXTERNAL, SVC, PROGRAM_CHECK, MACHINE_CHECK, IO = (
    (0x120, 0x1A0), (0x130, 0x1B0), (0x140, 0x1C0), (0x150, 0x1D0), (0x160, 0x1E0), (0x170, 0x1F0))
CLASSES = {RESTART: "restart", EXTERNAL: "external", SVC: "svc", PROGRAM_CHECK: "program",
           MACHINE_CHECK: "machine-check", IO: "io"}

# External-interruption codes.
INTERRUPT_KEY, MALFUNCTION_ALERT, EMERGENCY_SIGNAL, EXTERNAL_CALL = 0x0040, 0x1200, 0x1201, 0x1202
CLOCK_COMPARATOR, CPU_TIMER, SERVICE_SIGNAL, CP_SERVICE = 0x1004, 0x1005, 0x2401, 0x2603


class Interruption(Exception):
    """A program interruption that an instruction meets.

    code: its program-interruption code. address: what an access exception was about. dxc: the data-exception code.
    teid: the last bits of the translation-exception identification: which kind of access, and of protection.
    """

    def __init__(self, code: int, address: int | None = None, dxc: int = 0):
        super().__init__(code, address, dxc)
        self.code, self.address, self.dxc, self.teid = code, address, dxc, 0

    def __str__(self) -> str:
        return f"{PROGRAM.get(self.code, 'program')} exception ({self.code:#06x})"
