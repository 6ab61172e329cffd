"""The e1000: registers, interrupts, rings, by the names of Intel's manual; and drivers that mean harm."""
import random
import struct

import pytest

from pvlab.devices import e1000 as e
from pvlab.devices.backends.network import Peer, Port, digest_of, packet
from pvlab.machine.memory import Dma, Ram

MAC = bytes.fromhex("525400123456")
TX, RX, BUFFERS = 0x1000, 0x2000, 0x10000
EOP, RS = 1, 8


class Host:
    """A card in a machine without a CPU. The tests are its driver."""

    def __init__(self):
        self.ram, self.now, self.level, self.rises = Ram(1 << 20), 0, False, 0
        self.peer = Peer()
        self.port = Port(self.peer)
        memory = Dma(self.ram, lambda *_: None, lambda _: None)
        self.card = e.E1000(memory, self.drive, lambda: self.now, self.port, MAC)
        self.tail = 0

    def drive(self, level):
        self.rises += level and not self.level
        self.level = level

    def get(self, register):
        return self.card.read(register, 4)

    def put(self, *pairs):
        for register, value in pairs:
            self.card.write(register, 4, value)

    def start(self, entries=8, control=e.ENABLE | e.BROADCAST | 1 << 26):
        self.entries = entries
        self.put((e.TDBAL, TX), (e.TDLEN, entries * 16), (e.TDH, 0), (e.TDT, 0), (e.TCTL, e.ENABLE))
        for i in range(entries):
            self.ram.write(RX + 16 * i, struct.pack("<QQ", BUFFERS + 0x8000 + 2048 * i, 0))
        self.put((e.RDBAL, RX), (e.RDLEN, entries * 16), (e.RDH, 0), (e.RDT, entries - 1), (e.RCTL, control))

    def send(self, frame, command=EOP | RS, kick=True):
        at = BUFFERS + 2048 * self.tail
        self.ram.write(at, frame)
        self.ram.write(TX + 16 * self.tail, struct.pack("<QHBBBBH", at, len(frame), 0, command, 0, 0, 0))
        self.tail = (self.tail + 1) % self.entries
        if kick:
            self.put((e.TDT, self.tail))

    def done(self, number):
        return self.ram.read(TX + 16 * number + 12, 1)[0] & 1

    def got(self, number):
        """(bytes, status) of a receive descriptor."""
        address, length, _, status, _, _ = struct.unpack("<QHHBBH", self.ram.read(RX + 16 * number, 16))
        return self.ram.read(address, length), status


@pytest.fixture
def host():
    return Host()


def test_after_reset(host):
    assert host.get(e.STATUS) & 3 == 3                              # link up, full duplex
    low, high = host.get(e.RA), host.get(e.RA + 4)
    assert struct.pack("<IH", low, high & 0xFFFF) == MAC and high >> 31
    host.put((e.IMS, 0xFF), (e.ITR, 100), (e.RA, 0), (e.CTRL, e.RESET))
    assert (host.get(e.IMS), host.get(e.ITR), host.get(e.RA)) == (0, 0, low)


def test_the_eeprom_has_the_address_and_a_checksum(host):
    words = []
    for number in range(64):
        host.put((e.EERD, number << 8 | 1))
        assert host.get(e.EERD) & 0x10
        words.append(host.get(e.EERD) >> 16)
    assert struct.pack("<3H", *words[:3]) == MAC and sum(words) & 0xFFFF == 0xBABA


def test_causes_and_mask(host):
    host.put((e.ICS, e.TXDW))
    assert not host.level
    host.put((e.IMS, e.TXDW | e.RXT0))
    assert host.level and host.rises == 1
    host.put((e.IMC, e.TXDW))
    assert not host.level and host.get(e.IMS) == e.RXT0
    host.put((e.IMS, e.TXDW))
    assert host.rises == 2
    assert host.get(e.ICR) == 1 << 31 | e.TXDW and not host.level
    assert host.get(e.ICR) == 0                                     # reading it cleared it
    host.put((e.ICS, e.TXDW | e.RXO), (e.ICR, e.TXDW))              # writing a one clears it, too
    assert not host.level and host.get(e.ICR) == e.RXO


def test_registers_are_written_whole_and_read_in_parts(host):
    host.card.write(e.ITR, 2, 0x1234)
    host.card.write(e.ITR + 2, 2, 0x1234)
    assert host.get(e.ITR) == 0
    host.put((e.TDBAL, 0x12345678))
    assert (host.get(e.TDBAL), host.card.read(e.TDBAL + 1, 1)) == (0x12345670, 0x123456)


def test_a_write_to_the_tail_sends_before_it_returns(host):
    host.start()
    host.put((e.IMS, e.TXDW))
    frames = [packet(i, 60 + i) for i in range(20)]
    for i, frame in enumerate(frames):
        host.send(frame)
        assert host.done(i % 8) and host.rises == i + 1 and host.get(e.ICR) & e.TXDW
        host.ram.write(TX + 16 * (i % 8) + 12, b"\0")
    assert host.peer.sha256() == digest_of(frames) and host.get(e.TDH) == 20 % 8


