"""How channel I/O looks in storage: CCW, ORB, PMCW and SCSW, big-endian (PoP, chapters 14 to 16)."""
from __future__ import annotations

import struct
from typing import NamedTuple

# Unit status, made by the device (PoP, "Device-Status Field").
ATTENTION, STATUS_MODIFIER, CU_END, BUSY, CHANNEL_END, DEVICE_END, UNIT_CHECK, UNIT_EXCEPTION = (
    0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01)
ENDED = CHANNEL_END | DEVICE_END

# Subchannel status, made by the channel subsystem (PoP, "Subchannel-Status Field").
PCI, INCORRECT_LENGTH, PROGRAM_CHECK, PROTECTION_CHECK = 0x80, 0x40, 0x20, 0x10

# Flags of a CCW: chain data, chain command, suppress length indication, skip, program-controlled interruption,
# indirect data address, suspend.
CD, CC, SLI, SKIP, PCI_FLAG, IDA, SUSPEND = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02

# Commands that every device knows.
WRITE, READ, NOP, SENSE, TIC, SENSE_ID = 0x01, 0x02, 0x03, 0x04, 0x08, 0xE4

# The SCSW's control halfword: functions, activities, status control.
F_START, F_HALT, F_CLEAR = 0x4000, 0x2000, 0x1000
A_RESUME, A_START, A_HALT, A_CLEAR, A_SUBCHANNEL, A_DEVICE, A_SUSPENDED = (
    0x0800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020)
S_ALERT, S_INTERMEDIATE, S_PRIMARY, S_SECONDARY, S_PENDING = 0x10, 0x08, 0x04, 0x02, 0x01
FUNCTIONS, ACTIVITIES, STATUS = 0x7000, 0x0FE0, 0x001F


class Ccw(NamedTuple):
    """One channel-command word, format 0 and format 1 alike."""

    command: int
    flags: int
    count: int
    address: int

    @classmethod
    def parse(cls, data: bytes, format1: bool) -> "Ccw":
        if format1:
            return cls(*struct.unpack(">BBHI", data))
        command, address = struct.unpack(">BxxxI", data)[0], int.from_bytes(data[1:4], "big")
        return cls(command, data[4], int.from_bytes(data[6:8], "big"), address)

    def pack(self, format1: bool = False) -> bytes:
        if format1:
            return struct.pack(">BBHI", self.command, self.flags, self.count, self.address)
        return struct.pack(">IBxH", self.command << 24 | self.address, self.flags, self.count)


class Orb(NamedTuple):
    """The operation-request block: what START SUBCHANNEL is given (12 bytes; an extended one's rest is not used)."""

    parameter: int
    control: int          # bits 0 to 15 of word 1: key, S, C, M, Y, F, P, I, A, U, 0, H, T
    path_mask: int
    control2: int         # bits 24 to 31 of word 1: L (incorrect-length suppression), D, …, X
    program: int

    @classmethod
    def parse(cls, data: bytes) -> "Orb":
        return cls(*struct.unpack(">IHBBI", data[:12]))

    @property
    def key(self) -> int:
        return self.control >> 12

    @property
    def may_suspend(self) -> bool:
        return bool(self.control & 0x0800)

    @property
    def format1(self) -> bool:
        return bool(self.control & 0x0080)

    @property
    def suppress_suspend_interruption(self) -> bool:
        return bool(self.control & 0x0008)

    @property
    def wide_idaws(self) -> bool:
        """Format-2 (64-bit) IDAWs."""
        return bool(self.control & 0x0002)

    @property
    def idaw_block(self) -> int:
        """Bytes that one IDAW designates at most."""
        return 4096 if self.wide_idaws and not self.control & 0x0001 else 2048

    @property
    def suppress_length(self) -> bool:
        """The incorrect-length-suppression mode, which counts for format-1 CCWs of immediate commands."""
        return bool(self.control2 & 0x80)

    def valid(self) -> bool:
        """Whether all bits that must be zero are; transport mode (B) and MIDAWs are not provided here."""
        return not (self.control & 0x0004 or self.control2 & 0x7E or self.program & 0x80000000)


class Pmcw:
    """The path-management-control word (28 bytes): one path, X'80', on channel path `chpid`."""

    FORM = struct.Struct(">IHHBBBBHBB8sI")
    ENABLED, VALID = 0x0080, 0x0001
    CONCURRENT_SENSE = 0x00000001
    MUST_BE_ZERO, MUST_BE_ZERO2 = 0x0700, 0xFF1FFFFA     # extended measurement is not provided

    def __init__(self, device_number: int, chpid: int):
        self.parameter = 0
        self.flags = self.VALID
        self.device_number = device_number
        self.lpm, self.pnom, self.lpum, self.pim, self.mbi, self.pom, self.pam = 0x80, 0, 0, 0x80, 0, 0xFF, 0x80
        self.chpids = bytes([chpid]) + bytes(7)
        self.characteristics = 0

    @property
    def enabled(self) -> bool:
        return bool(self.flags & self.ENABLED)

    @property
    def isc(self) -> int:
        """The interruption subclass, 0 to 7."""
        return self.flags >> 11 & 7

    def pack(self) -> bytes:
        return self.FORM.pack(self.parameter, self.flags, self.device_number, self.lpm, self.pnom, self.lpum, self.pim,
                              self.mbi, self.pom, self.pam, self.chpids, self.characteristics)

    def modify(self, data: bytes) -> None:
        """Take over the fields that MODIFY SUBCHANNEL may change."""
        (self.parameter, flags, _, self.lpm, _, _, _, self.mbi, self.pom, _, _, characteristics) = (
            self.FORM.unpack(data[:28]))
        self.flags = flags & 0x38FC | self.VALID      # ISC, E, LM, MM and D
        self.characteristics = characteristics & self.CONCURRENT_SENSE

    @classmethod
    def modifiable(cls, data: bytes) -> bool:
        """Whether MODIFY SUBCHANNEL accepts these words: reserved bits are zero."""
        fields = cls.FORM.unpack(data[:28])
        return not (fields[1] & cls.MUST_BE_ZERO or fields[11] & cls.MUST_BE_ZERO2)


class Scsw:
    """The subchannel-status word (12 bytes)."""

    FORM = struct.Struct(">HHIBBH")

    def __init__(self):
        self.flags = self.control = self.address = self.device_status = self.status = self.count = 0

    def pack(self) -> bytes:
        return self.FORM.pack(self.flags, self.control, self.address, self.device_status, self.status, self.count)
