"""The registers: what each gives and takes, the status machine, notifications, reset (virtio 1.2, 2.1 and 4.2)."""
import pytest

from pvlab.devices.backends.disk import patterned
from pvlab.devices.virtio import block as blk
from pvlab.devices.virtio import mmio
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.driver import Driver, DriverError, DriverQueue
from pvlab.devices.virtio.mmio import (ACKNOWLEDGE, CONFIG_CHANGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, NEEDS_RESET,
                                       RING_RESET, USED_BUFFER, VERSION_1, Worker)
from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT_DESC
from tests.devices.virtio.bench import Bare, BlockDriver


@pytest.fixture
def parts():
    machine = Bare()
    device = VirtioBlock(patterned(64), machine, machine.line)
    return machine, device, BlockDriver(device, machine)


def test_identification(parts):
    _, _, driver = parts
    assert driver.load("MagicValue").to_bytes(4, "little") == b"virt"
    assert (driver.load("Version"), driver.load("DeviceID"), driver.load("VendorID")) == (2, 2, 0x554D4551)


def test_features_are_shown_a_word_at_a_time(parts):
    _, _, driver = parts
    words = []
    for select in (0, 1, 2, 0xFFFFFFFF):
        driver.store("DeviceFeaturesSel", select)
        words.append(driver.load("DeviceFeatures"))
    own = blk.SEG_MAX | blk.BLK_SIZE | blk.F_FLUSH | blk.CONFIG_WCE
    assert words == [own | INDIRECT_DESC | EVENT_IDX, VERSION_1 >> 32 | RING_RESET >> 32, 0, 0]


@pytest.mark.parametrize("low, high, accepted", [
    (0, 1, True), (EVENT_IDX | INDIRECT_DESC, 1, True), (0, 0, True),
    (1 << 5, 1, False), (1 << 12, 1, False), (0, 1 | 4, False), (0, 1 << 31, False)])
def test_features_ok_is_refused_for_what_was_not_offered(parts, low, high, accepted):
    _, device, driver = parts
    driver.identify(2)
    for select, word in ((1, high), (0, low), (2, 0xFFFFFFFF)):      # in either order; a third word does not exist
        driver.store("DriverFeaturesSel", select)
        driver.store("DriverFeatures", word)
    driver.store("Status", ACKNOWLEDGE | DRIVER | FEATURES_OK)
    assert driver.load("Status") == ACKNOWLEDGE | DRIVER | FEATURES_OK * accepted
    assert device.accepted == (low | high << 32 if accepted else 0)


def test_features_are_settled_until_the_next_reset(parts):
    _, device, driver = parts
    driver.start(2, VERSION_1)
    driver.store("DriverFeaturesSel", 0)
    driver.store("DriverFeatures", EVENT_IDX)
    driver.store("Status", 15)
    assert device.accepted == VERSION_1
    driver.store("Status", 0)
    assert driver.load("Status") == 0 and device.accepted == 0


def test_status_bits_are_set_by_the_driver_and_cleared_by_reset_only(parts):
    _, _, driver = parts
    for written, read in [(ACKNOWLEDGE, 1), (DRIVER, 3), (FEATURES_OK, 11), (DRIVER_OK, 15), (NEEDS_RESET, 15),
                          (0x100, 15), (FAILED, 15 | FAILED), (0, 0)]:
        driver.store("Status", written)
        assert driver.load("Status") == read


def test_every_register_of_the_table_and_no_other(parts):
    """Read-only registers take no writes; write-only ones, gaps and other widths read as zero."""
    _, device, driver = parts
    driver.start(2)
    before = {name: driver.load(name) for name in mmio.REGISTERS}
    for name, (offset, allowed) in mmio.REGISTERS.items():
        if "w" not in allowed:
            device.write(offset, 4, 0xFFFFFFFF)
        if "r" not in allowed:
            assert driver.load(name) == 0
        assert device.register(offset) == name
    assert {name: driver.load(name) for name in mmio.REGISTERS} == before
    named = {offset for offset, _ in mmio.REGISTERS.values()}
    for offset in range(0x100):
        for size in (1, 2, 4, 8):
            if offset not in named or size != 4:
                assert device.read(offset, size) == 0
                device.write(offset, size, 0xFF)
    assert {name: driver.load(name) for name in mmio.REGISTERS} == before
    assert device.register(0x03C) == "0x03c" and device.register(0x104) == "Config"
    assert driver.load("SHMLenLow") == driver.load("SHMBaseHigh") == 0xFFFFFFFF


