"""Drivers that break every rule: the device says so or fails the request, and the host goes on."""
import random
import struct

import pytest

from pvlab.devices.backends.disk import MemoryDisk, open_image, patterned
from pvlab.devices.backends.network import Peer, Port, packet
from pvlab.devices.virtio import block as blk
from pvlab.devices.virtio import mmio
from pvlab.devices.virtio.balloon import VirtioBalloon
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.console import VirtioConsole
from pvlab.devices.virtio.driver import Driver
from pvlab.devices.virtio.entropy import VirtioEntropy
from pvlab.devices.virtio.mmio import CONFIG_CHANGE, NEEDS_RESET, VERSION_1, Worker
from pvlab.devices.virtio.network import VirtioNetwork
from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT, INDIRECT_DESC, NEXT, WRITE
from tests.devices.virtio.bench import Bare, BlockDriver

HEADER, DATA, STATUS, TABLE = 0x8000, 0x8100, 0x8800, 0x9000
MEMORY = 1 << 20


def started(features=VERSION_1 | INDIRECT_DESC, disk=None):
    machine = Bare(MEMORY)
    device = VirtioBlock(disk or patterned(64), machine, machine.line)
    driver = BlockDriver(device, machine)
    driver.start(2, features)
    return machine, device, driver


def put(machine, table, *descriptors):
    for i, descriptor in enumerate(descriptors):
        machine.write(table + 16 * i, struct.pack("<QIHH", *descriptor))


HEAD = (HEADER, 16, NEXT, 1)

