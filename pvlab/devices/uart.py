"""A 16550A UART: a serial port, as drivers for the PC's COM1 expect it (National PC16550D data sheet, 1995).

It sends at once, whatever the divisor says: the line is as fast as the guest. Parity, break and modem lines that change
are not modelled; the other end is always there (DCD, DSR and CTS are set).
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(8)          # FCR is what is written at IIR
DLAB = 0x80                                                     # LCR: the divisor stands at 0 and 1
RX_INTERRUPT, TX_INTERRUPT, LINE_INTERRUPT = 1, 2, 4            # IER
OUT2, LOOP = 8, 0x10                                            # MCR
READY, OVERRUN, THR_EMPTY, ALL_SENT = 1, 2, 0x20, 0x40          # LSR
NONE, TX, RX, LINE, TIMEOUT = 1, 2, 4, 6, 0xC                   # IIR
_FIFO = 16
_TRIGGERS = (1, 4, 8, 14)


class Uart:
    """Eight registers from `base` on. Sent bytes go to `send(byte)`; `interrupt(level)` drives its line."""

    name = "uart"

    def __init__(self, base: int, send: Callable[[int], None], interrupt: Callable[[bool], None]):
        self._base, self._send, self._interrupt = base, send, interrupt
        self._ier, self._lcr, self._mcr, self._scratch, self._fcr = 0, 0, OUT2, 0, 0
        self._divisor = [12, 0]                                 # 9600 baud
        self._received: deque[int] = deque()
        self._overrun = self._sent = False                      # sent: THR is empty, and IIR has not said so yet

    def receive(self, data: bytes) -> None:
        """Bytes arrive from the other end; what finds no room is lost, and LSR says so."""
        for byte in data:
            if len(self._received) >= (_FIFO if self._fcr & 1 else 1):
                self._overrun = True
            else:
                self._received.append(byte)
        self._update()

    def read(self, port: int, size: int) -> int:
        register = port - self._base
        if register < 2 and self._lcr & DLAB:
            return self._divisor[register]
        if register == DATA:
            value = self._received.popleft() if self._received else 0
        elif register == IIR:
            value = self._cause() | (0xC0 if self._fcr & 1 else 0)
            if value & 0xF == TX:
                self._sent = False
        elif register == LSR:
            value = THR_EMPTY | ALL_SENT | READY * bool(self._received) | OVERRUN * self._overrun
            self._overrun = False
        elif register == MSR:                                   # in loop-back, the modem's outputs are its inputs
            value = (self._mcr & 1) << 5 | (self._mcr & 2) << 3 | (self._mcr & 0xC) << 4 if self._mcr & LOOP else 0xB0
        else:
            return {IER: self._ier, LCR: self._lcr, MCR: self._mcr, SCRATCH: self._scratch}[register]
        self._update()
        return value

    def write(self, port: int, size: int, value: int) -> None:
        register, value = port - self._base, value & 0xFF
        if register < 2 and self._lcr & DLAB:
            self._divisor[register] = value
        elif register == DATA:
            self._transmit(value)
        elif register == IER:
            if value & ~self._ier & TX_INTERRUPT:
                self._sent = True                               # THR is empty when the interrupt is enabled
            self._ier = value & 0xF
        elif register == IIR:                                   # FCR
            if value & 2 or (value ^ self._fcr) & 1:
                self._received.clear()
            self._fcr = value & 0xC9
        elif register == LCR:
            self._lcr = value
        elif register == MCR:
            self._mcr = value & 0x1F
        elif register == SCRATCH:
            self._scratch = value
        self._update()

    def _transmit(self, byte: int) -> None:
        self._sent = False
        self._update()                                          # the line falls, and rises again when it is sent
        if self._mcr & LOOP:
            self.receive(bytes((byte,)))
        else:
            self._send(byte)
        self._sent = True

    def _cause(self) -> int:
        """What IIR shows: the most urgent cause that is enabled."""
        if self._ier & LINE_INTERRUPT and self._overrun:
            return LINE
        if self._ier & RX_INTERRUPT and self._received:
            full = not self._fcr & 1 or len(self._received) >= _TRIGGERS[self._fcr >> 6]
            return RX if full else TIMEOUT
        if self._ier & TX_INTERRUPT and self._sent:
            return TX
        return NONE

    def _update(self) -> None:
        self._interrupt(self._cause() != NONE and bool(self._mcr & OUT2))
