"""The virtual machine's devices, by the numbers that CP's users know: 009 the console, 00C the card reader, 190 a disk
to read, 191 a disk to write."""
from __future__ import annotations

import functools

from pvlab.devices.backends.disk import Disk, patterned
from pvlab.devices.backends.lend import ScratchDisk
from pvlab.devices.channel.console import Console
from pvlab.devices.channel.dasd import Dasd
from pvlab.devices.channel.reader import CardReader
from pvlab.devices.channel.subsystem import ChannelSubsystem
from pvlab.machine.memory import Dead
from pvlab.machine.s390x.faults import Interruption
from pvlab.machine.s390x.storage import Storage

CONSOLE, READER, SYSTEM_DISK, USER_DISK = 0x009, 0x00C, 0x190, 0x191
_CYLINDER = 19 * 6 * 4                # sectors of a 3330 cylinder of 2048-byte records
_CYLINDERS = 10
_CCW, _MOVED = 100, 64                # what a CCW weighs (some ten microseconds), and bytes that weigh 1


class ChannelStorage:
    """Absolute storage as channels see it: an address beyond it raises Dead, which becomes a program check."""

    def __init__(self, storage: Storage, keys):
        self._storage, self._keys = storage, keys

    def read(self, address: int, size: int) -> bytes:
        return self._try(self._storage.read, address, size)

    def write(self, address: int, data: bytes) -> None:
        self._try(self._storage.write, address, data)

    def key(self, address: int) -> int:
        """The storage key of the block that the address lies in."""
        return self._try(self._keys.get, address)

    @staticmethod
    def _try(access, address: int, *more):
        try:
            return access(address, *more)
        except Interruption:
            raise Dead(f"{address:#x} is beyond storage") from None


@functools.cache
def system_disk() -> Disk:
    """Ten cylinders of data that are the same in every run, read-only."""
    return patterned(_CYLINDERS * _CYLINDER, "190", read_only=True)


def weigh(vm, ccws: int, size: int) -> None:
    """CP has carried out so many CCWs, and moved so many bytes."""
    vm.weigh(ccws * _CCW + size / _MOVED)


def note(vm, device) -> None:
    """A device is asked for something: an access, as the trace has it."""
    vm.trace.accesses.add(device.name, vm.machine.pc, "", vm.machine.instructions)


def scratch_disk() -> Disk:
    """What is behind 191 where nobody gave a disk: ten cylinders, too."""
    return ScratchDisk(_CYLINDERS * _CYLINDER)


def attach_devices(vm, disk: Disk) -> None:
    """Give the virtual machine its channel subsystem and devices. `disk` is behind 191."""
    vm.block_io = {}          # subchannel number: what DIAGNOSE X'250' has initialised
    vm.channels = ChannelSubsystem(ChannelStorage(vm.absolute, vm.keys))
    vm.channels.attach(CONSOLE, Console(vm.console.write))
    vm.channels.attach(READER, CardReader())
    vm.channels.attach(SYSTEM_DISK, Dasd(system_disk()))
    vm.channels.attach(USER_DISK, Dasd(disk))