def test_a_queue_that_is_not_there(parts):
    _, device, driver = parts
    driver.start(2)
    driver.store("QueueSel", 1)
    assert (driver.load("QueueNumMax"), driver.load("QueueReady")) == (0, 0)
    for name in ("QueueNum", "QueueReady", "QueueDescLow", "QueueDeviceHigh", "QueueReset"):
        driver.store(name, 1)
    driver.store("QueueNotify", 1)
    driver.store("QueueNotify", 0xFFFF)
    driver.store("QueueSel", 0)
    assert driver.load("QueueReady") == 1 and device.broken == ""
    assert driver.do(blk.IN, 0, 512)[0] == blk.OK


def test_queue_addresses_have_64_bits():
    class High(Bare):
        def read(self, address, size):
            return super().read(address - (5 << 40), size)

        def write(self, address, data):
            super().write(address - (5 << 40), data)
    machine = High()
    device = VirtioBlock(patterned(8), machine, machine.line)
    driver = BlockDriver(device, machine, start=5 << 40)
    driver.start(2)
    assert driver.do(blk.IN, 1, 512)[:2] == (blk.OK, patterned(8).read(1))


@pytest.mark.parametrize("size", [0, 3, 5, 1025, 2048, 32768, 65536, 0xFFFFFFFF])
def test_impossible_queue_sizes_need_a_reset(parts, size):
    _, device, driver = parts
    driver.start(2, sizes=())
    driver.store("QueueSel", 0)
    driver.store("QueueNum", size)
    driver.store("QueueReady", 1)
    assert driver.load("QueueReady") == 0
    assert driver.load("Status") & NEEDS_RESET
    assert device.broken == f"virtio-block: queue 0: a queue of {size} entries: it must be a power of two up to 1024"


@pytest.mark.parametrize("size", [1, 2, 8, 64, 1024])
def test_queues_of_every_size(parts, size):
    machine, device, driver = parts
    driver.start(2, VERSION_1 | INDIRECT_DESC, (size,))
    for i in range(40):
        assert driver.do(blk.IN, i, 512, indirect=True)[:2] == (blk.OK, patterned(64).read(i))


def test_a_ring_that_moves_while_it_is_in_use_stays_where_it_is(parts):
    machine, device, driver = parts
    driver.start(2)
    for name in ("QueueDescLow", "QueueDriverLow", "QueueDeviceLow", "QueueDescHigh"):
        driver.store(name, 0xDEAD0000)
    driver.store("QueueNum", 2)
    assert driver.do(blk.IN, 3, 512)[:2] == (blk.OK, patterned(64).read(3))


def test_a_queue_that_is_not_ready_is_not_touched(parts):
    machine, device, driver = parts
    driver.start(2)
    driver.store("QueueReady", 0)
    assert driver.load("QueueReady") == 0
    before = bytes(machine.bytes)
    driver.store("QueueNotify", 0)
    assert bytes(machine.bytes) == before


def test_queue_reset_makes_one_queue_new(parts):
    machine, device, driver = parts
    driver.start(2, VERSION_1 | RING_RESET)
    driver.do(blk.IN, 0, 512)
    driver.store("QueueReset", 1)
    assert (driver.load("QueueReset"), driver.load("QueueReady")) == (0, 0)
    driver.queues.clear()
    driver.queues.append(DriverQueue(driver, 0, 4, VERSION_1))       # elsewhere, and of another size
    assert driver.do(blk.IN, 1, 512)[0] == blk.OK