# name: (descriptors, entries of the indirect table at TABLE, what the device says)
BROKEN = {
    "a chain that is a loop": ([HEAD, (DATA, 512, NEXT | WRITE, 1)], [], "is a loop"),
    "a descriptor that follows itself": ([(HEADER, 16, NEXT, 0)], [], "is a loop"),
    "a next outside the table": ([(HEADER, 16, NEXT, 8)], [], "descriptor 8 is not in a table of 8"),
    "a next far outside": ([(HEADER, 16, NEXT, 0xFFFF)], [], "descriptor 65535 is not in a table of 8"),
    "reading after writing": ([(DATA, 512, NEXT | WRITE, 1), (HEADER, 16, 0, 0)], [],
                              "descriptor 1 is for reading, after one for writing"),
    "a header outside memory": ([(MEMORY - 8, 16, NEXT, 1), (STATUS, 1, WRITE, 0)], [], "16 bytes at 0xffff8"),
    "a header at the end of the world": ([(2 ** 64 - 8, 16, NEXT, 1), (STATUS, 1, WRITE, 0)], [], "0xfffffffffffffff8"),
    "a status outside memory": ([HEAD, (MEMORY, 1, WRITE, 0)], [], "1 bytes at 0x100000"),
    "no status": ([(HEADER, 528, 0, 0)], [], "no place for its status"),
    "a header that may only be written": ([(HEADER, 16, NEXT | WRITE, 1), (STATUS, 1, WRITE, 0)], [], "has no header"),
    "all of length zero": ([(HEADER, 0, NEXT, 1), (STATUS, 0, WRITE, 0)], [], "has no header"),
    "more than 4 GiB": ([(0, 2 ** 32 - 1, NEXT, 1), (0, 2, NEXT, 2), (STATUS, 1, WRITE, 0)], [],
                        "more than 2^32 bytes"),
    "indirect in indirect": ([(TABLE, 32, INDIRECT, 0)], [HEAD, (TABLE, 32, INDIRECT, 0)],
                             "indirect descriptor 1: an indirect table inside an indirect table"),
    "indirect with a next": ([(TABLE, 32, INDIRECT | NEXT, 1)], [HEAD], "an indirect table with a next descriptor"),
    "an indirect table of no size": ([(TABLE, 0, INDIRECT, 0)], [], "an indirect table of 0 bytes"),
    "an indirect table of half an entry": ([(TABLE, 24, INDIRECT, 0)], [], "an indirect table of 24 bytes"),
    "an indirect table outside memory": ([(MEMORY - 8, 48, INDIRECT, 0)], [], "16 bytes at 0xffff8"),
    "an indirect loop": ([(TABLE, 32, INDIRECT, 0)], [HEAD, (DATA, 512, NEXT, 0)], "is a loop"),
    "an indirect next outside its table": ([(TABLE, 32, INDIRECT, 0)], [(HEADER, 16, NEXT, 2)],
                                           "indirect descriptor 2 is not in a table of 2"),
    "an enormous indirect table": ([(0, 2 ** 32 - 16, INDIRECT, 0)], [], ""),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_chain_needs_a_reset_and_after_it_all_is_well(case):
    descriptors, indirect, said = BROKEN[case]
    machine, device, driver = started()
    put(machine, driver.queues[0].descriptors, *descriptors)
    put(machine, TABLE, *indirect)
    used = machine.read(driver.queues[0].used, 70)
    driver.queues[0].offer(0)
    driver.queues[0].publish()
    driver.queues[0].kick()
    assert driver.load("Status") & NEEDS_RESET and said in device.broken
    assert device.broken.startswith("virtio-block: queue 0: ")
    assert machine.level and driver.acknowledge() == CONFIG_CHANGE
    assert machine.read(driver.queues[0].used, 70) == used, "nothing was returned"
    driver.queues[0].kick()                                  # a device out of order does nothing more
    assert machine.read(driver.queues[0].used, 70) == used and not machine.level
    recovered(device, machine)


def recovered(device, machine):
    driver = BlockDriver(device, machine, start=0x40000)
    driver.start(2)
    assert driver.do(blk.IN, 1, 512)[:2] == (blk.OK, device.disk.read(1))
    assert not driver.load("Status") & NEEDS_RESET


@pytest.mark.parametrize("data", [(MEMORY - 256, 512, WRITE), (2 ** 63, 512, WRITE), (DATA, 512, 0), (DATA, 0, WRITE),
                                  (DATA, 65 * 512, WRITE), (0, 2 ** 32 - 512, WRITE)])
def test_data_that_is_not_there_fails_the_request_only(data):
    machine, device, driver = started()
    address, length, flags = data
    put(machine, driver.queues[0].descriptors, HEAD, (address, length, flags | NEXT, 2), (STATUS, 1, WRITE, 0))
    machine.write(STATUS, b"\xFF")
    driver.queues[0].offer(0)
    driver.queues[0].publish()
    driver.queues[0].kick()
    assert machine.read(STATUS, 1)[0] == (blk.OK if length == 0 else blk.IOERR)
    assert device.broken == ""


def test_a_write_from_memory_that_is_not_there_leaves_the_disk_whole():
    disk = patterned(64)
    machine, device, driver = started(disk=disk)
    machine.write(HEADER, struct.pack("<IIQ", blk.OUT, 0, 0))
    put(machine, driver.queues[0].descriptors, HEAD, (MEMORY - 256, 512, NEXT, 2), (STATUS, 1, WRITE, 0))
    driver.queues[0].offer(0)
    driver.queues[0].publish()
    driver.queues[0].kick()
    assert machine.read(STATUS, 1)[0] == blk.IOERR and disk.sha256() == patterned(64).sha256()


@pytest.mark.parametrize("index", [9, 100, 0x8000, 0xFFFF])
def test_an_index_that_jumps(index):
    machine, device, driver = started()
    machine.write(driver.queues[0].available + 2, struct.pack("<H", index))
    driver.queues[0].kick()
    assert f"the available index jumped from 0 to {index} in a queue of 8" in device.broken
    recovered(device, machine)


def test_an_indirect_table_that_was_not_negotiated():
    machine, device, driver = started(VERSION_1)
    driver.request(blk.IN, 0, 512, indirect=True)
    assert "an indirect table, which was not negotiated" in device.broken


@pytest.mark.parametrize("area", ["QueueDescLow", "QueueDriverLow", "QueueDeviceLow"])
def test_rings_outside_memory(area):
    machine = Bare(MEMORY)
    device = VirtioBlock(patterned(4), machine, machine.line)
    driver = BlockDriver(device, machine)
    driver.identify(2)
    driver.negotiate(VERSION_1)
    driver.store("QueueNum", 8)
    addresses = {"QueueDescLow": 0x10000, "QueueDriverLow": 0x10100, "QueueDeviceLow": 0x10200, area: MEMORY - 2}
    for name, address in addresses.items():
        driver.store(name, address)
    machine.write(0x10102, b"\1\0")
    put(machine, 0x10000, HEAD, (STATUS, 1, WRITE, 0))
    driver.store("QueueReady", 1)
    driver.store("Status", 15)
    driver.store("QueueNotify", 0)
    assert driver.load("Status") & NEEDS_RESET and "bytes at 0x" in device.broken
    recovered(device, machine)


def test_a_ring_that_the_disk_writes_to_ends_after_one_round():
    """A read into the available ring makes more available, for as long as the device goes on looking."""
    endless = b"".join(bytes(2) + struct.pack("<H", i + 2) + bytes(508) for i in range(64))
    machine, device, driver = started(disk=MemoryDisk(endless))
    queue = driver.queues[0]
    put(machine, queue.descriptors, HEAD, (queue.available, 512, NEXT | WRITE, 2), (STATUS, 1, WRITE, 0))
    served = []
    device._carry_out = lambda kind, sector, chain, real=device._carry_out: (
        served.append(1), real(kind, len(served) - 1, chain))[1]
    queue.offer(0)
    queue.publish()
    queue.kick()
    assert len(served) == queue.size


def test_a_chain_may_be_long_and_has_an_end():
    machine, device, driver = started()
    parts = [(HEADER, 16, False)] + [(DATA + i, 1, True) for i in range(512)] + [(STATUS, 1, True)]
    driver.queues[0].add(*parts, indirect=True)              # longer than the queue: QEMU takes it, and so do we
    assert machine.read(DATA, 512) == patterned(64).read(0)
    driver.queues[0].add(*parts[:1] * 1025, indirect=True)
    assert "is a loop, or longer than any that may be" in device.broken


# Ten thousand rings

class Counting(Bare):
    """Memory that counts what the device does with it, and notes where it writes."""

    def __init__(self):
        super().__init__(1 << 16)
        self.accesses, self.wrote = 0, []

    def read(self, address, size):
        self.accesses += 1
        return super().read(address, size)

    def write(self, address, data):
        self.accesses += 1
        super().write(address, data)
        self.wrote.append((address, len(data)))


def devices(machine, disk, printed, clock):
    port = Port(Peer())
    return [VirtioBlock(disk, machine, machine.line),
            VirtioBlock(disk, machine, machine.line, Worker(clock, 100, 10)),
            VirtioNetwork(port, machine, machine.line),
            VirtioConsole(printed.append, machine, machine.line),
            VirtioEntropy(machine, machine.line), VirtioBalloon(machine, machine.line)]


def address(dice):
    return dice.choice((dice.randrange(1 << 16), dice.randrange(1 << 16), dice.randrange(1 << 16) & ~511,
                        0x10000 - dice.randrange(64), dice.getrandbits(64), 2 ** 64 - dice.randrange(1, 600)))


def descriptor(dice, size, tables):
    flags = dice.choice((0, 1, 2, 3, 1, 3, 4, dice.randrange(8), dice.randrange(1 << 16)))
    length = dice.choice((0, 1, 16, 12, 512, 513, 1024, 528, dice.randrange(2000), dice.getrandbits(32)))
    if flags & INDIRECT and dice.random() < 0.8:
        return struct.pack("<QIHH", dice.choice(tables), 16 * dice.randrange(10), flags, dice.randrange(size))
    following = dice.choice((dice.randrange(size), dice.randrange(size + 2), dice.getrandbits(16)))
    return struct.pack("<QIHH", address(dice), length, flags, following)


def plausible(dice, device, which, size):
    """A table as a driver in its right mind makes it, and which of its descriptors are heads."""
    def part(length, flags):
        return [0x8000 + 512 * dice.randrange(60), length, flags, 0]
    table, heads = [], []
    while len(table) < size:
        if device.device_id == 2:
            data = WRITE * dice.randrange(2)
            chain = [part(16, 0), part(512 * dice.randrange(1, 4), data), part(1, WRITE)]
        else:
            inward = WRITE if which not in device.requests or device.device_id == 4 else 0
            chain = [part(dice.choice((12, 16, 72, 400)), inward) for _ in range(dice.randrange(1, 4))]
        chain = chain[:size - len(table)]
        heads.append(len(table))
        for i, each in enumerate(chain[:-1]):
            each[2:] = each[2] | NEXT, len(table) + i + 1
        table += chain
    if dice.random() < 0.6:                                  # and then one thing is not
        wrong = dice.choice(table)
        wrong[dice.randrange(4)] = dice.choice((0, 1, dice.getrandbits(3), dice.getrandbits(16)))
    return [struct.pack("<QIHH", *each) for each in table], heads


def allowed(machine, queue):
    """Where the device may write: the used ring, and every part that some descriptor offers for writing."""
    spans = [(queue.device, 6 + 8 * queue.size)]
    for place in range(0, 1 << 16, 8):
        where, length, flags, _ = struct.unpack("<QIHH", machine.bytes[place:place + 16].ljust(16, b"\0"))
        if flags & WRITE:
            spans.append((where, length))
    return spans


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_random_rings(seed, tmp_path):
    """Nothing a driver writes raises, hangs or reaches beyond what it offered; a reset makes all well again."""
    dice = random.Random(f"rings {seed}")
    (tmp_path / "disk.img").write_bytes(b"".join(patterned(16).pieces()))
    disk = open_image(tmp_path / "disk.img", "read-write" if seed % 2 else "read-only")
    now, printed, outcomes = [0], [], {"broken": 0, "returned": 0}
    machine = Counting()
    all_devices = devices(machine, disk, printed, lambda: now[0])
    for number in range(1000):
        device = dice.choice(all_devices)
        machine.line = lambda level: None
        driver = Driver(device, machine)
        driver.identify(device.device_id)
        driver.negotiate(dice.choice((VERSION_1, 0)) | dice.choice((0, INDIRECT_DESC)) | dice.choice((0, EVENT_IDX)))
        size = 1 << dice.randrange(6)
        which = dice.randrange(len(device.queues))
        rings = [0x1000, 0x2000, 0x3000]
        machine.bytes[0:0x4000] = bytes(0x4000)
        if dice.random() < 0.6:
            entries, sane = plausible(dice, device, which, size)
        else:
            entries, sane = [descriptor(dice, size, (0x5000, 0x5200, 0x1000)) for _ in range(size)], range(size)
        machine.bytes[rings[0]:rings[0] + 16 * size] = b"".join(entries)
        for table in (0x5000, 0x5200):
            for i in range(10):
                machine.bytes[table + 16 * i:table + 16 * i + 16] = descriptor(dice, size, (0x5000, 0x5200))
        for place in range(0x8000, 0x10000, 512):            # what headers may look like
            machine.bytes[place:place + 16] = struct.pack("<IIQ", dice.choice((0, 1, 4, 8, 99)), 0, dice.randrange(20))
        count = dice.choice((1, 1, size, dice.randrange(size + 1), dice.getrandbits(16)))
        count = len(sane) if dice.random() < 0.5 else count
        heads = [dice.choice(sane) if dice.random() < 0.97 else dice.getrandbits(16) for _ in range(size)]
        ring = struct.pack(f"<HH{size}HH", dice.randrange(2), count, *heads, dice.getrandbits(16))
        machine.bytes[rings[1]:rings[1] + len(ring)] = ring
        if dice.random() < 0.1:
            rings[dice.randrange(3)] = address(dice)
        driver.store("QueueSel", which)
        driver.store("QueueNum", size if dice.random() < 0.95 else dice.getrandbits(17))
        for name, place in zip(("Desc", "Driver", "Device"), rings):
            driver.store(f"Queue{name}Low", place & 0xFFFFFFFF)
            driver.store(f"Queue{name}High", place >> 32)
        driver.store("QueueReady", 1)
        queue = device.queues[which]
        spans = allowed(machine, queue) if number % 5 == 0 and count == 1 else None
        machine.accesses, machine.wrote, early = 0, [], device.broken
        driver.store("Status", 15)
        if isinstance(device, VirtioNetwork) and which == 0:
            device.port.deliver(packet(number, dice.choice((60, 600, 1514))))
        if isinstance(device, VirtioConsole):
            device.type(b"typed")
        if device.broken and not early:
            assert driver.load("InterruptStatus") & CONFIG_CHANGE
        assert machine.accesses < 200 + queue.size * (2 * 1024 + 200) * 2
        if spans is not None:
            for where, length in machine.wrote:
                assert any(start <= where and where + length <= start + room for start, room in spans)
        for _ in range(5):                                   # more kicks, registers and virtual time
            choice = dice.randrange(4)
            if choice == 0:
                driver.store("QueueNotify", dice.choice((which, dice.getrandbits(16))))
            elif choice == 1:
                device.write(dice.randrange(0x200), dice.choice((1, 2, 4, 8)), dice.getrandbits(64) or 1)
            elif choice == 2:
                device.read(dice.randrange(0x200), dice.choice((1, 2, 4, 8)))
            else:
                now[0] += dice.randrange(1000)
                device.advance()
        if device.broken:
            assert driver.load("Status") & NEEDS_RESET
            assert "\n" not in device.broken and device.next_event() is None
        outcomes["broken"] += bool(device.broken)
        outcomes["returned"] += queue.next_used > 0
        driver.store("Status", 0)
        assert driver.load("InterruptStatus") == 0 and device.broken == ""
    assert min(outcomes.values()) > 150, outcomes
    assert (tmp_path / "disk.img").stat().st_size == 16 * 512
    if disk.read_only:
        assert disk.sha256() == patterned(16).sha256()
    assert len(machine.bytes) == 1 << 16
    driver = BlockDriver(all_devices[0], machine, start=0x4000)
    driver.start(2)
    assert driver.do(blk.IN, 3, 512)[:2] == (blk.OK, disk.read(3))


def test_registers_take_anything():
    """A hundred thousand accesses of any kind to every device, with no ring set up by anybody in his right mind."""
    dice = random.Random("registers")
    machine = Counting()
    machine.line = lambda level: None
    offsets = [offset for offset, _ in mmio.REGISTERS.values()] + [0x100, 0x104, 0x108, 0x120]
    for device in devices(machine, patterned(8), [], lambda: 0):
        for _ in range(8000):
            offset = dice.choice((dice.choice(offsets), dice.randrange(0x200), dice.getrandbits(12)))
            value = dice.choice((0, 1, 8, 15, 0x1000, 0x2000, dice.getrandbits(32)))
            if offset != 0x70 or dice.random() < 0.3:
                device.write(offset, dice.choice((4, 4, 4, 1, 2, 8)), value)
            device.read(offset, 4)
