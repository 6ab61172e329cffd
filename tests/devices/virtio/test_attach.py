"""A device knows no instruction set and no monitor: it is attached in ten lines to a machine of any kind."""
from pathlib import Path

import pytest
import unicorn as uc
from elftools.elf.elffile import ELFFile

from pvlab.devices.backends.disk import patterned
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.driver import Driver
from pvlab.guests.toolchain import _build

HERE = Path(__file__).parent
RAM, BASE, TO = 0x4000_0000, 0x1000_1000, 0x4010_0000
COUNT = 4

MACHINES = {
    "riscv64": (uc.UC_ARCH_RISCV, uc.UC_MODE_RISCV64, ["-mcmodel=medany"]),
    "riscv32": (uc.UC_ARCH_RISCV, uc.UC_MODE_RISCV32, ["-mcmodel=medany"]),
    "aarch64": (uc.UC_ARCH_ARM64, uc.UC_MODE_ARM, []),
    "arm": (uc.UC_ARCH_ARM, uc.UC_MODE_ARM, ["-mcpu=cortex_a15-neon-vfp2-vfp3-vfp4"]),
    "x86_64": (uc.UC_ARCH_X86, uc.UC_MODE_64, []),
}


def test_a_machine_of_plain_python():
    """What a machine must have is all here: some bytes, and a place where the interrupt goes."""
    class Machine:
        memory, pending = bytearray(1 << 17), False

        def read(self, address, size):
            return self.memory[address:address + size]

        def write(self, address, data):
            self.memory[address:address + len(data)] = data
    machine = Machine()
    device = VirtioBlock(patterned(8), machine, lambda level: setattr(machine, "pending", level))
    driver = Driver(device, machine, start=0x1000)

    driver.start(2)
    machine.write(0x8008, b"\x05")
    driver.queues[0].add((0x8000, 16, False), (0x8100, 512, True), (0x8300, 1, True))
    assert machine.pending and machine.read(0x8100, 512) == patterned(8).read(5)


@pytest.mark.parametrize("target", MACHINES)
def test_an_engine_of_another_instruction_set_runs_a_driver_in_machine_code(target):
    architecture, mode, flags = MACHINES[target]
    engine = uc.Uc(architecture, mode)
    engine.mem_map(RAM, 1 << 21)

    class Memory:
        read, write = staticmethod(engine.mem_read), staticmethod(engine.mem_write)
    raised = []
    disk = patterned(4 * COUNT)
    device = VirtioBlock(disk, Memory, raised.append)
    engine.mmio_map(BASE & ~0xFFF, 0x1000, lambda engine, offset, size, _: device.read(offset, size), None,
                    lambda engine, offset, size, value, _: device.write(offset, size, value), None)

    entry, result = load(engine, target, flags)
    engine.emu_start(entry, 0, count=400_000)
    assert int.from_bytes(engine.mem_read(result, 4), "little") == 1
    wanted = b"".join(patterned(4 * COUNT).pieces())[:512 * COUNT]
    assert engine.mem_read(TO, 512 * COUNT) == wanted
    assert disk.read(COUNT, COUNT) == bytes(~byte & 0xFF for byte in wanted)
    assert device.broken == "" and raised == [True, False] * (2 * COUNT + 1)


def load(engine, target, flags):
    """Build disk.c for a target and put it into the engine: its entry, and where it leaves its result."""
    built = _build([HERE / "disk.c"], ["-target", f"{target}-freestanding-none", "-O1", "-g0", "-ffreestanding",
                                       "-nostdlib", "-static", "-fno-pic", "-fno-sanitize=all", "-fno-stack-protector",
                                       f"-DBASE={BASE:#x}", f"-DTO={TO:#x}", f"-DCOUNT={COUNT}",
                                       f"-Wl,-T,{HERE / 'disk.ld'}", *flags], ".elf", [HERE / "disk.ld"])
    with open(built, "rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            engine.mem_write(segment["p_paddr"], segment.data())
        result = elf.get_section_by_name(".symtab").get_symbol_by_name("result")[0]["st_value"]
        stack = {uc.UC_ARCH_RISCV: uc.riscv_const.UC_RISCV_REG_SP, uc.UC_ARCH_ARM64: uc.arm64_const.UC_ARM64_REG_SP,
                 uc.UC_ARCH_ARM: uc.arm_const.UC_ARM_REG_SP, uc.UC_ARCH_X86: uc.x86_const.UC_X86_REG_RSP}
        engine.reg_write(stack[engine._arch], RAM + (1 << 21) - 64)
        return elf["e_entry"], result
