"""X'64': named saved segments, parts of storage that CP has saved under a name and gives to virtual machines."""
from __future__ import annotations

from pvlab.errors import PvlabError
from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import PAGE, aligned
from pvlab.monitors.cp import ebcdic
from pvlab.monitors.cp.diagnose.registry import diagnose

def check_segments(segments: dict[str, tuple[int, bytes]]) -> dict[str, tuple[int, bytes]]:
    """The same, or PvlabError."""
    for name, (address, content) in segments.items():
        if not 1 <= len(name) <= 8 or name != name.upper():
            raise PvlabError(f"'{name}' cannot be a segment's name: use up to 8 capital letters and digits")
        if address % PAGE or len(content) % PAGE or not content or not 0 < address <= _HIGHEST - len(content):
            raise PvlabError(f"the segment {name} at {address:#x}, {len(content)} bytes long: it must be of whole pages "
                             f"below {_HIGHEST:#x}")
    return segments


def room(segments: dict[str, tuple[int, bytes]], storage: int) -> int:
    """Bytes behind so much storage that the segments need; one that is only half within storage needs a place, too."""
    for name, (address, content) in segments.items():
        if address < storage < address + len(content):
            raise PvlabError(f"the segment {name} is half within storage, which ends at {storage:#x}")
    return max((0, *(address + len(content) - storage for address, content in segments.values())))


_HIGHEST = 64 << 20
_LOAD_SHARED, _LOAD, _PURGE, _FIND = 0x00, 0x04, 0x08, 0x0C
_NOT_FOUND = 44


@diagnose(0x64, "Named saved segments", since="VM/370")
def named_segments(vm, rx, ry):
    """Rx: the real address of a name, 8 EBCDIC characters on a doubleword, filled up with blanks. Ry: X'00' LOADSYS
    shared, X'04' LOADSYS not shared, X'08' PURGESYS, X'0C' FINDSYS. `Cp(segments={name: (address, bytes)})` has the
    segments.

    LOADSYS: Rx is the segment's address; cc 0, or cc 1 where it took the place of the machine's own storage, with its
    last address in Ry. What it overlays of other segments is purged. PURGESYS: cc 0, or cc 1 where it was not loaded;
    what was not shared is cleared, what lay beyond the machine's storage is no longer addressable. FINDSYS: cc 0 loaded
    or cc 1 not, with its first address in Rx and its last in Ry. No such segment: cc 2, and Ry is 44. Specification
    exception: another Ry, or a name not on a doubleword.

    Source: VM/370 System Programmer's Guide p. 201-203; VM/SP System Programmer's Guide p. 278-280. (Their return code
    177, a paging error, cannot occur here.)
    """
    function, name = vm.word(ry), ebcdic.decode(vm.real.read(aligned(vm.address(rx), 8), 8)).rstrip()
    if function not in (_LOAD_SHARED, _LOAD, _PURGE, _FIND):
        raise Interruption(SPECIFICATION)
    found = vm.segments.get(name)
    if found is None:
        vm.set_word(ry, _NOT_FOUND)
        return 2
    if function == _PURGE:
        return 0 if _purge(vm, name) else 1
    address, content = found
    end = address + len(content)
    if function == _FIND:
        vm.set_word(rx, address)
        vm.set_word(ry, end - 1)
        return 0 if name in vm.loaded_segments else 1
    for other in list(vm.loaded_segments):
        start, saved = vm.segments[other]
        if start < end and address < start + len(saved):
            _purge(vm, other)
    within = address < vm.absolute.size
    if not within:
        vm.machine.attach(address, end)
    vm.absolute.write(address, content)
    vm.loaded_segments[name] = function == _LOAD_SHARED
    vm.set_word(rx, address)
    if within:
        vm.set_word(ry, end - 1)
    return int(within)


def _purge(vm, name: str) -> bool:
    """Take a segment away; False where the machine has not loaded it."""
    shared = vm.loaded_segments.pop(name, None)
    if shared is None:
        return False
    address, content = vm.segments[name]
    if not shared:
        vm.absolute.write(address, bytes(len(content)))
    if address >= vm.absolute.size:
        vm.machine.detach(address, address + len(content))
    return True
