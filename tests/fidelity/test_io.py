"""The same bytes by every path: each disk and network workload, by each device, under every technique.

What a guest read and received stands in its memory, what it wrote on the disk, and what it sent at the other end of the
cable. All of them are compared, by SHA-256, with what the host says.
"""
import functools
import hashlib

import io_bytes
import pytest

import pvlab
from pvlab.devices.backends.disk import SECTOR, ImageDisk, patterned
from pvlab.devices.backends.network import digest_of
from pvlab.devices.pc import MAC
from pvlab.monitors import BinaryTranslation, Native, TrapAndEmulate

MONITORS = (Native, TrapAndEmulate)


def monitors(more):
    """Binary translation, which reaches devices as trap-and-emulate does, has only the drivers' defaults."""
    return [each() for each in (*MONITORS, *([] if more else [BinaryTranslation]))]


DISKS = [("ata", {"batch": 8}), ("ata-rep", {"batch": 3}), ("virtio", {}), ("virtio", {"batch": 8}),
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


def sectors(device):
    """How many: programmed I/O takes its time, a virtio disk's ring is to go round."""
    return 150 if device == "virtio" else 20


def pairs(devices):
    return [pytest.param(device, more, id=" ".join([device, *(f"{k}={v}" for k, v in more.items())]))
            for device, more in devices]


@pytest.mark.parametrize("device, more", pairs(DISKS))
def test_what_is_read_is_what_is_on_the_disk(device, more):
    n, runs = sectors(device), []
    for monitor in monitors(more):
        runs.append(run(monitor, "disk-read", n, device, more))
        pointer = monitor.processor.read_linear(guest_symbol("disk_buffer"), 4)
        at = int.from_bytes(pointer, "little") - 0xC0000000
        assert sha256(monitor.machine.ram.read(at, n * SECTOR)) == sha256(io_bytes.read(n))
    assert {run.digest for run in runs} == {reference("disk-read", n)}
    assert len({run.instructions for run in runs}) == 1


@pytest.mark.parametrize("device, more", pairs(DISKS))
def test_what_is_written_is_in_the_hosts_file(device, more, tmp_path):
    n, digests = sectors(device), set()
    before = b"".join(patterned(200).pieces())
    for monitor in monitors(more):
        (tmp_path / "disk").write_bytes(before)
        digests.add(run(monitor, "disk-write", n, device, more, disk=str(tmp_path / "disk")).digest)
        assert sha256((tmp_path / "disk").read_bytes()) == sha256(io_bytes.written(n) + before[n * SECTOR:])
    digests.add(run(Native(), "disk-write", n, "ata-rep", {}, disk=patterned(200)).digest)
    assert len(digests) == 1


LARGE = [("e1000", {"batch": 16}), ("virtio", {"indirect": "yes"})]


@pytest.mark.parametrize("device, more, size", [*[(*each, 60) for each in CARDS], *[(*each, 1513) for each in LARGE]])
def test_what_is_sent_arrives(device, more, size):
    runs = []
    for monitor in monitors(more):
        runs.append(run(monitor, "net-send", 300, device, more | {"size": size}))
        assert monitor.peer.sha256() == digest_of(io_bytes.sent(300, size))
    assert {run.digest for run in runs} == {reference("net-send", 300, size=size)}


@pytest.mark.parametrize("device, more, size, gap", [*[(*each, 60, 20_000) for each in CARDS],
                                                     *[(*each, 1513, 1000) for each in LARGE]])
def test_what_arrives_is_received(device, more, size, gap):
    """At a packet a microsecond no driver keeps pace: what finds no room waits at the other end."""
    runs = [run(monitor, "net-receive", 300, device, more | {"size": size, "gap": gap}) for monitor in monitors(more)]
    assert {run.digest for run in runs} == {reference("net-receive", 300, size=size, gap=gap)}
    expected = io_bytes.checksum(*io_bytes.received(300, size))
    assert int.from_bytes(runs[0].result[4:8], "little") == expected


@pytest.mark.parametrize("device", ["debug", "uart", "virtio"])
def test_a_console_prints_the_same_by_every_device(device):
    runs = [run(monitor, "console", 5, device, {}) for monitor in monitors({})]
    assert {run.digest for run in runs} == {reference("console", 5)}


def guest_symbol(name):
    return pvlab.guest("kernel").image.symbols[name]


@functools.cache
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
