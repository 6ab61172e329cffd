"""Drivers of public systems, followed step by step: which registers they touch, in which order, and what they expect.

Each sequence was read in the named source. Debian's U-Boot 2023.01 was run on bare engines as well, for RISC-V as it is
and for ARM64 with the MMU left off: it scans, reads and writes sectors, and pings over these devices.
"""
import struct

import pytest

from pvlab.devices.backends.disk import patterned
from pvlab.devices.backends.network import Peer, Port, digest_of, packet
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.network import VirtioNetwork
from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT_DESC
from tests.devices.virtio.bench import Bare

DESC, AVAIL, USED = 0x10000, 0x11000, 0x12000
MAGIC, DEVICE, VENDOR, FEATURES, FEATURES_SEL, ACCEPT, ACCEPT_SEL = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x20, 0x24
SEL, MAX, NUM, READY, NOTIFY, ISTATUS, ACK, STATUS = 0x30, 0x34, 0x38, 0x44, 0x50, 0x60, 0x64, 0x70
GENERATION = 0xFC


class Hand:
    """Loads and stores by hand."""

    def __init__(self, make):
        self.machine = Bare()
        self.device = make(self.machine)

    def load(self, offset, size=4):
        return self.device.read(offset, size)

    def store(self, *pairs):
        for offset, value in pairs:
            self.device.write(offset, 4, value)

    def areas(self, at=0):
        self.store((0x80, DESC + at), (0x84, 0), (0x90, AVAIL + at), (0x94, 0), (0xA0, USED + at), (0xA4, 0))

    def descriptor(self, number, address, length, flags, following=0, table=DESC):
        self.machine.write(table + 16 * number, struct.pack("<QIHH", address, length, flags, following))

    def u16(self, address):
        return struct.unpack("<H", self.machine.read(address, 2))[0]

    def set_u16(self, address, value):
        self.machine.write(address, struct.pack("<H", value & 0xFFFF))


def block(disk):
    return Hand(lambda machine: VirtioBlock(disk, machine, machine.line))


def test_xv6_riscv():
    """kernel/virtio_disk.c: it insists on QEMU's vendor number, never selects a word of features and so knows nothing
    of version 1, uses a queue of 8, three descriptors, and acknowledges with a mask of 3."""
    disk = patterned(64)
    hand = block(disk)
    assert (hand.load(MAGIC), hand.load(4), hand.load(DEVICE), hand.load(VENDOR)) == (0x74726976, 2, 2, 0x554D4551)
    hand.store((STATUS, 0), (STATUS, 1), (STATUS, 3))
    features = hand.load(FEATURES)
    for bit in (5, 7, 11, 12, 27, 28, 29):
        features &= ~(1 << bit)
    hand.store((ACCEPT, features), (STATUS, 11))
    assert hand.load(STATUS) & 8
    hand.store((SEL, 0))
    assert hand.load(READY) == 0 and hand.load(MAX) >= 8
    hand.store((NUM, 8))
    hand.areas()
    hand.store((READY, 1), (STATUS, 15))
    for i in range(10):
        write, sector = i % 2, 2 * i
        hand.machine.write(0x8000, struct.pack("<IIQ", write, 0, sector))
        hand.machine.write(0x8100, bytes([i]) * 1024 if write else bytes(1024))
        hand.machine.write(0x8700, b"\xFF")
        hand.descriptor(0, 0x8000, 16, 1, 1)
        hand.descriptor(1, 0x8100, 1024, 1 if write else 3, 2)
        hand.descriptor(2, 0x8700, 1, 2)
        hand.set_u16(AVAIL + 4 + 2 * (i % 8), 0)
        hand.set_u16(AVAIL + 2, i + 1)
        hand.store((NOTIFY, 0))
        assert hand.machine.level
        hand.store((ACK, hand.load(ISTATUS) & 3))
        assert not hand.machine.level
        assert hand.u16(USED + 2) == i + 1
        assert hand.machine.read(USED + 4 + 8 * (i % 8), 4) == bytes(4) and hand.machine.read(0x8700, 1) == b"\0"
        assert disk.read(sector, 2) == hand.machine.read(0x8100, 1024)


