"""An Intel 82540EM network card, known as e1000, without its PCI bus: its registers stand at a fixed address.

What a transmit and a receive path touch is here, by the names of the manual (Intel 317453, PCI/PCI-X Family of Gigabit
Ethernet Controllers Software Developer's Manual, 2009): rings of descriptors in memory, interrupt causes and masks, and
moderation by ITR in virtual time. It is QEMU's e1000 in behaviour: a write to TDT transmits before the write returns.
Not here: offloads, delays per packet (RDTR, TIDV and their like), VLANs, the PHY's own registers.
"""
from __future__ import annotations

import struct
from collections.abc import Callable

CTRL, STATUS, EERD, MDIC = 0x0000, 0x0008, 0x0014, 0x0020
ICR, ITR, ICS, IMS, IMC = 0x00C0, 0x00C4, 0x00C8, 0x00D0, 0x00D8
RCTL, TCTL, MTA, RA = 0x0100, 0x0400, 0x5200, 0x5400
RDBAL, RDBAH, RDLEN, RDH, RDT = 0x2800, 0x2804, 0x2808, 0x2810, 0x2818
TDBAL, TDBAH, TDLEN, TDH, TDT = 0x3800, 0x3804, 0x3808, 0x3810, 0x3818
TXDW, TXQE, RXDMT0, RXO, RXT0 = 0x01, 0x02, 0x10, 0x40, 0x80                 # causes of interrupts
RESET, LINK_UP = 1 << 26, 0x40                                                 # CTRL
UP_AT_A_GIGABIT = 0x83                                                         # STATUS: full duplex, link up, 1000 Mb/s
ENABLE, PROMISCUOUS, ALL_MULTICAST, BROADCAST = 2, 8, 0x10, 0x8000             # RCTL; TCTL has ENABLE, too
EOP, REPORT, EXTENDED, DATA = 1, 8, 0x20, 0x10                                # a transmit descriptor's command and type
DONE = 1                                                                       # any descriptor's status

SIZE = 0x20000          # bytes of registers
_FRAME = 16288          # bytes of the largest frame
_PLAIN = {CTRL, ITR, RCTL, TCTL, RDBAL, RDBAH, RDLEN, RDH, RDT, TDBAL, TDBAH, TDLEN, TDH, TDT}
_MASKS = {RDBAL: ~15, TDBAL: ~15, RDLEN: 0xFFF80, TDLEN: 0xFFF80, **dict.fromkeys((ITR, RDH, RDT, TDH, TDT), 0xFFFF)}
_descriptor = struct.Struct("<QHBBBBH")