def test_features_count_for_queues_that_were_there_before(parts):
    """The specification has the features first; who begins with the queues gets what was agreed all the same."""
    machine, device, driver = parts
    driver.identify(2)
    driver.queues.append(DriverQueue(driver, 0, 8, INDIRECT_DESC | EVENT_IDX))
    driver.negotiate(VERSION_1 | INDIRECT_DESC | EVENT_IDX)
    driver.store("Status", 15)
    driver.queues[0].interrupt_after(2)
    for i in range(2):
        head, place, _ = driver.request(blk.IN, i, 512, indirect=True)
        assert machine.read(place, 512) == patterned(64).read(i) and machine.interrupts == i


def test_nothing_is_consumed_before_driver_ok(parts):
    machine, device, driver = parts
    driver.identify(2)
    driver.negotiate(VERSION_1)
    driver.queues.append(DriverQueue(driver, 0, 8, VERSION_1))
    head, place, status = driver.request(blk.IN, 2, 512)
    driver.store("QueueNotify", 0)
    assert driver.queues[0].take() is None and machine.interrupts == 0
    driver.store("Status", driver.load("Status") | DRIVER_OK)        # now the kick is remembered
    assert driver.queues[0].take() == (head, 513)
    assert machine.read(place, 512) == patterned(64).read(2)


def test_interrupts_stand_until_they_are_acknowledged(parts):
    machine, device, driver = parts
    driver.start(2, sizes=(16,))
    driver.request(blk.IN, 0, 512)
    driver.request(blk.IN, 1, 512)
    assert (machine.level, machine.interrupts) == (True, 1)
    driver.store("InterruptACK", CONFIG_CHANGE)
    assert machine.level and driver.load("InterruptStatus") == USED_BUFFER
    driver.store("InterruptACK", 0xFFFFFFFF)
    assert not machine.level and driver.load("InterruptStatus") == 0
    driver.request(blk.IN, 2, 512)
    assert (machine.level, machine.interrupts) == (True, 2)
    driver.store("Status", 0)
    assert not machine.level and driver.load("InterruptStatus") == 0


def test_reset_forgets_everything(parts):
    machine, device, driver = parts
    driver.start(2, VERSION_1 | EVENT_IDX)
    driver.do(blk.OUT, 0, b"x" * 512)
    driver.store("QueueSel", 5)
    driver.store("Status", 0)
    fresh = VirtioBlock(patterned(64), Bare(), print)
    assert [device.read(offset, 4) for offset in range(0, 0x200, 4)] == \
        [fresh.read(offset, 4) for offset in range(0, 0x200, 4)]
    driver.queues.clear()
    driver.start(2)
    assert driver.do(blk.IN, 0, 512)[1] == b"x" * 512                # but not the disk


# Suppression

def test_flags_suppress_interrupts(parts):
    machine, device, driver = parts
    driver.start(2)
    queue = driver.queues[0]
    queue.interrupt_after(None)
    driver.request(blk.IN, 0, 512)
    assert machine.interrupts == 0 and queue.take() is not None
    queue.interrupt_after(1)
    driver.request(blk.IN, 0, 512)
    assert machine.interrupts == 1


def test_used_event_delays_interrupts_until_so_many_were_used(parts):
    machine, device, driver = parts
    driver.start(2, VERSION_1 | EVENT_IDX)
    queue, seen = driver.queues[0], []
    for i in range(6):
        if i in (0, 3):
            queue.interrupt_after(3)
        driver.request(blk.IN, 0, 512)
        seen.append(driver.acknowledge())
        queue.take()
    assert seen == [0, 0, USED_BUFFER, 0, 0, USED_BUFFER]


def test_event_index_works_across_the_wrap(parts):
    """Indices are 16 bits: begin just before they wrap."""
    machine, device, driver = parts
    driver.start(2, VERSION_1 | EVENT_IDX)
    queue, ours = device.queues[0], driver.queues[0]
    queue.next_available = queue.next_used = ours.made = ours.seen = ours.kicked = 0xFFFE
    machine.write(ours.available + 2, b"\xFE\xFF")
    machine.write(ours.used + 2, b"\xFE\xFF")
    queue.notify_me(True)
    queue._told = 0xFFFE                         # white box: nothing else can count so far in a test
    for i in range(5):
        ours.interrupt_after(1)
        before = machine.interrupts
        assert driver.do(blk.IN, i, 512)[0] == blk.OK
        assert machine.interrupts == before + 1


