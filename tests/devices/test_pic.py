"""The 8259A interrupt controllers: who may interrupt, and who is interrupted by whom.

A CPU has one interrupt pin and a PC has fifteen devices. The two chips between them queue what was asked for, hold
back what is masked or less urgent than what is being served, and tell the CPU a vector. A kernel programs them with a
sequence of bytes at two addresses whose meaning depends on what came before, which makes them the favourite example
of what an emulated device costs: one masked interrupt is several exits. What the chip does is Intel's data sheet of
1988; the parts that no guest of the course uses (rotating priorities, polling, special mask mode, level triggering)
are left out.
"""
import pytest

from pvlab.devices.pc import Pc

COMMAND, MASK, COMMAND2, MASK2 = 0x20, 0x21, 0xA0, 0xA1
EOI, READ_IRR, READ_ISR = 0x20, 0x0A, 0x0B


class Board:
    """A PC whose interrupt controllers have been set up, as every kernel sets them up: vectors 0x20 to 0x2F."""

    def __init__(self, icw4=1, masks=(0, 0)):
        self.pc = Pc(lambda: 0)
        self.pic = self.pc.pic
        for command, data, vector, wiring in ((COMMAND, MASK, 0x20, 4), (COMMAND2, MASK2, 0x28, 2)):
            self.out(command, 0x11)
            for value in (vector, wiring, icw4):
                self.out(data, value)
        self.out(MASK, masks[0])
        self.out(MASK2, masks[1])

    def out(self, port, value):
        self.pc.ports.write(port, 1, value)

    def read(self, port):
        return self.pc.ports.read(port, 1)

    def ask(self, *lines):
        for line in lines:
            self.pic.raise_line(line)

    def serve(self):
        """Take interrupts until none is pending that may come, and give their vectors."""
        taken = []
        while self.pic.pending():
            taken.append(self.pic.acknowledge())
        return taken


def test_after_reset_everything_is_masked():
    pic = Pc(lambda: 0).pic
    pic.raise_line(0)
    pic.raise_line(8)
    assert not pic.pending()


# ------------------------------------------------------------------------------------- initialisation
VECTORS = [(0x20, 0, 0x20), (0x20, 7, 0x27), (0x08, 0, 0x08), (0xF8, 3, 0xFB), (0x23, 1, 0x21), (0xFF, 0, 0xF8)]


@pytest.mark.parametrize("icw2, line, vector", VECTORS)
def test_the_second_word_is_the_vector_of_line_0_and_has_five_bits(icw2, line, vector):
    board = Board()
    for port, value in ((COMMAND, 0x11), (MASK, icw2), (MASK, 4), (MASK, 1), (MASK, 0)):
        board.out(port, value)
    board.ask(line)
    assert board.serve() == [vector]


def test_without_a_fourth_word_the_next_byte_is_the_mask():
    """Bit 0 of the first word says whether there are four words or three."""
    board = Board()
    for port, value in ((COMMAND, 0x10), (MASK, 0x20), (MASK, 4), (MASK, 0xFE)):
        board.out(port, value)
    assert board.read(MASK) == 0xFE


def test_initialisation_forgets_what_was_asked_and_served_and_opens_the_mask():
    board = Board(masks=(0xFC, 0xFF))
    board.ask(0)
    assert board.serve() == [0x20]
    board.ask(1)
    for port, value in ((COMMAND, 0x11), (MASK, 0x40), (MASK, 4), (MASK, 1)):
        board.out(port, value)
    assert (board.read(MASK), board.read(COMMAND)) == (0, 0)
    assert not board.pic.pending()
    board.ask(3)
    assert board.serve() == [0x43]


def test_initialisation_makes_reads_show_requests_again():
    """The data sheet's list for ICW1: "status read is set to IRR"."""
    board = Board()
    board.out(COMMAND, READ_ISR)
    board.ask(0)
    board.serve()
    assert board.read(COMMAND) == 1
    for port, value in ((COMMAND, 0x11), (MASK, 0x20), (MASK, 4), (MASK, 1)):
        board.out(port, value)
    board.ask(1)
    assert board.read(COMMAND) == 2


