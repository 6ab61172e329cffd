"""A channel subsystem with a scripted device, and storage to write channel programs into."""
from pvlab.devices.channel import formats as f
from pvlab.devices.channel.device import Device
from pvlab.devices.channel.formats import Ccw, Orb
from pvlab.devices.channel.program import Program
from pvlab.devices.channel.subsystem import ChannelSubsystem
from pvlab.machine.memory import Dead

SIZE = 1 << 20
PROGRAM, DATA = 0x1000, 0x4000
SCHID = 0x10000


class Storage:
    """A megabyte with storage keys, all 0 at first."""

    def __init__(self):
        self.bytes, self.keys = bytearray(SIZE), bytearray(SIZE >> 12)

    def read(self, address, size):
        self._check(address, size)
        return bytes(self.bytes[address:address + size])

    def write(self, address, data):
        self._check(address, len(data))
        self.bytes[address:address + len(data)] = data

    def key(self, address):
        self._check(address, 1)
        return self.keys[address >> 12]

    @staticmethod
    def _check(address, size):
        if address + size > SIZE:
            raise Dead(f"{address:#x}")


class Scripted(Device):
    """0x02 reads `block`, 0x01 writes into `written`, 0x0B does nothing, 0x0F ends with `status`, 0x31 compares."""

    control_unit, kind = (0x1234, 5), (0x6789, 0)

    def __init__(self, block=b"", status=f.ENDED, wanted=None):
        super().__init__()
        self.block, self.status, self.wanted, self.written = block, status, wanted, []

    def operate(self, code, transfer):
        if code in (0x02, 0x0C):
            transfer.give(self.block)
        elif code == 0x01:
            self.written.append(transfer.take(self.wanted))
        elif code == 0x31:
            return f.ENDED | (f.STATUS_MODIFIER if transfer.take(1) == self.block[:1] else 0)
        elif code == 0x0F:
            return self.status
        elif code != 0x0B:
            return super().operate(code, transfer)
        return f.ENDED


def ccws(*entries, format1=False):
    """A channel program's bytes; entries are (command, flags, count, address)."""
    return b"".join(Ccw(command, flags, count, address).pack(format1) for command, flags, count, address in entries)


def orb(program=PROGRAM, control=0, parameter=0xCAFE, lpm=0xFF, control2=0):
    return (parameter.to_bytes(4, "big") + control.to_bytes(2, "big") + bytes([lpm, control2])
            + program.to_bytes(4, "big"))


def carry_out(device, entries, control=0, control2=0, storage=None, program=PROGRAM):
    """Run a channel program of these CCWs; gives the Program and the storage."""
    storage = storage or Storage()
    storage.write(PROGRAM, ccws(*entries, format1=bool(control & 0x80)))
    done = Program(storage, device, Orb.parse(orb(program, control, control2=control2)))
    done.run()
    return done, storage


def subsystem(device, enabled=True, isc=0):
    """A channel subsystem with this device at 0x0190, subchannel 0."""
    storage = Storage()
    css = ChannelSubsystem(storage)
    subchannel = css.attach(0x190, device)
    if enabled:
        _, schib = css.store(SCHID)
        assert css.modify(SCHID, schib[:4] + (0x0081 | isc << 11).to_bytes(2, "big") + schib[6:]) == 0
    return css, storage, subchannel


def scsw(irb):
    """An IRB's first words by name."""
    import struct
    flags, control, address, device, status, count = struct.unpack(">HHIBBH", irb[:12])
    return {"flags": flags, "control": control, "address": address, "device": device, "status": status, "count": count}
