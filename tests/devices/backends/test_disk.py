"""Disks: the same behaviour whatever they stand on, and what an image file must outlive."""
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from pvlab.devices.backends.disk import MODES, DiskError, ImageDisk, MemoryDisk, Overlay, open_image, patterned

CONTENTS = hashlib.shake_128(b"contents").digest(16 * 512)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENTS)
    return path


@pytest.fixture(params=["memory", "image", "overlay"])
def disk(request, image):
    made = {"memory": lambda: MemoryDisk(CONTENTS), "image": lambda: ImageDisk(image),
            "overlay": lambda: Overlay(MemoryDisk(CONTENTS))}[request.param]()
    yield made
    made.close()


def test_every_kind_reads_and_writes_whole_sectors(disk):
    assert (disk.sectors, disk.read_only) == (16, False)
    assert disk.read(3, 2) == CONTENTS[3 * 512:5 * 512]
    assert disk.read(16, 0) == b""
    disk.write(4, b"\xAA" * 1024)
    disk.flush()
    assert disk.read(3, 4) == CONTENTS[3 * 512:4 * 512] + b"\xAA" * 1024 + CONTENTS[6 * 512:7 * 512]
    changed = CONTENTS[:4 * 512] + b"\xAA" * 1024 + CONTENTS[6 * 512:]
    assert b"".join(disk.pieces()) == changed
    assert disk.sha256() == hashlib.sha256(changed).hexdigest()


@pytest.mark.parametrize("sector, count", [(16, 1), (15, 2), (-1, 1), (0, 17), (2 ** 64 - 1, 1), (0, -1)])
def test_nothing_lies_beyond_the_end(disk, sector, count):
    with pytest.raises(DiskError, match="not all on a disk of 16"):
        disk.read(sector, count)
    if count > 0:
        with pytest.raises(DiskError, match="not all on a disk of 16"):
            disk.write(sector, bytes(512 * count))
    assert disk.sha256() == hashlib.sha256(CONTENTS).hexdigest()


def test_part_of_a_sector_is_not_written(disk):
    with pytest.raises(DiskError, match="100 bytes are not whole sectors"):
        disk.write(0, bytes(100))


def test_a_patterned_disk_is_known_and_no_two_sectors_are_alike():
    disk = patterned(256)
    assert len({disk.read(i) for i in range(256)}) == 256
    assert disk.sha256() == patterned(256).sha256() != patterned(256, "another").sha256()
    assert b"".join(disk.pieces()) == hashlib.shake_128(b"pvlab").digest(256 * 512)


@pytest.mark.parametrize("mode", MODES)
def test_modes(image, mode):
    disk = open_image(image, mode)
    assert disk.read_only is (mode == "read-only")
    if mode == "read-only":
        with pytest.raises(DiskError, match="read-only"):
            disk.write(0, bytes(512))
    else:
        disk.write(0, bytes(512))
        disk.flush()
        assert disk.read(0) == bytes(512)
    disk.close()
    assert (image.read_bytes() == CONTENTS) is (mode != "read-write")


def test_an_overlay_keeps_only_what_was_written(image):
    disk = open_image(image)
    disk.write(5, bytes(1024))
    disk.write(6, b"\1" * 512)
    assert disk.written == 2
    assert disk.base.sha256() == hashlib.sha256(CONTENTS).hexdigest() != disk.sha256()


def test_two_writers_are_kept_out(image):
    first = ImageDisk(image)
    for read_only in (False, True):
        with pytest.raises(DiskError, match="disk.img: in use by another disk"):
            ImageDisk(image, read_only)
    first.close()
    readers = [ImageDisk(image, read_only=True), open_image(image)]
    with pytest.raises(DiskError, match="in use"):
        ImageDisk(image)
    for disk in readers:
        disk.close()
    ImageDisk(image).close()


def test_what_is_no_image_is_said_in_one_line(tmp_path):
    (tmp_path / "odd").write_bytes(bytes(700))
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name, wrong in [("odd", "700 bytes are not whole sectors"), ("empty", "0 bytes"), ("missing", "No such file"),
                        ("pipe", "not a regular file"), (".", "not a regular file")]:
        with pytest.raises(DiskError, match=wrong) as caught:
            open_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(DiskError, match="no disk mode 'wild'; there are read-write, read-only, copy-on-write"):
        open_image(tmp_path / "odd", "wild")


def test_a_file_that_shrinks_or_goes_fails_the_request_and_nothing_else(image):
    disk = ImageDisk(image)
    os.truncate(image, 512)
    with pytest.raises(DiskError, match="sector 4: the file has been cut short"):
        disk.read(4)
    assert disk.read(0) == CONTENTS[:512]
    disk.close()
    with pytest.raises(DiskError, match="closed"):
        disk.read(0)


def test_a_flush_that_failed_once_is_never_acknowledged_again(image, monkeypatch):
    """After a failed fsync the host may have dropped what it could not write: a second fsync would succeed and lie."""
    disk, real = ImageDisk(image), os.fsync

    def broken(descriptor):
        raise OSError(5, "Input/output error")
    monkeypatch.setattr(os, "fsync", broken)
    monkeypatch.delattr("fcntl.F_FULLFSYNC", raising=False)
    with pytest.raises(DiskError, match="cannot be flushed: Input/output error"):
        disk.flush()
    monkeypatch.setattr(os, "fsync", real)
    with pytest.raises(DiskError, match="cannot be flushed"):
        disk.flush()


def test_flush_waits_for_the_host(image, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.delattr("fcntl.F_FULLFSYNC", raising=False)
    disk = ImageDisk(image)
    disk.write(0, bytes(512))
    assert synced == []
    disk.flush()
    assert synced == [disk._file.fileno()]


WRITER = """
import sys
from pvlab.devices.backends.disk import ImageDisk
disk = ImageDisk(sys.argv[1])
for number in range(1, 1_000_000):
    disk.write(number % 16, bytes([number % 251]) * 512)
    disk.flush()
    print(number, flush=True)          # acknowledged
"""


def test_a_killed_process_loses_nothing_that_was_acknowledged(image):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(image)], stdout=subprocess.PIPE, text=True)
    acknowledged = 0
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged == 40:
            writer.send_signal(signal.SIGKILL)
            break
    acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    assert writer.wait() == -signal.SIGKILL
    disk = ImageDisk(image)                       # the dead process holds no lock
    for number in range(acknowledged - 14, acknowledged + 1):
        assert disk.read(number % 16) == bytes([number % 251]) * 512
