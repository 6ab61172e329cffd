"""The channel subsystem: subchannels, and what each I/O instruction does to one (PoP, chapters 13, 14 and 17).

Methods take the subsystem-identification word (the low half of general register 1) and return the condition code;
they raise OperandError where the architecture has an operand exception. A program runs to its end within `start`,
unless its device waits; the interruption is then pending.
"""
from __future__ import annotations

import struct
from typing import NamedTuple

from pvlab.devices.channel import formats as f
from pvlab.devices.channel.device import Device
from pvlab.devices.channel.formats import Orb, Pmcw, Scsw
from pvlab.devices.channel.program import Program, State, Storage

SCHIB_SIZE, IRB_SIZE, ORB_SIZE = 52, 64, 12
_CHPID = 0x40


class OperandError(Exception):
    """An operand exception: a word that must not look as it does."""


class IoInterruption(NamedTuple):
    """What a CPU is told: subsystem-identification word, interruption parameter, interruption-identification word."""

    sid: int
    parameter: int
    word: int


class Subchannel:
    """One subchannel and its device. `number` counts from 0, `device_number` is the guest's name for the device."""

    def __init__(self, number: int, device_number: int, device: Device):
        self.number, self.device_number, self.device = number, device_number, device
        self.pmcw, self.scsw = Pmcw(device_number, _CHPID), Scsw()
        self.program: Program | None = None
        self.interruption = False        # an interruption request that no CPU has taken yet

    @property
    def pending(self) -> bool:
        return bool(self.scsw.control & f.S_PENDING)

    @property
    def busy(self) -> bool:
        """A function is in progress, or its status has not been seen."""
        return bool(self.scsw.control & f.FUNCTIONS)

    def present(self, status: int) -> None:
        """Status becomes pending, and asks for an interruption."""
        self.scsw.control = self.scsw.control & ~f.STATUS | status | f.S_PENDING
        self.interruption = True


