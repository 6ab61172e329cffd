"""Measured beside published."""
import pytest

from pvlab.figures.dots import _number, ladder

ROWS = [("ATA", 265, None), ("e1000", 6.0, 5.99), ("virtio", 0.00004, 0.0052), ("none", 0, None)]


def test_the_picture_carries_its_numbers_as_text():
    picture = ladder(ROWS, "exits per packet", "What a packet costs", "Published: Maffione 2013.")
    assert picture.png.startswith(b"\x89PNG")
    assert picture.table.text() == """\
What a packet costs
path    measured, exits per packet  published
------  --------------------------  ---------
ATA     265                         –
e1000   6                           5.99
virtio  0.00004                     0.0052
none    0                           –
Published: Maffione 2013."""
    assert picture.alt == ("Dot chart on a logarithmic axis. What a packet costs, exits per packet: ATA 265; "
                           "e1000 6 (published 5.99); virtio 0.00004 (published 0.0052); none 0.")


@pytest.mark.parametrize("value, text", [(0, "0"), (265, "265"), (12345, "12,345"), (6.0, "6"), (5.994, "5.99"),
                                         (0.01041, "0.0104"), (0.00004, "0.00004"), (1.4, "1.4"), (100.0, "100")])
def test_three_digits_are_enough(value, text):
    assert _number(value) == text
