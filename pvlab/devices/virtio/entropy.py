"""virtio-rng: the driver offers buffers, the device fills them with random bytes (virtio 1.2, 5.4).

In the lab they are the same in every run: SHAKE-128 of a seed and a counter.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable

from pvlab.devices.virtio.mmio import QUEUE_SIZE, VirtioMmio, Worker
from pvlab.devices.virtio.queue import Chain, Memory, RingError

_MOST = 1 << 16                      # bytes for one buffer: the device may give fewer than it was asked for


class VirtioEntropy(VirtioMmio):
    """A source of random bytes that knows its `seed`."""

    name, device_id = "virtio-rng", 4
    queue_sizes, requests = (QUEUE_SIZE,), frozenset({0})

    def __init__(self, memory: Memory, interrupt: Callable[[bool], None], worker: Worker | None = None,
                 seed: str = "pvlab"):
        self._seed, self._given = seed, 0
        super().__init__(memory, interrupt, worker)

    def handle(self, number: int, chain: Chain) -> None:
        if chain.readable or not chain.writable:
            raise RingError(f"a buffer of {chain.readable} bytes to read and {chain.writable} to write")
        self._given += 1
        chain.write(0, hashlib.shake_128(f"{self._seed} {self._given}".encode()).digest(min(chain.writable, _MOST)))