def test_initialisation_without_a_fourth_word_switches_automatic_eoi_off():
    """The same list: "if IC4 = 0, then all functions selected in ICW4 are set to zero"."""
    board = Board(icw4=3)
    for port, value in ((COMMAND, 0x10), (MASK, 0x20), (MASK, 4)):
        board.out(port, value)
    board.ask(0)
    board.serve()
    board.out(COMMAND, READ_ISR)
    assert board.read(COMMAND) == 1


def test_a_sequence_can_be_begun_again_in_the_middle():
    board = Board()
    board.out(COMMAND, 0x11)
    board.out(MASK, 0x50)
    for port, value in ((COMMAND, 0x11), (MASK, 0x60), (MASK, 4), (MASK, 1)):
        board.out(port, value)
    board.ask(0)
    assert board.serve() == [0x60]


# ------------------------------------------------------------------------------------- masks and priorities
@pytest.mark.parametrize("mask", [0x00, 0x01, 0xFE, 0xAA, 0xFF])
def test_the_mask_is_what_was_written_and_holds_requests_back(mask):
    board = Board()
    board.out(MASK, mask)
    assert board.read(MASK) == mask
    board.ask(0)
    assert board.pic.pending() is not bool(mask & 1)
    board.out(MASK, 0)
    assert board.serve() == [0x20], "a masked request is kept, not lost"


PRIORITIES = [  # lines in the order in which they ask; vectors served, one EOI after each
    ((0,), [0x20]), ((7, 0), [0x20, 0x27]), ((3, 1, 6), [0x21, 0x23, 0x26]),
    ((8, 0), [0x20, 0x28]), ((8, 3), [0x28, 0x23]), ((15, 8, 12), [0x28, 0x2C, 0x2F]),
    ((7, 15, 1, 8, 3), [0x21, 0x28, 0x2F, 0x23, 0x27]),
]


@pytest.mark.parametrize("lines, expected", PRIORITIES)
def test_the_lowest_line_is_served_first_and_the_second_chip_in_the_place_of_line_2(lines, expected):
    board = Board()
    board.ask(*lines)
    taken = []
    while board.pic.pending():
        vector = board.pic.acknowledge()
        taken.append(vector)
        if vector >= 0x28:
            board.out(COMMAND2, EOI)
        board.out(COMMAND, EOI)
    assert taken == expected


NESTING = [    # line in service, line that asks: may it interrupt?
    (3, 0, True), (3, 3, False), (3, 4, False), (0, 1, False), (3, 8, True), (1, 8, False),
    (8, 8, False), (8, 9, False), (8, 0, True), (8, 1, True), (8, 3, False), (12, 7, False),
]


@pytest.mark.parametrize("served, asking, may", NESTING)
def test_only_a_more_urgent_line_interrupts_one_in_service(served, asking, may):
    board = Board()
    board.ask(served)
    assert board.serve() == [0x20 + served]
    board.ask(asking)
    assert board.pic.pending() is may
    if may:
        assert board.pic.acknowledge() == 0x20 + asking


def test_a_line_that_asks_while_it_is_served_comes_again_after_the_eoi():
    board = Board()
    board.ask(0)
    assert board.serve() == [0x20]
    board.ask(0)
    assert board.serve() == []
    board.out(COMMAND, EOI)
    assert board.serve() == [0x20]


def test_two_requests_of_one_line_are_one():
    board = Board()
    board.ask(4, 4, 4)
    assert board.serve() == [0x24]
    board.out(COMMAND, EOI)
    assert board.serve() == []


# ------------------------------------------------------------------------------------- end of interrupt
def test_an_eoi_ends_the_most_urgent_line_in_service():
    board = Board()
    board.ask(5)
    board.serve()
    board.ask(1)
    board.serve()
    board.out(COMMAND, READ_ISR)
    assert board.read(COMMAND) == 0b100010
    board.out(COMMAND, EOI)
    assert board.read(COMMAND) == 0b100000
    board.out(COMMAND, EOI)
    assert board.read(COMMAND) == 0
    board.out(COMMAND, EOI)
    assert board.read(COMMAND) == 0, "one too many does nothing"


