"""A machine whose disk is a learner's: the device side of a virtqueue, answered by functions on plain data."""
from __future__ import annotations

import struct
from collections.abc import Callable

from pvlab.course.checking import as_data, require
from pvlab.devices.backends.disk import SECTOR
from pvlab.devices.virtio.queue import Chain, Queue, RingError
from pvlab.monitors.trap_and_emulate import TrapAndEmulate

CALLS = 3000        # of the functions in one run
_HEADER = 16        # bytes of a request before its data


class DiskBy(TrapAndEmulate):
    """Trap and emulate, with the virtio disk's work done by `take`, or `serve`, or both. A wrong form is a CheckFailed.

    take(size, table, available, taken)  which chains wait: {"chains": [{"head", "parts": [[address, length, writes],
                                         …]}]} or {"broken": why}. table: [address, length, flags, next] of each descriptor;
                                         available: flags, index, ring (of heads); taken: the device's own counter
    serve(request, disk)                 what to do about one: {"status", "move": "read", "write" or None, "sector",
                                         "count"}. request: header (16 bytes), given (bytes of data behind it), room
                                         (bytes for the device to fill, the status left out); disk: sectors, read_only
    """

    def __init__(self, take: Callable | None = None, serve: Callable | None = None):
        super().__init__()
        self.take, self.serve = take, serve

    def prepare(self, guest) -> None:
        super().prepare(guest)
        device, self.calls = self.board.devices["virtio-block"], 0
        if self.take:
            device.queues[:] = [_Queue(queue.maximum, self._asked(self.take)) for queue in device.queues]
        if self.serve:
            device.handle = lambda number, chain: carry_out(self._asked(self.serve), device.disk, chain)

    def _asked(self, function: Callable) -> Callable:
        def ask(*arguments):
            self.calls += 1
            require(self.calls <= CALLS, f"the guest makes no progress: the function was called {CALLS:,} times")
            return as_data(function(*arguments))
        return ask


class _Queue(Queue):
    """A queue whose driver's side is read by `take`."""

    def __init__(self, maximum: int, take: Callable):
        super().__init__(maximum)
        self._take = take

    def _chains(self) -> list[dict]:
        memory, size = self._memory, self.size
        table = struct.unpack(f"<{'QIHH' * size}", memory.read(self.descriptors, 16 * size))
        flags, index, *ring = struct.unpack(f"<{2 + size}H", memory.read(self.driver, 4 + 2 * size))
        answer = self._take(size, [list(table[i:i + 4]) for i in range(0, 4 * size, 4)],
                            {"flags": flags, "index": index, "ring": ring}, self.next_available)
        if type(answer) is dict and type(answer.get("broken")) is str:
            raise RingError(answer["broken"])
        require(type(answer) is dict and type(answer.get("chains")) is list and all(map(_is_chain, answer["chains"])),
                'take must return {"chains": [{"head": …, "parts": [[address, length, writes], …]}, …]} or {"broken": '
                'why}')
        return answer["chains"]

    def waiting(self) -> int:
        return len(self._chains())

    def pop(self) -> Chain | None:
        chains = self._chains()
        if not chains:
            return None
        self.next_available = self.next_available + 1 & 0xFFFF
        return Chain(self._memory, chains[0]["head"], [tuple(part) for part in chains[0]["parts"]])


def _is_chain(chain) -> bool:
    return (type(chain) is dict and type(chain.get("head")) is int and 0 <= chain["head"] < 1 << 16
            and type(chain.get("parts")) is list and all(
                type(part) is list and len(part) == 3 and type(part[0]) is int and type(part[1]) is int
                and type(part[2]) is bool and 0 <= part[0] < 1 << 64 and 0 <= part[1] < 1 << 32
                                                         for part in chain["parts"]))


def carry_out(serve: Callable, disk, chain: Chain) -> None:
    """One request, as `serve` says."""
    require(chain.readable >= _HEADER and chain.writable, "the chain has no header, or no place for the status")
    given, room = chain.readable - _HEADER, chain.writable - 1
    answer = serve({"header": list(chain.read(0, _HEADER)), "given": given, "room": room},
                   {"sectors": disk.sectors, "read_only": bool(disk.read_only)})
    require(type(answer) is dict and type(answer.get("status")) is int and 0 <= answer["status"] < 256
            and answer.get("move") in (None, "read", "write"),
            'serve must return {"status": …, "move": "read", "write" or None, "sector": …, "count": …}')
    if answer["move"]:
        sector, count = answer.get("sector"), answer.get("count")
        require(type(sector) is int and type(count) is int and 0 <= sector and 0 <= count
                and sector + count <= disk.sectors, "serve moves sectors that the disk does not have")
        require(count * SECTOR <= (room if answer["move"] == "read" else given),
                "serve moves more than the request has")
        if answer["move"] == "read":
            chain.write(0, disk.read(sector, count))
        else:
            require(not disk.read_only, "serve writes to a disk that is read-only")
            disk.write(sector, chain.read(_HEADER, count * SECTOR))
    chain.write(chain.writable - 1, bytes([answer["status"]]))