class E1000:
    """memory: guest RAM, with read(address, size), write(address, bytes) and size. interrupt(level) drives its line.

    clock() tells virtual nanoseconds. port: its end of the cable (backends/network.py). mac: six bytes.
    """

    name = "e1000"

    def __init__(self, memory, interrupt: Callable[[bool], None], clock: Callable[[], int], port, mac: bytes):
        self._memory, self._interrupt, self._clock, self._port, self._mac = memory, interrupt, clock, port, mac
        self._quiet_until = 0          # moderation: no interrupt before this nanosecond
        self._reset()
        port.connect(self.arrived)

    def _reset(self) -> None:
        self._registers = dict.fromkeys(_PLAIN, 0)
        self._registers[CTRL] = LINK_UP
        self._causes = self._mask = self._eerd = self._mdic = 0
        self._filter = [0] * 160       # MTA (128 words), and RAL and RAH of 16 addresses
        self._filter[128:130] = [int.from_bytes(self._mac[:4], "little"),
                                 int.from_bytes(self._mac[4:], "little") | 1 << 31]
        self._frame = bytearray()      # of descriptors without EOP
        self._line = False
        self._interrupt(False)

    # ------------------------------------------------------------------------------------------- registers
    def read(self, offset: int, size: int) -> int:
        register = offset & ~3
        return self._read(register) >> (offset & 3) * 8

    def _read(self, register: int) -> int:
        if register == ICR:
            causes, self._causes = self._causes, 0
            self._update()
            return causes | (1 << 31 if causes & self._mask else 0)
        if register == STATUS:
            return UP_AT_A_GIGABIT
        if register in (IMS, IMC):
            return self._mask
        if register == EERD:
            return self._eerd
        if register == MDIC:
            return self._mdic
        index = self._filter_index(register)
        return self._registers.get(register, 0) if index is None else self._filter[index]

    def write(self, offset: int, size: int, value: int) -> None:
        if offset & 3 or size != 4:
            return                     # registers are written whole
        if offset == CTRL and value & RESET:
            self._reset()
        elif offset == ICR:            # a one clears its cause
            self._causes &= ~value
        elif offset == ICS:
            self._causes |= value & 0x1FFFF
        elif offset == IMS:
            self._mask |= value & 0x1FFFF
        elif offset == IMC:
            self._mask &= ~value
        elif offset == EERD and value & 1:
            self._eerd = value & 0xFF00 | self._eeprom(value >> 8 & 0xFF) << 16 | 0x10
        elif offset == MDIC:           # the PHY has nothing to say
            self._mdic = value & ~(1 << 30) | 1 << 28
        elif offset in _PLAIN:
            self._registers[offset] = value & _MASKS.get(offset, 0xFFFFFFFF)
        else:
            index = self._filter_index(offset)
            if index is not None:
                self._filter[index] = value
        self._update()
        if offset in (TDT, TCTL):
            self._transmit()
        elif offset in (RDT, RCTL):
            self.arrived()

    @staticmethod
    def _filter_index(register: int) -> int | None:
        if MTA <= register < MTA + 512:
            return (register - MTA) // 4
        return 128 + (register - RA) // 4 if RA <= register < RA + 128 else None

    def _eeprom(self, word: int) -> int:
        words = [*struct.unpack("<3H", self._mac), *[0] * 61]
        words[63] = 0xBABA - sum(words) & 0xFFFF
        return words[word & 63]

    # ------------------------------------------------------------------------------------------- interrupts
    def _raise(self, causes: int) -> None:
        self._causes |= causes
        self._update()

    def _update(self) -> None:
        """The line is up while a cause is there that the mask lets through, and moderation has let it rise."""
        wanted = bool(self._causes & self._mask)
        if wanted and not self._line:
            now = self._clock()
            if now < self._quiet_until:
                return
            self._quiet_until = now + self._registers[ITR] * 256
        if wanted != self._line:
            self._line = wanted
            self._interrupt(wanted)

    def next_event(self) -> int | None:
        """The virtual nanosecond at which a moderated interrupt is due, or None."""
        return self._quiet_until if self._causes & self._mask and not self._line else None

    def advance(self) -> None:
        """Virtual time has passed."""
        self._update()

    # ------------------------------------------------------------------------------------------- rings
    def _ring(self, base: int, length: int, head: int) -> int:
        """The address of the descriptor at the head, which is put back to 0 where the guest has left it outside."""
        registers = self._registers
        if registers[head] >= registers[length] // 16:
            registers[head] = 0
        return registers[base] | registers[base + 4] << 32

    def _load(self, address: int, size: int) -> bytes:
        return self._memory.read(address, size) if address + size <= self._memory.size else b"\xff" * size

    def _store(self, address: int, data: bytes) -> None:
        if address + len(data) <= self._memory.size:      # elsewhere nobody answers
            self._memory.write(address, data)

    def _advance_head(self, length: int, head: int) -> None:
        self._registers[head] = (self._registers[head] + 1) % (self._registers[length] // 16)

    def _transmit(self) -> None:
        registers, causes = self._registers, 0
        if not registers[TCTL] & ENABLE or not registers[TDLEN]:
            return
        base = self._ring(TDBAL, TDLEN, TDH)
        for _ in range(registers[TDLEN] // 16):
            if registers[TDH] == registers[TDT]:
                break
            at = base + registers[TDH] * 16
            address, length, offset, command, status, start, special = _descriptor.unpack(self._load(at, 16))
            if command & EXTENDED:     # a context is passed over, data sent as it is
                length = (length | (offset & 0xF) << 16) if offset & 0xF0 == DATA else 0
            self._frame += self._load(address, min(length, _FRAME + 1 - len(self._frame)))
            if command & EOP:
                if 0 < len(self._frame) <= _FRAME:
                    self._port.send(bytes(self._frame))
                self._frame.clear()
            if command & REPORT:
                self._store(at + 12, bytes((status | DONE,)))
                causes |= TXDW
            self._advance_head(TDLEN, TDH)
        else:
            return                     # a tail outside the ring: it never meets the head
        self._raise(causes | TXQE)

    def arrived(self) -> None:
        """The network may have frames: take them as long as there are buffers."""
        registers, causes = self._registers, 0
        if not registers[RCTL] & ENABLE or not registers[RDLEN]:
            return
        size = (2048 >> (registers[RCTL] >> 16 & 3)) * (16 if registers[RCTL] & 1 << 25 else 1)
        base = self._ring(RDBAL, RDLEN, RDH)
        while registers[RDH] != registers[RDT]:
            frame = self._port.receive()
            if frame is None:
                break
            if not self._accepts(frame):
                continue
            frame = frame.ljust(60, b"\0") + bytes(4) * (not registers[RCTL] & 1 << 26)     # padding; a checksum's room
            causes |= RXT0
            while True:                # a frame that is larger than a buffer takes several
                if registers[RDH] == registers[RDT]:
                    causes |= RXO
                    break
                at, part, frame = base + registers[RDH] * 16, frame[:size], frame[size:]
                address = int.from_bytes(self._load(at, 8), "little")
                self._store(address, part)
                self._store(at + 8, struct.pack("<HHBBH", len(part), 0, DONE if frame else DONE | 2, 0, 0))
                self._advance_head(RDLEN, RDH)
                if not frame:
                    break
        if causes:
            entries = registers[RDLEN] // 16
            if (registers[RDT] - registers[RDH]) % entries <= entries >> 1 + (registers[RCTL] >> 8 & 3):
                causes |= RXDMT0       # few buffers are left
            self._raise(causes)

    def _accepts(self, frame: bytes) -> bool:
        control, to = self._registers[RCTL], frame[:6]
        if control & PROMISCUOUS or to == b"\xff" * 6 and control & BROADCAST:
            return True
        if to[:1] and to[0] & 1:
            hashed = (to[4] >> 4 | to[5] << 4) & 0xFFF
            return bool(control & ALL_MULTICAST or self._filter[hashed >> 5] >> (hashed & 31) & 1)
        return any(high >> 31 and to == struct.pack("<IH", low, high & 0xFFFF)
                   for low, high in zip(self._filter[128::2], self._filter[129::2]))
