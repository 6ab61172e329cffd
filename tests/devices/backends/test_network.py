"""Ports, the switch, the capture file, the peer."""
import struct

import pytest

from pvlab.devices.backends.network import LONGEST, Capture, Peer, Port, Switch, digest_of, packet
from pvlab.errors import PvlabError

A, B, C = (bytes([2, 0, 0, 0, 0, n]) for n in range(3))
ALL = b"\xFF" * 6


def frame(target, source, text=b""):
    return target + source + b"\x88\xB5" + text


def taken(port):
    return [port.receive() for _ in range(port.waiting)]


def test_a_switch_floods_until_it_has_learned():
    switch = Switch()
    a, b, c = switch.port(), switch.port(), switch.port()
    a.send(frame(B, A, b"1"))
    assert [taken(port) for port in (a, b, c)] == [[], [frame(B, A, b"1")], [frame(B, A, b"1")]]
    b.send(frame(A, B, b"2"))                               # a was learned
    assert [taken(port) for port in (a, b, c)] == [[frame(A, B, b"2")], [], []]
    c.send(frame(ALL, C, b"3"))
    assert [port.waiting for port in (a, b, c)] == [1, 1, 0]
    a.send(frame(A, A, b"4"))                               # to itself: nobody hears it twice
    c.send(frame(B, A, b"5"))                               # a has moved to port c
    taken(b)
    b.send(frame(A, B, b"6"))
    assert taken(c) == [frame(A, B, b"6")]


def test_a_switch_remembers_no_more_than_it_can_hold():
    switch = Switch(addresses=2)
    ports = [switch.port() for _ in range(3)]
    for i, source in enumerate((A, B, C)):
        ports[i].send(frame(ALL, source))
    ports[2].send(frame(A, C))                              # forgotten: flooded
    assert ports[1].waiting == 3
    ports[1].send(frame(ALL, b"\xFF" * 6))                  # a group address has no place
    assert ALL not in switch._behind


def test_what_finds_a_port_full_is_lost():
    switch = Switch()
    a, b = switch.port(), switch.port(queue=3)
    for i in range(5):
        a.send(frame(B, A, bytes([i])))
    assert (a.sent, b.received, b.dropped) == (5, 3, 2)
    assert b.peek() == frame(B, A, b"\0")
    assert [got[-1] for got in taken(b)] == [0, 1, 2]
    assert b.receive() is None and b.peek() is None


@pytest.mark.parametrize("size", [0, 13, LONGEST + 1])
def test_what_is_no_frame_goes_nowhere(size):
    peer = Peer()
    port = Port(peer)
    port.send(bytes(size))
    assert (port.sent, port.dropped, peer.frames) == (0, 1, 0)


def test_of_two_devices_at_one_port_the_one_in_use_takes_the_frame():
    port, got = Port(), []
    port.connect(lambda: None)
    port.connect(lambda: got.append(port.receive()))
    port.deliver(frame(A, B))
    assert got == [frame(A, B)]


def test_a_peer_counts_hashes_and_echoes():
    peer = Peer(echo=True)
    port = Port(peer)
    frames = [packet(i, 60 + i) for i in range(3)]
    for each in frames:
        port.send(each)
    assert (peer.frames, peer.octets, peer.sha256()) == (3, 183, digest_of(frames))
    assert taken(port)[2] == packet(2, 62, target=b"\x02other", source=b"\x02pvlab")
    assert Peer().sha256() == digest_of([])


def test_packets_are_udp_and_all_differ():
    assert len({packet(i) for i in range(1000)}) == 1000
    for size in (60, 61, 1514):
        data = packet(7, size)
        assert len(data) == size and struct.unpack(">H", data[16:18])[0] == size - 14
        words = struct.unpack(">10H", data[14:34])
        assert sum(words) % 0xFFFF == 0                     # the header's checksum holds
    with pytest.raises(PvlabError, match="a packet of 59 bytes: give 60 to 65535"):
        packet(0, 59)


def records(path):
    """What a pcap file holds: its header, and (seconds, nanoseconds, frame) of each record."""
    data = path.read_bytes()
    found, at = [], 24
    while at < len(data):
        seconds, nanoseconds, kept, size = struct.unpack_from("<IIII", data, at)
        assert kept == size
        found.append((seconds, nanoseconds, data[at + 16:at + 16 + kept]))
        at += 16 + kept
    return struct.unpack_from("<IHHiIII", data), found


def test_a_capture_has_both_directions_with_virtual_time(tmp_path):
    now = iter([5, 1_000_000_007, 2_500_000_000])
    capture = Capture(tmp_path / "net.pcap", lambda: next(now))
    switch = Switch()
    a, b = switch.port(), switch.port()
    a.tap = capture.record
    a.send(frame(B, A, b"to"))
    b.send(frame(A, B, b"fro"))
    a.send(frame(B, A, b"again"))
    header, found = records(tmp_path / "net.pcap")          # complete at any time, not only when closed
    assert header == (0xA1B23C4D, 2, 4, 0, 0, LONGEST, 1)
    assert found == [(0, 5, frame(B, A, b"to")), (1, 7, frame(A, B, b"fro")), (2, 500_000_000, frame(B, A, b"again"))]


def test_a_capture_has_an_end(tmp_path):
    capture = Capture(tmp_path / "net.pcap", lambda: 0, limit=1000)
    for i in range(100):
        capture.record(packet(i))
    assert len(records(tmp_path / "net.pcap")[1]) == (1000 - 24) // 76


def test_a_capture_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(PvlabError, match="capture file .*nowhere.*: No such file"):
        Capture(tmp_path / "nowhere" / "net.pcap", lambda: 0)
    capture = Capture(tmp_path / "net.pcap", lambda: 0)
    capture._file.close()
    capture._file = open("/dev/full", "wb", buffering=0)
    with pytest.raises(PvlabError, match="No space left"):
        capture.record(packet(0))
