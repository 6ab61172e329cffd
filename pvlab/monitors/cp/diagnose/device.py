"""X'24': what a virtual device is. X'58': a screen full of text in one DIAGNOSE."""
from __future__ import annotations

from pvlab.devices.channel.console import SCREEN
from pvlab.devices.channel.formats import CC, CD, CHANNEL_END, PROGRAM_CHECK, UNIT_CHECK, Ccw
from pvlab.machine.s390x.faults import Interruption
from pvlab.monitors.cp.devices import note
from pvlab.monitors.cp.diagnose.registry import diagnose

# Device classes and types, and features, of CP's control blocks: VM/370 Data Areas (SY20-0884); Hercules vm.c.
_TYPES = {0x3215: (0x80, 0x00), 0x3330: (0x04, 0x10), 0x2540: (0x20, 0x82)}
_ROTATIONAL_SENSING, _EXTENDED_SENSE = 0x80, 0x40
_BUSY, _READ_ONLY = 0x20, 0x80
_ANY_CONSOLE = 0xFFFFFFFF


@diagnose(0x24, "Device type and features", since="VM/370")
def device_type(vm, rx, ry):
    """Rx: a virtual device address, or -1 for the console, wherever it is.

    On return Ry has the virtual device's class, type, status (X'20' busy) and flags (X'80' a read-only disk), a byte
    each; Ry+1, unless Ry is 15, the real device's class, type, model and features (a terminal's: its line length); and
    Rx, if it was -1, the console's address. cc 0. cc 2: there is no real device behind it (spooled cards); Ry+1 is left
    as it was. cc 3: no such device, or no console.

    Source: VM/370 System Programmer's Guide (GC20-1807-7) p. 223; System Logic (SY20-0886-1) p. 73; Hercules
    vmdevice_data and diag_devtype (vm.c). (z/VM and Hercules refuse it in the 64-bit mode, for which it was not made.)
    """
    if vm.word(rx) == _ANY_CONSOLE:
        found = next((each for each in vm.channels if each.device.name == "console"), None)
        if found is not None:
            vm.set_word(rx, found.device_number)
    else:
        found = vm.channels.by_device_number(vm.word(rx))
    if found is None:
        return 3
    device = found.device
    kind = _TYPES[device.kind[0]]
    status = _BUSY if found.busy else 0
    flags = _READ_ONLY if getattr(device, "read_only", False) else 0
    vm.set_word(ry, int.from_bytes(bytes([*kind, status, flags]), "big"))
    if device.name == "reader":
        return 2
    features = SCREEN[1] if device.name == "console" else _ROTATIONAL_SENSING | _EXTENDED_SENSE
    if ry != 15:
        vm.set_word(ry + 1, int.from_bytes(bytes([*kind, device.kind[1], features]), "big"))
    return 0


_CSW = 0x40
_DISPLAY = 0x19
_MOST = SCREEN[0] * SCREEN[1]
_LONGEST = 100             # CCWs
_ERASE, _CLEAR = 0x80, 0xFF


@diagnose(0x58, "3270 virtual console interface", since="VM/370")
def display(vm, rx, ry):
    """Rx: the real address of a CCW: command X'19', the data's real address (3 bytes), flags, a control byte, and the
    count, at most 1760. Control: the line where the text begins, 0 to 21; X'80' more: erase the screen before; X'FF':
    clear the screen, and write nothing. CCWs may be chained; chained data make one text. Ry: the console's virtual
    device address.

    cc 0: done. cc 1: an I/O error (another command, the text does not fit the screen, outside storage); the CSW is in
    real 40-47. cc 2: busy. cc 3: no console there.

    Source: VM/370 System Programmer's Guide (GC20-1807-7) pp. 232-233; System Logic (SY20-0886-1) p. 80.
    """
    subchannel = vm.channels.by_device_number(vm.word(ry))
    if subchannel is None or subchannel.device.name != "console":
        return 3
    if subchannel.busy or subchannel.pending:
        return 2
    note(vm, subchannel.device)
    address, more, ccws = vm.word(rx) & 0xFFFFFF, True, 0
    while more:
        text, first = b"", None
        while first is None or ccw.flags & CD:
            ccws += 1
            try:
                words = vm.real.read(address, 8)
                ccw = Ccw.parse(words, format1=False)
                address += 8
                data = vm.real.read(ccw.address, ccw.count)
            except Interruption:
                return _error(vm, address, 0, PROGRAM_CHECK)
            if first is None:
                first = ccw.command, words[5]
            text += data
            if address % 8 or len(text) > _MOST or ccws > _LONGEST:
                return _error(vm, address, 0, PROGRAM_CHECK)
        command, control = first
        line = control & 0x3F
        if command != _DISPLAY or control != _CLEAR and line * SCREEN[1] + len(text) > _MOST:
            return _error(vm, address, CHANNEL_END | UNIT_CHECK, 0)
        if control == _CLEAR:
            line, text = 0, b""
        subchannel.device.show(line, text, bool(control & _ERASE))
        more = bool(ccw.flags & CC)
    return 0


def _error(vm, address: int, device_status: int, status: int) -> int:
    vm.real.write(_CSW, address.to_bytes(4, "big") + bytes([device_status, status, 0, 0]))
    return 1
