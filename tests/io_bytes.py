"""What the kernel's disk and network workloads read, write, send and receive, computed anew on the host."""
import struct

import numpy as np

from pvlab.devices.backends.disk import SECTOR, patterned
from pvlab.devices.backends.lend import SCRATCH
from pvlab.devices.backends.network import packet
from pvlab.devices.pc import MAC

PEER = b"\x02other"


def checksum(*parts):
    """The kernel's: rotate by 5 and XOR, word by word of each part, and the bytes that are left."""
    total = 0
    for part in parts:
        whole = len(part) // 4 * 4
        for word in (*struct.unpack(f"<{whole // 4}I", part[:whole]), *part[whole:]):
            total = (total << 5 & 0xFFFFFFFF | total >> 27) ^ word
    return total


def read(n):
    """n sectors of the scratch disk, from the first on and round again."""
    contents = patterned(SCRATCH)
    return b"".join(contents.read(i % SCRATCH, 1) for i in range(n))


def written(n):
    """n sectors of what disk-write writes."""
    words = np.arange(n * SECTOR // 4, dtype=np.uint64) * 2654435761 & 0xFFFFFFFF
    return words.astype("<u4").tobytes()


def sent(n, size=60):
    return [packet(i, size, PEER, MAC) for i in range(n)]


def received(n, size=60):
    return [packet(i, size, MAC, PEER) for i in range(n)]