@pytest.mark.parametrize("line, left", [(1, 0b100000), (5, 0b000010), (0, 0b100010), (7, 0b100010)])
def test_a_specific_eoi_ends_the_line_that_it_names(line, left):
    board = Board()
    for asking in (5, 1):
        board.ask(asking)
        board.serve()
    board.out(COMMAND, 0x60 | line)
    board.out(COMMAND, READ_ISR)
    assert board.read(COMMAND) == left


def test_an_eoi_to_the_second_chip_is_not_one_to_the_first():
    """The classic mistake of a kernel's first driver: line 2 stays in service, and nothing comes from there."""
    board = Board()
    board.ask(8)
    assert board.serve() == [0x28]
    board.out(COMMAND2, EOI)
    board.ask(9)
    assert board.serve() == []
    board.out(COMMAND, EOI)
    assert board.serve() == [0x29]


def test_automatic_eoi_leaves_nothing_in_service():
    board = Board(icw4=3)
    board.ask(0)
    assert board.serve() == [0x20]
    board.out(COMMAND, READ_ISR)
    assert board.read(COMMAND) == 0
    board.ask(0, 5)
    assert board.serve() == [0x20, 0x25]


# ------------------------------------------------------------------------------------- reads
def test_reads_show_requests_until_the_isr_is_asked_for_and_then_that():
    board = Board(masks=(0xFF, 0xFF))
    board.ask(3, 6)
    assert board.read(COMMAND) == 0b01001000, "masked requests show as well"
    board.out(MASK, 0)
    assert board.pic.acknowledge() == 0x23
    assert board.read(COMMAND) == 0b01000000
    board.out(COMMAND, READ_ISR)
    assert [board.read(COMMAND) for _ in range(2)] == [0b00001000] * 2
    board.out(COMMAND, 0x08)                     # an OCW3 that does not ask: the choice stays
    assert board.read(COMMAND) == 0b00001000
    board.out(COMMAND, READ_IRR)
    assert board.read(COMMAND) == 0b01000000


def test_each_chip_is_read_at_its_own_address():
    board = Board(masks=(0xFF, 0xFF))
    board.ask(1, 9, 14)
    assert (board.read(COMMAND), board.read(COMMAND2)) == (0b10, 0b01000010)
    assert (board.read(MASK), board.read(MASK2)) == (0xFF, 0xFF)


def test_the_second_chip_asks_by_line_2_of_the_first():
    board = Board()
    board.ask(10)
    assert board.pic.pending()
    assert board.read(COMMAND) == 0b100
    assert board.pic.acknowledge() == 0x2A
    board.out(COMMAND, READ_ISR)
    board.out(COMMAND2, READ_ISR)
    assert (board.read(COMMAND), board.read(COMMAND2)) == (0b100, 0b100)


def test_a_masked_line_2_keeps_the_second_chip_out():
    board = Board(masks=(0b100, 0))
    board.ask(8)
    assert not board.pic.pending()
    board.out(MASK, 0)
    assert board.serve() == [0x28]


# ------------------------------------------------------------------------------------- spurious interrupts
def test_an_acknowledge_without_a_request_is_line_7_and_nothing_is_in_service():
    """The device took its request back before the CPU answered: the chip has to say something, and says 7."""
    board = Board()
    assert board.pic.acknowledge() == 0x27
    board.out(COMMAND, READ_ISR)
    assert board.read(COMMAND) == 0


def test_a_request_that_is_masked_between_pin_and_acknowledge_is_spurious():
    board = Board()
    board.ask(4)
    assert board.pic.pending()
    board.out(MASK, 0x10)
    assert board.pic.acknowledge() == 0x27
    board.out(MASK, 0)
    assert board.serve() == [0x24]


# ------------------------------------------------------------------------------------- a wide access
def test_of_a_word_the_chip_sees_the_low_byte():
    board = Board()
    board.pc.ports.write(MASK, 2, 0xABCD)
    assert board.read(MASK) == 0xCD
    assert board.pc.ports.read(MASK, 2) == 0xCD
