"""virtio-console, virtio-rng and virtio-balloon."""
import hashlib
import struct

import pytest

from pvlab.devices.virtio.balloon import DEFLATE, INFLATE, VirtioBalloon
from pvlab.devices.virtio.console import RECEIVE, TRANSMIT, VirtioConsole
from pvlab.devices.virtio.driver import Driver
from pvlab.devices.virtio.entropy import VirtioEntropy
from pvlab.devices.virtio.mmio import CONFIG_CHANGE, NEEDS_RESET, VERSION_1
from tests.devices.virtio.bench import Bare


def started(make, device_id, queues, features=VERSION_1):
    machine = Bare()
    device = make(machine)
    driver = Driver(device, machine)
    driver.start(device_id, features, (8,) * queues)
    return machine, device, driver


@pytest.fixture
def console():
    printed = []
    return printed, *started(lambda machine: VirtioConsole(printed.append, machine, machine.line), 3, 2, VERSION_1 | 5)


def test_console_prints(console):
    printed, machine, device, driver = console
    machine.write(0x8000, b"hello, world")
    driver.queues[TRANSMIT].add((0x8000, 5, False), (0x8005, 7, False))
    assert printed == [b"hello, world"]
    assert driver.queues[TRANSMIT].take()[1] == 0


def test_what_is_typed_waits_for_buffers(console):
    _, machine, device, driver = console
    queue = driver.queues[RECEIVE]
    device.type(b"abcdef")
    queue.add((0x8000, 4, True))
    assert (queue.take()[1], machine.read(0x8000, 4)) == (4, b"abcd")
    queue.add((0x8000, 100, True))
    assert (queue.take()[1], machine.read(0x8000, 4)) == (2, b"efcd")
    queue.add((0x8000, 100, True))
    assert queue.take() is None
    device.type(b"g")
    assert (queue.take()[1], machine.read(0x8000, 1)) == (1, b"g")
    device.type(bytes(100_000))
    device.type(bytes(100_000))
    assert len(device._typed) == 1 << 16


def test_console_size_and_emergency_write(console):
    printed, _, device, driver = console
    assert (device.read(0x100, 2), device.read(0x102, 2), device.read(0x104, 4)) == (80, 25, 1)
    device.resize(132, 50)
    assert driver.acknowledge() == CONFIG_CHANGE
    assert (device.read(0x100, 2), device.read(0x102, 2)) == (132, 50)
    unready = VirtioConsole(printed.append, Bare(), print)
    unready.write(0x108, 4, ord("!"))
    unready.write(0x108, 1, ord("?"))
    assert printed == [b"!", b"?"]


@pytest.mark.parametrize("queue, part", [(TRANSMIT, (0x8000, 4, True)), (TRANSMIT, (0, 70_000, False)),
                                         (RECEIVE, (0x8000, 4, False))])
def test_console_buffers_of_the_wrong_kind_need_a_reset(console, queue, part):
    printed, _, device, driver = console
    driver.queues[queue].add(part)
    device.type(b"x")
    assert driver.load("Status") & NEEDS_RESET and printed == []


def test_entropy_is_the_same_in_every_run_and_never_twice():
    def bytes_of(seed):
        machine, device, driver = started(lambda m: VirtioEntropy(m, m.line, seed=seed), 4, 1)
        got = []
        for _ in range(3):
            driver.queues[0].add((0x8000, 20, True), (0x8100, 12, True))
            assert driver.queues[0].take()[1] == 32
            got.append(machine.read(0x8000, 20) + machine.read(0x8100, 12))
        return got
    assert bytes_of("a") == bytes_of("a") != bytes_of("b")
    assert len(set(bytes_of("a"))) == 3
    assert bytes_of("a")[1] == hashlib.shake_128(b"a 2").digest(32)


def test_entropy_gives_fewer_than_it_is_asked_for_and_nothing_to_read():
    machine, device, driver = started(lambda m: VirtioEntropy(m, m.line), 4, 1)
    driver.queues[0].add((0x10000, 0xE0000, True))
    assert driver.queues[0].take()[1] == 1 << 16
    driver.queues[0].add((0x10000, 16, False))
    assert driver.load("Status") & NEEDS_RESET


@pytest.fixture
def balloon():
    moves = []
    return moves, *started(lambda m: VirtioBalloon(m, m.line, moved=lambda page, given: moves.append((page, given))), 5,
                           2)


def hand_over(driver, queue, *pages):
    driver.memory.write(0x8000, struct.pack(f"<{len(pages)}I", *pages))
    driver.queues[queue].add((0x8000, 4 * len(pages), False))
    assert driver.queues[queue].take()[1] == 0


def test_balloon_asks_takes_and_gives_back(balloon):
    moves, machine, device, driver = balloon
    before = driver.load("ConfigGeneration")
    device.ask(3)
    assert driver.acknowledge() == CONFIG_CHANGE and driver.load("ConfigGeneration") != before
    assert device.read(0x100, 4) == 3
    hand_over(driver, INFLATE, 40, 41, 42)
    device.write(0x104, 4, 3)
    assert (device.pages, device.actual) == ({40, 41, 42}, 3)
    hand_over(driver, DEFLATE, 41, 99)                       # 99 is not in it
    assert device.pages == {40, 42}
    assert moves == [(40, True), (41, True), (42, True), (41, False)]


def test_balloon_takes_no_page_twice_and_none_that_is_not_there(balloon):
    moves, _, device, driver = balloon
    hand_over(driver, INFLATE, 7, 7, 255, 256, 0xFFFFFFFF)   # the machine has pages 0 to 255
    assert device.pages == {7, 255}
    assert moves == [(7, True), (255, True)]


def test_balloon_is_empty_after_a_reset(balloon):
    moves, _, device, driver = balloon
    hand_over(driver, INFLATE, 9, 8)
    device.write(0x104, 4, 2)
    driver.store("Status", 0)
    assert (device.pages, device.actual, moves[2:]) == (set(), 0, [(8, False), (9, False)])


def test_balloon_configuration_takes_bytes_and_nothing_but_actual(balloon):
    """Drivers of old wrote `actual` byte by byte."""
    _, _, device, _ = balloon
    for i, byte in enumerate((0x78, 0x56, 0x34, 0x12)):
        device.write(0x104 + i, 1, byte)
    device.write(0x100, 4, 99)
    device.write(0x110, 4, 99)
    assert (device.target, device.actual) == (0, 0x12345678)


@pytest.mark.parametrize("part", [(0x8000, 6, False), (0x8000, 4, True), (0, 70_000, False)])
def test_balloon_buffers_of_the_wrong_kind_need_a_reset(balloon, part):
    _, _, device, driver = balloon
    driver.queues[INFLATE].add(part)
    assert driver.load("Status") & NEEDS_RESET and device.pages == set()
