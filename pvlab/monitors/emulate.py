"""The emulator of trap-and-emulate: what each privileged instruction does to the virtual CPU.

Every function takes the virtual CPU and the decoded instruction, and either does all of what the instruction does or
raises the Fault that the real one would raise. The answer says what is left to do: nothing (None: the caller moves EIP
behind the instruction), or one of the three words below.
"""
from __future__ import annotations

from collections.abc import Callable

import unicorn.x86_const as x86

from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import control, segments
from pvlab.machine.x86.decode import Instruction, register_number
from pvlab.machine.x86.faults import GP, UD, Fault
from pvlab.machine.x86.operands import address_of, read
from pvlab.monitors.vcpu import VirtualCpu

TRANSFERRED = "transferred"     # EIP is where it belongs
SHADOW = "shadow"               # no interrupt before the next instruction has retired
HALT = "halt"                   # wait for an interrupt

_TSC, _EFER = 0x10, c.EFER


def _ring0(vcpu: VirtualCpu) -> None:
    if vcpu.cpl:
        raise Fault(GP, 0)


# -- interrupts -------------------------------------------------------------------------------------------------
def cli(vcpu: VirtualCpu, instruction: Instruction) -> None:
    if vcpu.cpl > vcpu.iopl:
        raise Fault(GP, 0)
    vcpu.interrupts = False


def sti(vcpu: VirtualCpu, instruction: Instruction) -> str | None:
    if vcpu.cpl > vcpu.iopl:
        raise Fault(GP, 0)
    was, vcpu.interrupts = vcpu.interrupts, True
    return None if was else SHADOW


def hlt(vcpu: VirtualCpu, instruction: Instruction) -> str:
    _ring0(vcpu)
    return HALT


# -- control registers ----------------------------------------------------------------------------------------------
def mov_control(vcpu: VirtualCpu, instruction: Instruction) -> None:
    _ring0(vcpu)
    target, source = instruction.operands
    if not {target.value, source.value} & _CONTROL.keys():
        raise Fault(UD, 0)
    if target.value.startswith("cr"):
        value = vcpu.regs[register_number(source.value)] & 0xFFFFFFFF
        if target.value == "cr2":
            vcpu.cr2 = value
        else:
            control.check_control(vcpu, target.value, value)
            {"cr0": vcpu.set_cr0, "cr3": vcpu.set_cr3, "cr4": vcpu.set_cr4}[target.value](value)
    else:
        vcpu.regs[register_number(target.value)] = getattr(vcpu, source.value)


def mov_debug(vcpu: VirtualCpu, instruction: Instruction) -> None:
    control.move_debug(vcpu, instruction)


def clts(vcpu: VirtualCpu, instruction: Instruction) -> None:
    _ring0(vcpu)
    vcpu.set_cr0(vcpu.cr0 & ~c.CR0_TS)


