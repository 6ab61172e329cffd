"""virtio-net: sending, receiving, what is dropped and what waits, and who asks for notifications when."""
import pytest

from pvlab.devices.backends.network import Peer, Port, Switch, digest_of, packet
from pvlab.devices.virtio import network as net
from pvlab.devices.virtio.driver import Driver
from pvlab.devices.virtio.mmio import CONFIG_CHANGE, NEEDS_RESET, USED_BUFFER, VERSION_1, Worker
from pvlab.devices.virtio.network import RECEIVE, TRANSMIT, VirtioNetwork
from pvlab.devices.virtio.queue import EVENT_IDX
from tests.devices.virtio.bench import Bare

SUPPRESSION = pytest.mark.parametrize("features", [VERSION_1, VERSION_1 | EVENT_IDX])


class NetworkDriver(Driver):
    header = 12

    def send(self, frame: bytes, kick: bool = True) -> None:
        place = self.allocate(self.header + len(frame))
        self.memory.write(place + self.header, frame)
        queue = self.queues[TRANSMIT]
        queue.offer(queue.describe([(place, self.header, False), (place + self.header, len(frame), False)]))
        queue.publish()
        if kick and queue.wants_kick():
            queue.kick()

    def offer(self, size: int, *more: int) -> list[int]:
        """A receive buffer in parts of these sizes; their addresses."""
        places = [self.allocate(each) for each in (size, *more)]
        self.queues[RECEIVE].add(*[(place, each, True) for place, each in zip(places, (size, *more))])
        return places


def started(features=VERSION_1, port=None, **how):
    machine = Bare()
    device = VirtioNetwork(port or Port(Peer()), machine, machine.line, **how)
    driver = NetworkDriver(device, machine)
    driver.start(1, features, (8, 8))
    return machine, device, driver


@SUPPRESSION
def test_sends_what_the_driver_made(features):
    peer = Peer()
    _, device, driver = started(features, Port(peer))
    frames = [packet(i, 60 + 7 * i) for i in range(20)]
    for frame in frames:
        driver.queues[TRANSMIT].interrupt_after(1)
        driver.send(frame)
        assert driver.acknowledge() == USED_BUFFER
        assert driver.queues[TRANSMIT].take()[1] == 0                # nothing was written into it
    assert peer.sha256() == digest_of(frames)


@SUPPRESSION
def test_receives_into_the_driver_s_buffers(features):
    port = Port()
    machine, device, driver = started(features, port)
    for i in range(20):
        driver.queues[RECEIVE].interrupt_after(1)
        place, = driver.offer(1526)
        port.deliver(packet(i, 100))
        assert driver.acknowledge() == USED_BUFFER
        assert driver.queues[RECEIVE].take()[1] == 112
        assert machine.read(place, 112) == bytes(10) + b"\1\0" + packet(i, 100)


def test_a_frame_waits_for_a_buffer_and_only_then_a_kick_is_wanted():
    port = Port()
    _, device, driver = started(port=port)
    queue = driver.queues[RECEIVE]
    driver.offer(1526)
    assert not queue.wants_kick()                                    # the device looks when it needs one
    port.deliver(packet(1))
    assert not queue.wants_kick()
    port.deliver(packet(2))                                          # finds nothing
    assert queue.wants_kick() and port.waiting == 1
    driver.offer(1526)
    assert port.waiting == 0 and not queue.wants_kick()
    assert [queue.take()[1], queue.take()[1]] == [72, 72]


def test_what_arrives_before_the_driver_is_ready_waits():
    port, machine = Port(queue=4), Bare()
    device = VirtioNetwork(port, machine, machine.line)
    for i in range(6):
        port.deliver(packet(i))
    driver = NetworkDriver(device, machine)
    driver.start(1, VERSION_1, (8, 8))
    for _ in range(5):
        driver.offer(1526)
    assert (port.received, port.dropped, port.waiting) == (4, 2, 0)
    assert machine.interrupts == 1


def test_a_frame_that_fits_nowhere_is_dropped_and_the_buffer_kept():
    port = Port()
    machine, device, driver = started(port=port)
    place, = driver.offer(100)
    port.deliver(packet(1, 200))
    assert driver.queues[RECEIVE].take() is None and port.waiting == 0
    port.deliver(packet(2, 80))
    assert driver.queues[RECEIVE].take()[1] == 92
    assert machine.read(place + 12, 80) == packet(2, 80)