def linux_start(hand, device_id, own):
    """drivers/virtio/virtio.c and virtio_mmio.c up to the queues; the features both sides have."""
    assert (hand.load(MAGIC), hand.load(4), hand.load(DEVICE)) == (0x74726976, 2, device_id)
    hand.load(VENDOR)
    hand.store((STATUS, 0))
    for bit in (1, 2):
        hand.store((STATUS, hand.load(STATUS) | bit))
    hand.store((FEATURES_SEL, 1))
    features = hand.load(FEATURES) << 32
    hand.store((FEATURES_SEL, 0))
    features |= hand.load(FEATURES)
    assert features >> 32 & 1, "version 2 must offer version 1"
    features &= own | 1 << 32 | INDIRECT_DESC | EVENT_IDX
    hand.store((ACCEPT_SEL, 1), (ACCEPT, features >> 32), (ACCEPT_SEL, 0), (ACCEPT, features & 0xFFFFFFFF))
    hand.store((STATUS, hand.load(STATUS) | 8))
    assert hand.load(STATUS) & 8
    return features


def linux_queue(hand, number, at):
    hand.store((SEL, number))
    assert hand.load(READY) == 0
    size = hand.load(MAX)
    assert size
    hand.store((NUM, size))
    hand.areas(at)
    hand.store((READY, 1))
    return size


def test_linux_block():
    """virtio_blk.c with virtio_ring.c: configuration under the generation count, indirect descriptors, event index."""
    disk = patterned(64)
    hand = block(disk)
    linux_start(hand, 2, 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 14)
    before = hand.load(GENERATION)
    capacity = hand.load(0x100) | hand.load(0x104) << 32
    assert hand.load(GENERATION) == before and capacity == 64
    assert (hand.load(0x10C), hand.load(0x114), hand.load(0x120, 1)) == (126, 512, 1)
    size = linux_queue(hand, 0, 0x8000)
    hand.store((STATUS, hand.load(STATUS) | 4))
    at = 0x8000
    for i in range(3):
        hand.machine.write(0x8000, struct.pack("<IIQ", 0, 0, i))
        hand.descriptor(0, 0x8000, 16, 1, 1, table=0x9000)
        hand.descriptor(1, 0x8100, 512, 3, 2, table=0x9000)
        hand.descriptor(2, 0x8700, 1, 2, table=0x9000)
        hand.descriptor(i, 0x9000, 48, 4, table=DESC + at)
        hand.set_u16(AVAIL + at + 4 + 2 * i, i)
        hand.set_u16(AVAIL + at + 4 + 2 * size, i)            # virtqueue_enable_cb: tell me of the next
        hand.set_u16(AVAIL + at + 2, i + 1)
        assert hand.u16(USED + at + 4 + 8 * size) == i        # virtqueue_kick_prepare: avail_event is passed
        hand.store((NOTIFY, 0))
        status = hand.load(ISTATUS)
        hand.store((ACK, status))
        assert status == 1 and hand.u16(USED + at + 2) == i + 1
        assert struct.unpack("<II", hand.machine.read(USED + at + 4 + 8 * i, 8)) == (i, 513)
        assert hand.machine.read(0x8100, 512) == disk.read(i)
    hand.store((STATUS, 0), (SEL, 0), (READY, 0))             # reset, then vm_del_vq
    assert hand.load(READY) == 0


def test_linux_network():
    """virtio_net.c: receive buffers are there, and kicked for, before DRIVER_OK; sent buffers come back unasked."""
    peer = Peer()
    port = Port(peer)
    hand = Hand(lambda machine: VirtioNetwork(port, machine, machine.line))
    linux_start(hand, 1, 1 << 5 | 1 << 16)
    size = linux_queue(hand, 0, 0)
    assert linux_queue(hand, 1, 0x40000) == size
    for i in range(4):
        hand.descriptor(i, 0x30000 + 2048 * i, 1526, 2)
        hand.set_u16(AVAIL + 4 + 2 * i, i)
    hand.set_u16(AVAIL + 2, 4)
    hand.store((NOTIFY, 0), (STATUS, hand.load(STATUS) | 4))
    assert bytes(hand.load(0x100 + i, 1) for i in range(6)) == b"\x02pvlab" and hand.load(0x106, 2) & 1
    port.deliver(packet(1))
    assert hand.u16(USED + 2) == 1 and hand.machine.read(0x3000C, 60) == packet(1)
    hand.machine.write(0x9000, bytes(12) + packet(2))
    hand.descriptor(0, 0x9000, 72, 0, table=DESC + 0x40000)
    hand.set_u16(AVAIL + 0x40000 + 4 + 2 * size, 192)         # virtqueue_enable_cb_delayed: after three quarters
    hand.set_u16(AVAIL + 0x40000 + 2, 1)
    hand.store((ACK, 3), (NOTIFY, 1))
    assert peer.sha256() == digest_of([packet(2)])
    assert hand.u16(USED + 0x40000 + 2) == 1 and hand.load(ISTATUS) == 0


