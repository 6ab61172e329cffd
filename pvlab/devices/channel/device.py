"""What every channel device answers: no-operation, sense and sense ID. A device has commands and one block of sense."""
from __future__ import annotations

from pvlab.devices.channel.formats import ENDED, NOP, SENSE, SENSE_ID, UNIT_CHECK
from pvlab.devices.channel.program import Transfer

# Sense byte 0, the same for all devices.
COMMAND_REJECT, INTERVENTION_REQUIRED, BUS_OUT, EQUIPMENT_CHECK, DATA_CHECK = 0x80, 0x40, 0x20, 0x10, 0x08


class Device:
    """A device with its control unit.

    control_unit, kind     (type, model), the types as four decimal digits in hexadecimal: 0x3330
    sense                  what SENSE gives: why the last command ended with a unit check
    """

    control_unit: tuple[int, int]
    kind: tuple[int, int]
    sense_size = 1
    name = "device"

    def __init__(self):
        self.sense = bytes(self.sense_size)

    def begin(self) -> None:
        """A new channel program begins."""

    def command(self, code: int, transfer: Transfer) -> int:
        """Carry out a command; returns the unit status. Raises Waiting if it cannot be carried out yet."""
        if code == SENSE:
            transfer.give(self.sense)
            self.sense = bytes(self.sense_size)
            return ENDED
        if code == NOP:
            return ENDED
        if code == SENSE_ID:
            (unit, unit_model), (kind, model) = self.control_unit, self.kind
            transfer.give(b"\xff" + unit.to_bytes(2, "big") + bytes([unit_model]) + kind.to_bytes(2, "big")
                          + bytes([model]))
            return ENDED
        self.sense = bytes(self.sense_size)
        return self.operate(code, transfer)

    def operate(self, code: int, transfer: Transfer) -> int:
        """The device's own commands."""
        return self.check(COMMAND_REJECT)

    def check(self, *sense: int, ended: bool = False) -> int:
        """Keep these sense bytes; returns the status for it. A command refused at once has not `ended`."""
        self.sense = bytes(sense).ljust(self.sense_size, b"\0")
        return UNIT_CHECK | (ENDED if ended else 0)