def test_mergeable_buffers_share_a_frame():
    port = Port()
    machine, device, driver = started(VERSION_1 | net.MRG_RXBUF, port)
    places = driver.offer(100)
    port.deliver(packet(3, 230))                                     # 242 bytes: 100 + 100 + 42
    assert driver.queues[RECEIVE].take() is None, "one buffer is not enough: the frame waits"
    places += driver.offer(60, 40)
    places += driver.offer(100)
    assert [driver.queues[RECEIVE].take()[1] for _ in range(3)] == [100, 100, 42]
    assert machine.read(places[0] + 10, 2) == b"\3\0"
    got = b"".join(machine.read(place, size) for place, size in zip(places, (100, 60, 40, 42)))
    assert got[12:] == packet(3, 230)


def test_an_old_driver_has_the_short_header():
    """Without version 1 and without mergeable buffers there is no `num_buffers`."""
    peer = Peer()
    port = Port(peer)
    machine, device, driver = started(0, port)
    driver.header = 10
    driver.send(packet(1))
    assert peer.sha256() == digest_of([packet(1)])
    place, = driver.offer(1526)
    port.deliver(packet(2))
    assert machine.read(place, 70) == bytes(10) + packet(2)


def test_configuration_and_link():
    machine, device, driver = started(mac=bytes.fromhex("525400123456"))
    assert bytes(device.read(0x100 + i, 1) for i in range(6)).hex() == "525400123456"
    assert (device.read(0x106, 2), device.read(0x108, 2)) == (1, 1)
    before = driver.load("ConfigGeneration")
    device.set_link(False)
    assert driver.load("ConfigGeneration") != before
    assert driver.acknowledge() == CONFIG_CHANGE and device.read(0x106, 2) == 0
    driver.send(packet(1))
    assert device.port.sent == 0                                     # the cable is not in
    device.set_link(False)
    assert driver.load("InterruptStatus") == USED_BUFFER             # no change, no notice


def test_two_guests_talk_over_a_switch():
    switch = Switch()
    (_, _, a), (machine, _, b) = [started(port=switch.port()) for _ in range(2)]
    place, = b.offer(1526)
    a.send(packet(9, 300))
    assert b.queues[RECEIVE].take()[1] == 312
    assert machine.read(place + 12, 300) == packet(9, 300)


@pytest.mark.parametrize("number, parts, wrong", [
    (TRANSMIT, [(0x8000, 11, False)], "a packet of 11 bytes has no header of 12"),
    (TRANSMIT, [(0x8000, 100, True)], "a packet of 0 bytes has no header"),
    (RECEIVE, [(0x8000, 12, False), (0x9000, 1526, True)], "a receive buffer with 12 bytes to read"),
])
def test_buffers_of_the_wrong_kind_need_a_reset(number, parts, wrong):
    port = Port()
    machine, device, driver = started(port=port)
    driver.queues[number].add(*parts)
    port.deliver(packet(1))
    assert wrong in device.broken and driver.load("Status") & NEEDS_RESET
    assert driver.acknowledge() & CONFIG_CHANGE


def test_a_monstrous_packet_is_returned_and_not_sent():
    _, device, driver = started()
    driver.queues[TRANSMIT].add((0, 600_000, False), (0, 600_000, False))
    assert driver.queues[TRANSMIT].take() is not None
    assert (device.port.sent, device.port.dropped) == (0, 1)


@pytest.mark.parametrize("worker", [None, Worker(lambda: 1000, 0, 0)])
def test_an_answer_that_breaks_the_receive_queue_ends_the_sending_too(worker):
    """The peer answers while the packet is being sent, and its answer finds a ring that no device can follow."""
    machine, device, driver = started(port=Port(Peer(echo=True)), worker=worker)
    driver.queues[RECEIVE].add((0x8000, 12, False))
    driver.send(packet(1))
    device.advance()
    assert device.next_event() is None
    assert "queue 0: a receive buffer with 12 bytes to read" in device.broken
    assert driver.queues[TRANSMIT].take() is None
