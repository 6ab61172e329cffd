"""The 16550A, register by register (National PC16550D data sheet)."""
import pytest

from pvlab.devices.uart import Uart

BASE = 0x3F8
DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(BASE, BASE + 8)
OUT2, LOOP, DLAB = 8, 0x10, 0x80


class Line:
    def __init__(self):
        self.level, self.rises = False, 0

    def __call__(self, level):
        self.rises += level and not self.level
        self.level = level


class Wired:
    """A UART, what it sent, and its line."""

    def __init__(self):
        self.sent, self.line = bytearray(), Line()
        self.uart = Uart(BASE, self.sent.append, self.line)

    def put(self, *pairs):
        for port, value in pairs:
            self.uart.write(port, 1, value)

    def get(self, port):
        return self.uart.read(port, 1)


@pytest.fixture
def wired():
    return Wired()


def test_bytes_leave_at_once_and_in_order(wired):
    for byte in b"hello":
        assert wired.get(LSR) == 0x60
        wired.put((DATA, byte))
    assert wired.sent == b"hello" and not wired.line.rises


def test_the_divisor_hides_two_registers_and_sends_nothing(wired):
    wired.put((LCR, DLAB | 3), (DATA, 1), (IER, 2))
    assert (wired.get(DATA), wired.get(IER), wired.get(LCR)) == (1, 2, 0x83)
    wired.put((LCR, 3))
    assert (wired.get(IER), wired.get(DATA), wired.sent) == (0, 0, b"")


@pytest.mark.parametrize("port, value, kept", [(SCRATCH, 0xA5, 0xA5), (MCR, 0xFF, 0x1F), (IER, 0xF0, 0)])
def test_registers_keep_what_they_have(wired, port, value, kept):
    wired.put((port, value))
    assert wired.get(port) == kept


def test_a_fifo_says_that_it_is_there(wired):
    assert wired.get(IIR) == 1
    wired.put((IIR, 1))
    assert wired.get(IIR) == 0xC1


def test_received_bytes_interrupt_until_they_are_read(wired):
    wired.put((IIR, 1), (MCR, OUT2), (IER, 1))
    wired.uart.receive(b"ab")
    assert wired.line.level and wired.get(IIR) == 0xC4 and wired.get(LSR) & 1
    assert bytes((wired.get(DATA), wired.get(DATA))) == b"ab"
    assert not wired.line.level and wired.get(IIR) == 0xC1 and not wired.get(LSR) & 1


def test_a_fifo_below_its_trigger_level_reports_a_timeout(wired):
    wired.put((IIR, 0xC1), (IER, 1))
    wired.uart.receive(bytes(13))
    assert wired.get(IIR) == 0xCC
    wired.uart.receive(b"x")
    assert wired.get(IIR) == 0xC4


@pytest.mark.parametrize("fifo, holds", [(0, 1), (1, 16)])
def test_what_finds_no_room_is_lost_and_told_once(wired, fifo, holds):
    wired.put((IIR, fifo), (IER, 5))
    wired.uart.receive(bytes(range(40)))
    assert wired.get(IIR) & 0xF == 6
    assert wired.get(LSR) & 2 and not wired.get(LSR) & 2
    assert [wired.get(DATA) for _ in range(holds)] == list(range(holds)) and not wired.get(LSR) & 1


def test_an_empty_transmitter_interrupts_when_it_is_allowed_to_and_after_each_byte(wired):
    wired.put((IER, 2))
    assert wired.line.rises == 1 and wired.get(IIR) == 2
    assert wired.get(IIR) == 1 and not wired.line.level          # reading it was the answer
    wired.put((DATA, 65))
    assert wired.line.rises == 2
    wired.put((DATA, 66))
    assert wired.line.rises == 3 and wired.sent == b"AB"
    wired.put((IER, 0))
    assert not wired.line.level


def test_out2_is_the_gate_of_the_interrupt(wired):
    wired.put((MCR, 0), (IER, 2))
    assert wired.get(IIR) == 2 and not wired.line.level
    wired.put((IER, 0), (MCR, OUT2), (IER, 2))
    assert wired.line.level


def test_loop_back(wired):
    wired.put((IIR, 1), (MCR, LOOP | 0xF), (DATA, 0x5A))
    assert wired.sent == b"" and wired.get(DATA) == 0x5A
    assert wired.get(MSR) == 0xF0
    wired.put((MCR, LOOP | 0xA))
    assert wired.get(MSR) == 0x90
    wired.put((MCR, 0))
    assert wired.get(MSR) == 0xB0                                # somebody is at the other end