def test_a_batch_is_one_kick_and_one_interrupt(parts):
    machine, device, driver = parts
    driver.start(2, VERSION_1 | EVENT_IDX, (64,))
    queue, kicks = driver.queues[0], 0
    heads = []
    for i in range(16):
        header, status, place = driver.allocate(16), driver.allocate(1), driver.allocate(512)
        machine.write(header + 8, bytes([i]))
        heads.append(queue.describe([(header, 16, False), (place, 512, True), (status, 1, True)]))
        queue.offer(heads[-1])
    queue.publish()
    assert queue.wants_kick()
    queue.kick()
    assert machine.interrupts == 1
    assert [queue.take()[0] for _ in heads] == heads


# A worker in virtual time

class Clock:
    now = 0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("features", [VERSION_1, VERSION_1 | EVENT_IDX])
def test_a_worker_serves_in_virtual_time_and_wants_no_kicks_meanwhile(features):
    clock, machine = Clock(), Bare()
    device = VirtioBlock(patterned(64), machine, machine.line, Worker(clock, wake=1000, each=300))
    driver = BlockDriver(device, machine)
    driver.start(2, features, (16,))
    assert device.next_event() == 1000          # DRIVER_OK wakes it to look
    clock.now = 1000
    device.advance()
    assert device.next_event() is None
    queue, done, kicks = driver.queues[0], [], []
    device._kick = lambda number, real=device._kick: (kicks.append(clock.now), real(number))
    driver.request(blk.IN, 1, 512)
    assert device.next_event() == 2000 and queue.take() is None
    driver.request(blk.IN, 1, 512)              # the thread is on its way: no second kick
    while device.next_event() is not None:
        clock.now = device.next_event()
        device.advance()
        while returned := queue.take():
            done.append((clock.now, returned[1]))
            if len(done) == 1:
                driver.request(blk.IN, 1, 512)  # nor a third: it is at work
    assert done == [(2300, 513), (2600, 513), (2900, 513)]
    driver.request(blk.IN, 1, 512)              # it sleeps: a kick wakes it
    assert kicks == [1000, 2900] and device.next_event() == 3900


def test_a_worker_catches_up_with_a_clock_that_jumped():
    clock, machine = Clock(), Bare()
    device = VirtioBlock(patterned(64), machine, machine.line, Worker(clock, wake=1000, each=300))
    driver = BlockDriver(device, machine)
    driver.start(2, VERSION_1 | INDIRECT_DESC, (8,))
    for _ in range(8):
        driver.request(blk.IN, 1, 512, indirect=True)
    clock.now = 1000 + 5 * 300
    device.advance()
    assert [driver.queues[0].take() is not None for _ in range(6)] == [True] * 5 + [False]
    clock.now = 10 ** 9
    device.advance()
    assert [driver.queues[0].take() is not None for _ in range(4)] == [True] * 3 + [False]
    assert device.next_event() is None


def test_a_reset_stops_the_worker(parts):
    clock, machine = Clock(), Bare()
    device = VirtioBlock(patterned(64), machine, machine.line, Worker(clock, 1000, 300))
    driver = BlockDriver(device, machine)
    driver.start(2)
    driver.request(blk.IN, 0, 512)
    driver.store("Status", 0)
    assert device.next_event() is None
    clock.now = 10 ** 9
    device.advance()
    assert driver.queues[0].take() is None


def test_the_driver_says_what_is_wrong_with_a_device(parts):
    machine, device, driver = parts
    with pytest.raises(DriverError, match="a device of kind 2, not 1"):
        driver.start(1)
    with pytest.raises(DriverError, match="queue 1 is in use, or has fewer than 8 entries"):
        driver.start(2, sizes=(8, 8))

    class Nothing:
        def read(self, offset, size):
            return 0
    with pytest.raises(DriverError, match="no virtio-mmio device"):
        Driver(Nothing(), machine).start(2)
