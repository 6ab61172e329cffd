"""The 8254 timer: where a guest's time comes from.

Its crystal is a third of the colour carrier of American television, 1,193,182 Hz, and a count is therefore 838.1
nanoseconds. Virtual time is counted in whole nanoseconds, so each tick falls between two of them: rounded once it is
a nanosecond late, rounded at each tick it would be late by seconds in an hour. The lab computes every tick from the
first, and these tests hold a million of them against exact arithmetic. The chip's modes and its access by halves are
Intel's data sheet of 1993; of the three channels only the first has a wire to anywhere.
"""
from fractions import Fraction

import pytest

from pvlab.devices.pit import HERTZ, Pit

COUNT = Fraction(10**9, HERTZ)           # nanoseconds
CHANNEL, CONTROL = 0x40, 0x43
ONCE, RATE, SQUARE = 0x30, 0x34, 0x36    # control words of channel 0, both bytes: modes 0, 2 and 3


class Timer:
    """A timer with a clock that tests move by hand."""

    def __init__(self, start=0):
        self.now, self.ticks = start, []
        self.pit = Pit(lambda: self.now, lambda: self.ticks.append(self.now))

    def out(self, port, *values):
        for value in values:
            self.pit.write(port, 1, value)

    def program(self, control, count):
        self.out(CONTROL, control)
        self.out(CHANNEL, count & 0xFF, count >> 8)

    def at(self, now):
        self.now = now
        self.pit.advance()
        return self

    def read(self, port=CHANNEL):
        return self.pit.read(port, 1)

    def count(self):
        return self.read() | self.read() << 8