class ChannelSubsystem:
    """All subchannels of a machine, over its absolute storage."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._subchannels: dict[int, Subchannel] = {}
        self.steps = self.moved = 0      # CCWs fetched, and bytes moved, by all programs

    def attach(self, device_number: int, device: Device) -> Subchannel:
        """Give a device the next subchannel."""
        subchannel = Subchannel(len(self._subchannels), device_number, device)
        self._subchannels[subchannel.number] = subchannel
        if hasattr(device, "attention"):
            device.attention = lambda: self._attention(subchannel)
        return subchannel

    def __iter__(self):
        return iter(self._subchannels.values())

    def by_device_number(self, device_number: int) -> Subchannel | None:
        return next((each for each in self if each.device_number == device_number), None)

    def reset(self) -> None:
        """An I/O system reset: as after power-on."""
        for each in self:
            each.pmcw, each.scsw = Pmcw(each.device_number, _CHPID), Scsw()
            each.program, each.interruption = None, False

    # ------------------------------------------------------------------------------------------ instructions
    def store(self, word: int) -> tuple[int, bytes]:
        """STORE SUBCHANNEL: condition code and SCHIB; code 3 where there is no such subchannel."""
        subchannel = self._find(word)
        if subchannel is None:
            return 3, b""
        return 0, subchannel.pmcw.pack() + subchannel.scsw.pack() + bytes(SCHIB_SIZE - 40)

    def modify(self, word: int, schib: bytes) -> int:
        """MODIFY SUBCHANNEL."""
        subchannel = self._find(word)
        if not Pmcw.modifiable(schib):
            raise OperandError("reserved bits of a PMCW are not zero")
        if subchannel is None:
            return 3
        if subchannel.pending:
            return 1
        if subchannel.busy:
            return 2
        subchannel.pmcw.modify(schib)
        return 0

    def start(self, word: int, orb: bytes) -> int:
        """START SUBCHANNEL."""
        subchannel, request = self._find(word), Orb.parse(orb)
        if not request.valid():
            raise OperandError("reserved bits of an ORB are not zero")
        if subchannel is None or not subchannel.pmcw.enabled:
            return 3
        if subchannel.pending:
            return 1
        if subchannel.busy:
            return 2
        if not request.path_mask & subchannel.pmcw.lpm & subchannel.pmcw.pam:
            return 3
        subchannel.pmcw.parameter, subchannel.pmcw.lpum = request.parameter, 0x80
        subchannel.scsw = scsw = Scsw()
        scsw.flags = request.control & 0xF8F8        # key, S, and F, P, I, A, U
        scsw.control = f.F_START
        subchannel.program = Program(self._storage, subchannel.device, request)
        self._go_on(subchannel)
        return 0

    def test(self, word: int) -> tuple[int, bytes]:
        """TEST SUBCHANNEL: condition code and IRB; the status is then no longer pending."""
        subchannel = self._find(word)
        if subchannel is None or not subchannel.pmcw.enabled:
            return 3, b""
        scsw, esw, ecw = subchannel.scsw, [0] * 5, bytes(32)
        pending, control = subchannel.pending, scsw.control
        flags = scsw.flags
        if pending:
            esw[0] = 0x00800000                      # the last path used
            if scsw.device_status & f.UNIT_CHECK and subchannel.pmcw.characteristics & Pmcw.CONCURRENT_SENSE:
                device = subchannel.device
                ecw, device.sense = device.sense.ljust(32, b"\0"), bytes(device.sense_size)
                esw[1] = 0x01000000 | device.sense_size << 16
                scsw.flags |= 0x0402                 # E: extended control; L: extended status word
        irb = scsw.pack() + struct.pack(">5I", *esw) + ecw
        if pending:
            self._seen(subchannel, control, flags)
        return 0 if pending else 1, irb

    def halt(self, word: int) -> int:
        """HALT SUBCHANNEL: the device is told to stop; what it had begun ends."""
        subchannel = self._enabled(word)
        if subchannel is None:
            return 3
        scsw, status = subchannel.scsw, subchannel.scsw.control & f.STATUS
        if subchannel.pending and (status == f.S_PENDING or status & (f.S_ALERT | f.S_PRIMARY | f.S_SECONDARY)):
            return 1
        if scsw.control & (f.F_HALT | f.F_CLEAR):
            return 2
        if subchannel.program is not None and not scsw.control & f.A_SUSPENDED:
            scsw.device_status = f.DEVICE_END
        subchannel.program = None
        scsw.control = scsw.control & ~(f.ACTIVITIES | f.STATUS) | f.F_HALT
        subchannel.present(0)
        return 0

    def clear(self, word: int) -> int:
        """CLEAR SUBCHANNEL: whatever the subchannel did is forgotten."""
        subchannel = self._enabled(word)
        if subchannel is None:
            return 3
        subchannel.program, subchannel.scsw = None, Scsw()
        subchannel.scsw.control = f.F_CLEAR
        subchannel.device.sense = bytes(subchannel.device.sense_size)
        subchannel.present(0)
        return 0

    def cancel(self, word: int) -> int:
        """CANCEL SUBCHANNEL: there is never a start function here that has not begun."""
        subchannel = self._enabled(word)
        if subchannel is None:
            return 3
        return 1 if subchannel.pending else 2

    def resume(self, word: int) -> int:
        """RESUME SUBCHANNEL: a suspended program goes on at the CCW where it stopped."""
        subchannel = self._enabled(word)
        if subchannel is None:
            return 3
        if subchannel.pending:
            return 1
        if subchannel.scsw.control & (f.FUNCTIONS | f.A_SUSPENDED) != f.F_START | f.A_SUSPENDED:
            return 2
        self._go_on(subchannel)
        return 0

    # ----------------------------------------------------------------------------------------- interruptions
    def take(self, classes: int = 0xFF) -> IoInterruption | None:
        """The pending interruption of highest priority among these subclasses (0x80: ISC 0), and it is taken:
        by the interruption itself, or by TEST PENDING INTERRUPTION."""
        subchannel = self._next(classes)
        if subchannel is None:
            return None
        subchannel.interruption = False
        return IoInterruption(0x10000 | subchannel.number, subchannel.pmcw.parameter, subchannel.pmcw.isc << 27)

    def pending(self, classes: int = 0xFF) -> bool:
        return self._next(classes) is not None

    def _next(self, classes: int) -> Subchannel | None:
        asking = [each for each in self if each.interruption and 0x80 >> each.pmcw.isc & classes]
        return min(asking, key=lambda each: (each.pmcw.isc, each.number), default=None)

    # --------------------------------------------------------------------------------------------- inside
    def _find(self, word: int) -> Subchannel | None:
        """The subchannel that a subsystem-identification word names: 0001 and a number, in channel subsystem 0."""
        if word & 0xFFF90000 != 0x00010000:      # the multiple-channel-subsystems facility is not provided
            raise OperandError(f"{word & 0xFFFFFFFF:#010x} is no subsystem-identification word")
        return None if word & 0x00060000 else self._subchannels.get(word & 0xFFFF)

    def _enabled(self, word: int) -> Subchannel | None:
        subchannel = self._find(word)
        return subchannel if subchannel is not None and subchannel.pmcw.enabled else None

    def _go_on(self, subchannel: Subchannel) -> None:
        """Carry the program on, and put into the SCSW how it stands."""
        program, scsw = subchannel.program, subchannel.scsw
        steps, moved = program.steps, program.moved
        state = program.run()
        self.steps, self.moved = self.steps + program.steps - steps, self.moved + program.moved - moved
        scsw.address, scsw.status = program.ended_at, program.status
        scsw.control &= ~(f.ACTIVITIES | f.STATUS)
        if state is State.DONE:
            subchannel.program = None
            scsw.device_status, scsw.count = program.device_status, program.count
            unusual = program.status & ~f.PCI or program.device_status & ~(f.ENDED | f.STATUS_MODIFIER)
            ended = f.S_PRIMARY | f.S_SECONDARY | (f.S_ALERT if unusual else 0)
            subchannel.present(ended | (f.S_INTERMEDIATE if program.status & f.PCI else 0))
        elif state is State.SUSPENDED:
            scsw.control |= f.A_SUSPENDED
            if program.status & f.PCI or not scsw.flags & 0x0008:       # U: no interruption for a suspension
                subchannel.present(f.S_INTERMEDIATE)
        else:
            scsw.control |= f.A_SUBCHANNEL | f.A_DEVICE
            if program.status & f.PCI:
                subchannel.present(f.S_INTERMEDIATE)

    def _seen(self, subchannel: Subchannel, control: int, flags: int) -> None:
        """PoP, "Test Subchannel": what storing the pending status clears."""
        scsw = subchannel.scsw
        subchannel.interruption = False
        scsw.flags = flags
        if control & f.STATUS == f.S_INTERMEDIATE | f.S_PENDING:
            scsw.control &= ~f.STATUS
            scsw.status &= ~f.PCI
            if subchannel.program is not None:
                subchannel.program.status &= ~f.PCI
        else:
            scsw.control = scsw.device_status = scsw.status = 0

    def _attention(self, subchannel: Subchannel) -> None:
        """The device's operator asks for the program."""
        if subchannel.program is not None and subchannel.program.state is State.WAITING:
            self._go_on(subchannel)
        elif subchannel.pmcw.enabled and not subchannel.busy and not subchannel.pending:
            subchannel.scsw = Scsw()
            subchannel.scsw.device_status = f.ATTENTION
            subchannel.present(f.S_ALERT)
