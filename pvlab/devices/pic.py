"""The PC's interrupt controller: two 8259As, the second behind the first's line 2 (Intel 8259A data sheet, 1988)."""
from __future__ import annotations


class Pic:
    """One 8259A: eight edge-triggered lines with fixed priorities, line 0 highest.

    irr: lines that ask; imr: lines that are masked; isr: lines being served, until an EOI.
    """

    name = "pic"

    def __init__(self, base_port: int):
        self.base_port = base_port
        self.irr, self.imr, self.isr, self.offset = 0, 0xFF, 0, 0
        self._initialising, self._needs_icw4, self._auto_eoi, self._read_isr = 0, False, False, False

    def highest(self) -> int | None:
        """The line to be served now, or None: unmasked, and above every line in service."""
        asking = self.irr & ~self.imr
        if not asking:
            return None
        first, served = asking & -asking, self.isr & -self.isr
        return first.bit_length() - 1 if not served or first < served else None

    def acknowledge(self, line: int) -> None:
        self.irr &= ~(1 << line)
        if not self._auto_eoi:
            self.isr |= 1 << line

    def read(self, port: int, size: int) -> int:
        if port != self.base_port:
            return self.imr
        return self.isr if self._read_isr else self.irr

    def write(self, port: int, size: int, value: int) -> None:
        value &= 0xFF
        if port != self.base_port:
            self._write_data(value)
        elif value & 0x10:                       # ICW1: begin to initialise
            self.irr, self.imr, self.isr = 0, 0, 0
            self._initialising, self._needs_icw4 = 2, bool(value & 1)
            self._auto_eoi = self._read_isr = False
        elif value & 0x08:                       # OCW3: which register the next read shows
            if value & 2:
                self._read_isr = bool(value & 1)
        elif value & 0x20:                       # OCW2: end of interrupt
            served = self.isr & (1 << (value & 7)) if value & 0x40 else self.isr & -self.isr
            self.isr &= ~served

    def _write_data(self, value: int) -> None:
        if self._initialising == 2:              # ICW2: the vector of line 0
            self.offset, self._initialising = value & 0xF8, 3
        elif self._initialising == 3:            # ICW3: how the two are wired, which is fixed here
            self._initialising = 4 if self._needs_icw4 else 0
        elif self._initialising == 4:            # ICW4
            self._auto_eoi, self._initialising = bool(value & 2), 0
        else:                                    # OCW1: the mask
            self.imr = value


class PicPair:
    """Lines 0-15. `pending()` says whether the CPU's INTR pin is up; `acknowledge()` is its INTA cycle."""

    def __init__(self):
        self.primary, self.secondary = Pic(0x20), Pic(0xA0)

    def attach(self, ports) -> None:
        ports.attach(self.primary, 0x20, 0x21)
        ports.attach(self.secondary, 0xA0, 0xA1)

    def raise_line(self, line: int) -> None:
        chip = self.primary if line < 8 else self.secondary
        chip.irr |= 1 << (line & 7)

    def pending(self) -> bool:
        self._cascade()
        return self.primary.highest() is not None

    def acknowledge(self) -> int:
        """The vector of the highest pending line, which is now in service."""
        self._cascade()
        line = self.primary.highest()
        if line is None:
            return self.primary.offset + 7       # a spurious interrupt, as the data sheet has it
        self.primary.acknowledge(line)
        if line != 2:
            return self.primary.offset + line
        behind = self.secondary.highest()
        if behind is None:
            return self.secondary.offset + 7
        self.secondary.acknowledge(behind)
        return self.secondary.offset + behind

    def _cascade(self) -> None:
        if self.secondary.highest() is not None:
            self.primary.irr |= 4
        else:
            self.primary.irr &= ~4
