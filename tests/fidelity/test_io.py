"""The same bytes by every path: each disk and network workload, by each device, under every technique.

What a guest read and received stands in its memory, what it wrote on the disk, and what it sent at the other end of the
cable. All of them are compared, by SHA-256, with what the host says.
"""
import hashlib

import io_bytes
import pytest

import pvlab
from pvlab.devices.backends.disk import SECTOR, ImageDisk, patterned
from pvlab.devices.backends.network import digest_of
from pvlab.devices.pc import MAC
from pvlab.monitors import Native, TrapAndEmulate

MONITORS = (Native, TrapAndEmulate)
DISKS = [("ata", {}), ("ata", {"batch": 8}), ("ata-rep", {"batch": 3}), ("virtio", {}), ("virtio", {"batch": 8}),
         ("virtio", {"depth": 16, "suppression": "flags"}), ("virtio", {"depth": 100, "indirect": "yes", "batch": 7}),
         ("virtio", {"depth": 128, "suppression": "none"})]
CARDS = [("e1000", {}), ("e1000", {"batch": 16}), ("e1000", {"moderation": 250, "batch": 100}), ("virtio", {}),
         ("virtio", {"suppression": "flags", "batch": 5}), ("virtio", {"suppression": "none"}),
         ("virtio", {"indirect": "yes", "batch": 128})]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def run(monitor, workload, n, device, more, **lent):
    """(run, monitor) of a workload that ends well."""
    found = monitor.run(pvlab.guest("kernel", workload=workload, n=n, device=device, **more), **lent)
    assert (found.outcome, found.detail) == ("shutdown", "status 0"), found.text
    return found


def pairs(devices):
    return [pytest.param(device, more, id=" ".join([device, *(f"{k}={v}" for k, v in more.items())]))
            for device, more in devices]


@pytest.mark.parametrize("device, more", pairs(DISKS))
def test_what_is_read_is_what_is_on_the_disk(device, more):
    n, runs = 150, []
    for monitor in (each() for each in MONITORS):
        runs.append(run(monitor, "disk-read", n, device, more))
        pointer = monitor.processor.read_linear(guest_symbol("disk_buffer"), 4)
        at = int.from_bytes(pointer, "little") - 0xC0000000
        assert sha256(monitor.machine.ram.read(at, n * SECTOR)) == sha256(io_bytes.read(n))
    assert runs[0].digest == runs[1].digest == reference("disk-read", n)
    assert runs[0].instructions == runs[1].instructions


@pytest.mark.parametrize("device, more", pairs(DISKS))
def test_what_is_written_is_in_the_hosts_file(device, more, tmp_path):
    n, digests = 150, set()
    before = b"".join(patterned(200).pieces())
    for monitor in (each() for each in MONITORS):
        (tmp_path / "disk").write_bytes(before)
        digests.add(run(monitor, "disk-write", n, device, more, disk=str(tmp_path / "disk")).digest)
        assert sha256((tmp_path / "disk").read_bytes()) == sha256(io_bytes.written(n) + before[n * SECTOR:])
    digests.add(run(Native(), "disk-write", n, "ata", {}, disk=patterned(200)).digest)
    assert len(digests) == 1


@pytest.mark.parametrize("device, more", pairs(CARDS))
@pytest.mark.parametrize("size", [60, 1513])
def test_what_is_sent_arrives(device, more, size):
    runs = []
    for monitor in (each() for each in MONITORS):
        runs.append(run(monitor, "net-send", 300, device, more | {"size": size}))
        assert monitor.peer.sha256() == digest_of(io_bytes.sent(300, size))
    assert runs[0].digest == runs[1].digest == reference("net-send", 300, size=size)


@pytest.mark.parametrize("device, more", pairs(CARDS))
@pytest.mark.parametrize("size, gap", [(60, 20_000), (1513, 1000)])
def test_what_arrives_is_received(device, more, size, gap):
    """At a packet a microsecond no driver keeps pace: what finds no room waits at the other end."""
    runs = [run(monitor(), "net-receive", 300, device, more | {"size": size, "gap": gap}) for monitor in MONITORS]
    assert runs[0].digest == runs[1].digest == reference("net-receive", 300, size=size, gap=gap)
    expected = io_bytes.checksum(*io_bytes.received(300, size))
    assert int.from_bytes(runs[0].result[4:8], "little") == expected


@pytest.mark.parametrize("device", ["debug", "uart", "virtio"])
def test_a_console_prints_the_same_by_every_device(device):
    runs = [run(monitor(), "console", 5, device, {}) for monitor in MONITORS]
    assert runs[0].digest == runs[1].digest == reference("console", 5)


def guest_symbol(name):
    return pvlab.guest("kernel").image.symbols[name]


def reference(workload, n, **more):
    """The digest by the first device there is."""
    return Native().run(pvlab.guest("kernel", workload=workload, n=n, **more)).digest


@pytest.mark.parametrize("monitor", MONITORS)
def test_a_pcap_file_has_every_packet(monitor, tmp_path):
    run(monitor(), "net-send", 4, "virtio", {}, pcap=tmp_path / "sent.pcap")
    data, frames, at = (tmp_path / "sent.pcap").read_bytes(), [], 24
    while at < len(data):
        size = int.from_bytes(data[at + 8:at + 12], "little")
        frames.append(data[at + 16:at + 16 + size])
        at += 16 + size
    assert frames == io_bytes.sent(4) and frames[0][6:12] == MAC


@pytest.mark.parametrize("device", ["ata", "ata-rep", "virtio"])
@pytest.mark.parametrize("what", ["read-only", "small"])
def test_a_disk_that_cannot_is_the_guests_trouble_and_the_file_stays(device, what, tmp_path):
    """A driver is told, and says so; the host's file is as it was."""
    (tmp_path / "disk").write_bytes(before := b"".join(patterned(4).pieces()))
    guest = pvlab.guest("kernel", workload="disk-write", n=6, device=device)
    found = Native().run(guest, disk=f"{tmp_path / 'disk'}:{'ro' if what == 'read-only' else 'cow'}")
    assert (tmp_path / "disk").read_bytes() == before
    if what == "read-only":
        assert found.detail == "status 1" and "kernel panic: the disk reports" in found.text
    else:
        assert found.detail == "status 0"          # the fifth sector is the first again
    ImageDisk(tmp_path / "disk").close()           # nobody holds it any more