def test_a_frame_in_pieces_and_several_by_one_write(host):
    host.start()
    one, two = packet(1, 200), packet(2, 100)
    host.send(one[:14], 0, kick=False)
    host.send(one[14:100], RS, kick=False)
    host.send(one[100:], EOP, kick=False)
    host.send(two, kick=False)
    assert host.peer.frames == 0
    host.put((e.TDT, 4))
    assert host.peer.sha256() == digest_of([one, two]) and [host.done(i) for i in range(4)] == [0, 1, 0, 1]


def test_extended_descriptors_carry_data_as_it_is(host):
    host.start()
    frame = packet(3, 90)
    host.ram.write(BUFFERS, frame)
    host.ram.write(TX, struct.pack("<QHBBBBH", 0, 0, 0, 0x20, 0, 0, 0))                       # a context
    host.ram.write(TX + 16, struct.pack("<QHBBBBH", BUFFERS, 90, 0x10, 0x20 | EOP | RS, 0, 0, 0))
    host.put((e.TDT, 2))
    assert host.peer.sha256() == digest_of([frame])


def test_moderation_lets_one_interrupt_stand_for_many(host):
    host.start()
    host.put((e.ITR, 1000), (e.IMS, e.TXDW))                        # 256 microseconds
    rises = []
    for i in range(200):
        host.now += 10_000
        host.card.advance()
        if host.level:
            host.get(e.ICR)
        host.send(packet(i))
        rises.append(host.rises)
    assert rises[0] == 1 and rises[-1] == 1 + 199 * 10_000 // 260_000
    at = host.card.next_event()
    assert at is not None and at > host.now
    host.now = at
    host.card.advance()
    assert host.level and host.card.next_event() is None


def test_frames_arrive_in_order(host):
    host.start()
    host.put((e.IMS, e.RXT0))
    frames = [packet(i, 60 + 10 * i, MAC) for i in range(7)]
    for frame in frames:
        host.port.deliver(frame)
    assert [host.got(i) for i in range(7)] == [(frame, 3) for frame in frames]
    assert host.rises == 1 and host.get(e.ICR) & e.RXT0
    host.port.deliver(packet(7, 60, MAC))                           # no buffer: it waits
    assert host.port.waiting == 1
    host.put((e.RDT, 0))
    assert host.port.waiting == 0 and host.got(7)[0] == packet(7, 60, MAC)


def test_a_large_frame_takes_several_buffers(host):
    host.start(control=e.ENABLE | e.BROADCAST | 3 << 16)            # buffers of 256 bytes, check sequence kept
    frame = packet(1, 600, MAC)
    host.port.deliver(frame)
    parts = [host.got(i) for i in range(3)]
    assert b"".join(data for data, _ in parts) == frame + bytes(4)
    assert [status for _, status in parts] == [1, 1, 3]


@pytest.mark.parametrize("threshold, after", [(0, 3), (1, 5)])
def test_a_cause_tells_that_buffers_run_out(host, threshold, after):
    """With seven buffers in a ring of eight, half of the ring is left after three frames, a quarter after five."""
    host.start(control=e.ENABLE | threshold << 8)
    for i in range(1, 7):
        host.port.deliver(packet(i, 60, MAC))
        assert bool(host.get(e.ICR) & e.RXDMT0) is (i >= after)


@pytest.mark.parametrize("to, control, accepted", [
    (MAC, 0, True), (b"\x02else.", 0, False), (b"\x02else.", e.PROMISCUOUS, True), (b"\xff" * 6, e.BROADCAST, True),
    (b"\xff" * 6, 0, False), (b"\x01mult.", 0, False), (b"\x01mult.", e.ALL_MULTICAST, True)])
def test_whose_frames_are_taken(host, to, control, accepted):
    host.start(control=e.ENABLE | control)
    host.port.deliver(packet(1, 60, to))
    assert bool(host.got(0)[1]) is accepted and host.port.waiting == 0


def test_the_multicast_table(host):
    host.start(control=e.ENABLE)
    to = bytes.fromhex("01005e000fb1")
    hashed = (to[4] >> 4 | to[5] << 4) & 0xFFF
    host.put((e.MTA + (hashed >> 5) * 4, 1 << (hashed & 31)))
    host.port.deliver(packet(1, 60, to))
    assert host.got(0)[1] == 3


BASES = (0, 0x1000, 0xFFFF0, 0x100000, 0xFFFFFFF0)


@pytest.mark.parametrize("seed", range(16))
def test_drivers_that_mean_harm(seed):
    """Rings outside memory, tails outside rings, descriptors of random bytes: the card does bounded work, or none."""
    source, host = random.Random(seed), Host()
    host.ram.write(0, source.randbytes(1 << 16))
    registers = (*e._PLAIN, e.ICR, e.ICS, e.IMS, e.IMC, e.EERD, e.MDIC, e.RA, e.MTA, 0x1FFFC, 0x404)
    for _ in range(300):
        action = source.random()
        if action < 0.6:
            value = source.choice((source.getrandbits(32), source.choice(BASES), source.getrandbits(4), 0x80, 2))
            host.card.write(source.choice(registers), source.choice((1, 2, 4, 4, 4)), value)
        elif action < 0.8:
            host.port.deliver(packet(seed, source.randrange(60, 3000), source.choice((MAC, b"\xff" * 6))))
        elif action < 0.9:
            assert 0 <= host.card.read(source.randrange(0, e.SIZE, 4), 4) < 1 << 32
        else:
            host.now += source.randrange(1_000_000)
            host.card.advance()
    assert len(host.card._frame) <= e._FRAME + 1