def lmsw(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """LMSW writes the low four bits of CR0, and can set PE but not clear it."""
    _ring0(vcpu)
    value = read(vcpu, instruction.operands[0], 2)
    vcpu.set_cr0(vcpu.cr0 & ~0xE | value & 0xF)


def invlpg(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """Shadow tables are always true: only the virtual CPU's own TLB has something to forget."""
    _ring0(vcpu)
    vcpu.mappings_changed()


def wbinvd(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """WBINVD and INVD: there are no caches."""
    _ring0(vcpu)


# -- descriptor tables ------------------------------------------------------------------------------------------------
def load_table(vcpu: VirtualCpu, instruction: Instruction) -> None:
    _ring0(vcpu)
    data = vcpu.read_linear(address_of(vcpu, instruction.operands[0].value), 6)
    base = int.from_bytes(data[2:], "little") & (0xFFFFFFFF if instruction.wide else 0xFFFFFF)
    name = instruction.mnemonic[1:4]
    vcpu.set_table(name, c.Segment(0, base, int.from_bytes(data[:2], "little"), 0))


def load_system(vcpu: VirtualCpu, instruction: Instruction) -> None:
    _ring0(vcpu)
    segments.load_system(vcpu, {"lldt": "ldt", "ltr": "tr"}[instruction.mnemonic],
                         read(vcpu, instruction.operands[0], 2))


# -- model-specific registers ----------------------------------------------------------------------------------------
def rdmsr(vcpu: VirtualCpu, instruction: Instruction) -> None:
    _ring0(vcpu)
    number = vcpu.regs[c.ECX] & 0xFFFFFFFF
    if number == _EFER:
        value = vcpu.efer
    elif number == _TSC:
        value = vcpu.clock()
    elif number in vcpu.sysenter:
        value = vcpu.sysenter[number]
    else:
        value = vcpu.machine.engine.uc.reg_read(x86.UC_X86_REG_MSR, number)
    vcpu.regs[c.EAX], vcpu.regs[c.EDX] = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF


def wrmsr(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """EFER and SYSENTER are virtual; other registers have no effect on the monitor and may be the real ones."""
    _ring0(vcpu)
    number = vcpu.regs[c.ECX] & 0xFFFFFFFF
    value = vcpu.regs[c.EAX] & 0xFFFFFFFF | (vcpu.regs[c.EDX] & 0xFFFFFFFF) << 32
    if number == _EFER:
        vcpu.set_efer(value)
    elif number in vcpu.sysenter:
        vcpu.sysenter[number] = value & (0xFFFF if number == 0x174 else 0xFFFFFFFF)
    elif number != _TSC:
        engine = vcpu.machine.engine
        engine.restore()
        engine.uc.reg_write(x86.UC_X86_REG_MSR, (number, value))
        engine.save()


def rdtsc(vcpu: VirtualCpu, instruction: Instruction) -> None:
    if vcpu.cr4 & c.CR4_TSD and vcpu.cpl:
        raise Fault(GP, 0)
    now = vcpu.clock()
    vcpu.regs[c.EAX], vcpu.regs[c.EDX] = now & 0xFFFFFFFF, now >> 32 & 0xFFFFFFFF


def rdpmc(vcpu: VirtualCpu, instruction: Instruction) -> None:
    raise Fault(GP if vcpu.cpl else UD, 0)        # as the engine's CPU: it has no counters


# -- segments and far transfers ---------------------------------------------------------------------------------------
def load_segment(vcpu: VirtualCpu, instruction: Instruction) -> str | None:
    """MOV and POP to a segment register, LDS, LES, LFS, LGS, LSS."""
    name, operands = instruction.mnemonic, instruction.operands
    if name == "mov":
        register = register_number(operands[0].value)
        segments.load(vcpu, register, read(vcpu, operands[1], 2))
    elif name == "pop":
        stack = segments.current_stack(vcpu, instruction.wide)
        register, selector = register_number(operands[0].value), stack.pop()
        segments.load(vcpu, register, selector)
        vcpu.regs[c.ESP] = stack.esp
    else:
        register, size = register_number(name[1:]), 4 if instruction.wide else 2
        address = address_of(vcpu, operands[1].value)
        data = vcpu.read_linear(address, size + 2, vcpu.cpl == 3)
        segments.load(vcpu, register, int.from_bytes(data[size:], "little"))
        number, value = register_number(operands[0].value), int.from_bytes(data[:size], "little")
        vcpu.regs[number] = value if size == 4 else vcpu.regs[number] & 0xFFFF0000 | value
    return SHADOW if register == c.SS and name != "lss" else None


def far_jump_or_call(vcpu: VirtualCpu, instruction: Instruction) -> str:
    operands = instruction.operands
    if len(operands) == 2:
        selector, offset = operands[0].value, operands[1].value
    else:
        size = 4 if instruction.wide else 2
        data = vcpu.read_linear(address_of(vcpu, operands[0].value), size + 2, vcpu.cpl == 3)
        offset, selector = int.from_bytes(data[:size], "little"), int.from_bytes(data[size:], "little")
    behind = vcpu.eip + instruction.size if instruction.mnemonic == "lcall" else None
    segments.far_transfer(vcpu, selector, offset, instruction.wide, behind)
    return TRANSFERRED


def far_return(vcpu: VirtualCpu, instruction: Instruction) -> str:
    release = instruction.operands[0].value if instruction.operands else 0
    segments.far_return(vcpu, instruction.wide, release)
    return TRANSFERRED


def iret(vcpu: VirtualCpu, instruction: Instruction) -> str:
    segments.far_return(vcpu, instruction.wide, interrupt=True)
    return TRANSFERRED


# -- fast system calls (Intel SDM vol. 2, SYSENTER and SYSEXIT) ---------------------------------------------------------
def sysenter(vcpu: VirtualCpu, instruction: Instruction) -> str:
    segments.sysenter(vcpu, *vcpu.sysenter.values())
    return TRANSFERRED


def sysexit(vcpu: VirtualCpu, instruction: Instruction) -> str:
    segments.sysexit(vcpu, vcpu.sysenter[0x174])
    return TRANSFERRED


Handler = Callable[[VirtualCpu, Instruction], "str | None"]

# mnemonic -> (reason of the exit, what to do)
_TABLE: dict[str, tuple[str, Handler]] = {
    "cli": ("cli", cli), "sti": ("sti", sti), "hlt": ("hlt", hlt), "clts": ("clts", clts), "lmsw": ("lmsw", lmsw),
    "lgdt": ("lgdt", load_table), "lidt": ("lidt", load_table), "lldt": ("lldt", load_system), "ltr": ("ltr", load_system),
    "invlpg": ("invlpg", invlpg), "wbinvd": ("wbinvd", wbinvd), "invd": ("wbinvd", wbinvd),
    "rdmsr": ("rdmsr", rdmsr), "wrmsr": ("wrmsr", wrmsr), "rdtsc": ("rdtsc", rdtsc), "rdpmc": ("rdpmc", rdpmc),
    "iret": ("iret", iret), "iretd": ("iret", iret), "retf": ("far-transfer", far_return),
    "ljmp": ("far-transfer", far_jump_or_call), "lcall": ("far-transfer", far_jump_or_call),
    "sysenter": ("sysenter", sysenter), "sysexit": ("sysexit", sysexit),
    **{name: ("segment-load", load_segment) for name in ("lds", "les", "lfs", "lgs", "lss")},
}
_CONTROL = {f"cr{n}": f"mov-cr{n}" for n in (0, 2, 3, 4)}


def find(instruction: Instruction) -> tuple[str, Handler] | None:
    """The exit's reason and its handler, or None where the instruction needs no monitor (its #GP is the guest's own)."""
    if instruction.mnemonic not in ("mov", "pop"):
        return _TABLE.get(instruction.mnemonic)
    names = [operand.value for operand in instruction.operands if operand.kind == "register"]
    for name in names:
        if name.startswith("cr"):
            return _CONTROL.get(name, "exception"), mov_control
        if name.startswith("dr"):
            return "mov-dr", mov_debug
    if names and names[0] in c.SEGMENT_NAMES and instruction.operands[0].kind == "register":
        return "segment-load", load_segment
    return None