def nanosecond(counts):
    """The first whole nanosecond at which so many counts have passed."""
    return -(-counts * 10**9 // HERTZ)


def test_a_timer_that_nobody_set_does_not_tick():
    timer = Timer()
    assert timer.pit.next_event() is None
    assert timer.at(10**12).ticks == []


# ------------------------------------------------------------------------------------- ticks
@pytest.mark.parametrize("control", [RATE, SQUARE], ids=["mode 2", "mode 3"])
@pytest.mark.parametrize("count", [2, 3, 1000, 1193, 11932, 0xFFFF])
@pytest.mark.parametrize("start", [0, 12345])
def test_a_periodic_timer_ticks_at_whole_multiples_of_its_count(control, count, start):
    timer = Timer(start)
    timer.program(control, count)
    for tick in range(1, 100):
        due = start + nanosecond(tick * count)
        assert timer.pit.next_event() == due
        assert len(timer.at(due - 1).ticks) == tick - 1, "not a nanosecond early"
        assert len(timer.at(due).ticks) == tick


def test_a_million_ticks_do_not_drift():
    timer = Timer()
    timer.program(RATE, 1193)            # what Linux and others use for 1,000 ticks a second
    for _ in range(1_000_000):
        timer.at(timer.pit.next_event())
    assert len(timer.ticks) == 1_000_000
    assert timer.ticks[-1] == nanosecond(1193 * 1_000_000)
    exact = 1193 * COUNT
    assert all(0 <= timer.ticks[i] - (i + 1) * exact < 1 for i in range(0, 1_000_000, 997))
    assert len({after - before for before, after in zip(timer.ticks, timer.ticks[1:])}) == 2, "periods of two lengths"


def test_a_guest_that_was_busy_gets_one_tick_for_all_it_missed_and_the_next_in_time():
    timer = Timer()
    timer.program(RATE, 1000)
    timer.at(nanosecond(7500))
    assert len(timer.ticks) == 1
    assert timer.pit.next_event() == nanosecond(8000)


@pytest.mark.parametrize("count", [1, 2, 1000, 0xFFFF])
def test_mode_0_ticks_once(count):
    timer = Timer(777)
    timer.program(ONCE, count)
    due = 777 + nanosecond(count)
    assert timer.pit.next_event() == due
    assert timer.at(due - 1).ticks == []
    assert timer.at(due).ticks == [due]
    assert timer.pit.next_event() is None
    assert timer.at(due + 10**12).ticks == [due]


@pytest.mark.parametrize("control", [ONCE, RATE], ids=["mode 0", "mode 2"])
def test_a_count_of_zero_is_65536(control):
    timer = Timer()
    timer.program(control, 0)
    assert timer.pit.next_event() == nanosecond(65536) == 54_925_402      # 18.2 times a second: the clock of MS-DOS


def test_a_new_count_begins_a_new_period():
    timer = Timer()
    timer.program(RATE, 1000)
    timer.now = 5000
    timer.program(RATE, 50)
    assert timer.pit.next_event() == 5000 + nanosecond(50)


def test_a_control_word_stops_the_timer_until_a_count_is_written():
    timer = Timer()
    timer.program(RATE, 1000)
    timer.out(CONTROL, RATE)
    assert timer.pit.next_event() is None
    timer.out(CHANNEL, 0xE8)
    assert timer.pit.next_event() is None, "half a count is none"
    timer.out(CHANNEL, 0x03)
    assert timer.pit.next_event() == nanosecond(1000)


MODES = [(0x30, False), (0x34, True), (0x36, True), (0x3C, True), (0x3E, True)]    # 0x3C, 0x3E: 2 and 3 again


@pytest.mark.parametrize("control, periodic", MODES)
def test_two_mode_numbers_have_two_encodings(control, periodic):
    timer = Timer()
    timer.program(control, 100)
    timer.at(timer.pit.next_event())
    assert (timer.pit.next_event() is not None) is periodic


# ------------------------------------------------------------------------------------- halves
ACCESS = [     # control word, bytes written, the count that this makes
    (0x34, (0x34, 0x12), 0x1234), (0x14, (0x34,), 0x34), (0x24, (0x12,), 0x1200), (0x14, (0,), 0x10000),
    (0x24, (0,), 0x10000),
]


@pytest.mark.parametrize("control, values, count", ACCESS)
def test_a_count_is_written_as_low_byte_high_byte_or_both(control, values, count):
    timer = Timer()
    timer.out(CONTROL, control)
    timer.out(CHANNEL, *values)
    assert timer.pit.next_event() == nanosecond(count)


READS = [(0x34, [0xE8, 0x03, 0xE8, 0x03]), (0x14, [0xE8, 0xE8]), (0x24, [0x03, 0x03])]


@pytest.mark.parametrize("control, expected", READS)
def test_a_count_is_read_in_the_same_way(control, expected):
    timer = Timer()
    timer.program(0x34, 1000)
    if control != 0x34:
        timer.out(CONTROL, control)
        timer.out(CHANNEL, {0x14: 0xE8, 0x24: 0x03}[control])
    assert [timer.read() for _ in expected] == expected


@pytest.mark.parametrize("passed", [0, 1, 10, 999, 1000, 1001, 123456])
def test_the_count_runs_down_and_begins_again(passed):
    timer = Timer()
    timer.program(RATE, 1000)
    timer.now = nanosecond(passed)
    assert timer.count() == 1000 - passed % 1000


# ------------------------------------------------------------------------------------- latch
def test_a_latched_count_stands_still_until_it_is_read():
    timer = Timer()
    timer.program(RATE, 1000)
    timer.now = nanosecond(100)
    timer.out(CONTROL, 0x00)
    timer.now = nanosecond(300)
    timer.out(CONTROL, 0x00)             # a second latch before the read is ignored
    assert timer.count() == 900
    assert timer.count() == 700


def test_a_read_by_halves_does_not_tear():
    """Between the two bytes the count may pass a boundary: 0x0100 and 0x00FF would make 0x0000 or 0x01FF."""
    timer = Timer()
    timer.program(RATE, 0x1000)
    timer.now = nanosecond(0x1000 - 0x100)
    timer.out(CONTROL, 0x00)
    low = timer.read()
    timer.now += 1000
    assert low | timer.read() << 8 == 0x100


def test_the_other_channels_count_and_interrupt_nobody():
    timer = Timer()
    timer.out(CONTROL, 0xB4)             # channel 2, mode 2, both bytes: the loudspeaker's
    timer.out(0x42, 0xE8, 0x03)
    assert timer.pit.next_event() is None
    timer.now = nanosecond(1)
    assert timer.read(0x42) | timer.read(0x42) << 8 == 999
    assert timer.at(10**9).ticks == []


def test_a_latch_of_one_channel_is_not_one_of_another():
    timer = Timer()
    timer.program(RATE, 1000)
    timer.out(CONTROL, 0xB4)
    timer.out(0x42, 0xE8, 0x03)
    timer.out(CONTROL, 0x80)             # latch channel 2
    timer.now = nanosecond(10)
    assert timer.count() == 990
    assert timer.read(0x42) | timer.read(0x42) << 8 == 1000


def test_the_control_register_cannot_be_read():
    assert Timer().read(CONTROL) == 0xFF