@pytest.mark.parametrize("version_1, header", [(True, 12), (False, 10)])
def test_u_boot_network(version_1, header):
    """drivers/virtio: it polls the used ring, with interrupts off, and has the header that the features say."""
    peer = Peer()
    port = Port(peer)
    hand = Hand(lambda machine: VirtioNetwork(port, machine, machine.line))
    hand.store((STATUS, 0), (STATUS, 1), (STATUS, 3), (FEATURES_SEL, 1), (FEATURES_SEL, 0))
    hand.store((ACCEPT_SEL, 1), (ACCEPT, int(version_1)), (ACCEPT_SEL, 0), (ACCEPT, 1 << 5), (STATUS, 11))
    for number, at in ((0, 0), (1, 0x40000)):
        hand.store((SEL, number), (NUM, min(hand.load(MAX), 64)))
        hand.areas(at)
        hand.set_u16(AVAIL + at, 1)                           # NO_INTERRUPT
        hand.store((READY, 1))
    hand.store((STATUS, 15))
    hand.descriptor(0, 0x8000, 1526, 2)
    hand.set_u16(AVAIL + 2, 1)
    hand.store((NOTIFY, 0))
    port.deliver(packet(5))
    assert hand.machine.read(0x8000 + header, 60) == packet(5)
    hand.machine.write(0x9000, bytes(header) + packet(6))
    hand.descriptor(0, 0x9000, header, 1, 1, table=DESC + 0x40000)
    hand.descriptor(1, 0x9000 + header, 60, 0, table=DESC + 0x40000)
    hand.set_u16(AVAIL + 0x40000 + 2, 1)
    hand.store((NOTIFY, 1))
    assert hand.u16(USED + 0x40000 + 2) == 1 and peer.sha256() == digest_of([packet(6)])
    assert not hand.machine.level


def test_a_driver_that_writes_one_status_bit_at_a_time_and_polls():
    """Hobby systems write each bit alone and never FEATURES_OK; QEMU takes it, and so do we."""
    disk = patterned(8)
    hand = block(disk)
    hand.store((STATUS, 0), (STATUS, 1), (STATUS, 2), (ACCEPT, 0), (SEL, 0), (NUM, 4))
    hand.areas()
    hand.store((READY, 1), (STATUS, 4))
    hand.machine.write(0x8008, b"\x07")
    for number, part in enumerate([(0x8000, 16, 1, 1), (0x8100, 512, 3, 2), (0x8700, 1, 2, 0)]):
        hand.descriptor(number, *part)
    hand.set_u16(AVAIL + 2, 1)
    hand.store((NOTIFY, 0))
    assert hand.u16(USED + 2) == 1 and hand.machine.read(0x8100, 512) == disk.read(7)


def test_rust_virtio_drivers():
    """transport/mmio.rs: QueueReady tells whether a queue is in use; a reset is waited for by reading the status."""
    disk = patterned(8)
    hand = block(disk)
    hand.store((STATUS, 0))
    assert hand.load(STATUS) == 0
    hand.store((STATUS, 3), (FEATURES_SEL, 0), (FEATURES_SEL, 1))
    hand.store((ACCEPT_SEL, 0), (ACCEPT, 1 << 9 | INDIRECT_DESC | EVENT_IDX), (ACCEPT_SEL, 1), (ACCEPT, 1),
               (STATUS, 11), (SEL, 0))
    assert hand.load(READY) == 0 and hand.load(MAX) >= 16
    hand.store((NUM, 16))
    hand.areas()
    hand.store((READY, 1), (STATUS, 15))
    hand.store((SEL, 0))
    assert hand.load(READY) == 1
    hand.machine.write(0x8000, struct.pack("<IIQ", 8, 0, 0))   # its block driver asks for the disk's name first
    hand.descriptor(0, 0x8000, 16, 1, 1)
    hand.descriptor(1, 0x8100, 20, 3, 2)
    hand.descriptor(2, 0x8700, 1, 2)
    hand.set_u16(AVAIL + 2, 1)
    hand.store((NOTIFY, 0))
    assert struct.unpack("<II", hand.machine.read(USED + 4, 8)) == (0, 21)
    assert hand.machine.read(0x8100, 20) == b"pvlab".ljust(20, b"\0")
    hand.store((SEL, 0), (READY, 0))                           # queue_unset
    assert hand.load(READY) == 0
    hand.store((NUM, 0), *[(offset, 0) for offset in (0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4)])
    assert hand.device.broken == ""
