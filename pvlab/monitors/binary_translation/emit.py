"""Emitted sequences: what stands in the cache for each guest instruction. Those that emulate are in emulations.py.

A sequence may use EAX, ECX or EDX for itself if it saves them first, and must leave the flags as the guest's
instruction does: so a comparison is an LEA and a JECXZ, which touch none.
"""
from __future__ import annotations

from pvlab.monitors.binary_translation import classify as k
from pvlab.monitors.binary_translation import emulations
from pvlab.monitors.binary_translation.classify import Guest
from pvlab.monitors.binary_translation.code import NEW_BLOCK, A, C, Code


def emit(code: Code, guest: Guest, index: int) -> None:
    """Add the translation of one guest instruction, which is number `index` of its unit."""
    code.begins.append(len(code.bytes))
    code.place(guest.address)
    _EMIT[guest.kind](code, guest, index)
    if guest.kind in k.IN_CACHE:
        code.emulated.append(code.retired[-1])
    code.tail = len(code.bytes)


def _ident(code: Code, guest: Guest, index: int) -> None:
    if _is_cmpxchg8b(guest):
        code(NEW_BLOCK)
    begin = len(code.bytes)
    code(guest.code)
    code.retire()
    if guest.is_repeated_string:
        code.repeats[len(code.bytes)] = begin


def _is_cmpxchg8b(guest: Guest) -> bool:
    at = guest.opcode
    return guest.code[at:at + 2] == b"\x0f\xc7" and guest.code[at + 2] >> 3 & 7 == 1


def _callout(code: Code, guest: Guest, index: int) -> None:
    code.callout(index)


# -- control flow ---------------------------------------------------------------------------------------------------
def _jump(code: Code, guest: Guest, index: int) -> None:
    code.jump(guest.target)
    code.retire()


def _branch(code: Code, guest: Guest, index: int) -> None:
    code.jump(guest.target, f"0f {0x80 | guest.code[guest.modrm - 1] & 15:02x}")
    code.retire()
    code.place(guest.end)
    code.jump(guest.end)


def _loop(code: Code, guest: Guest, index: int) -> None:
    """LOOP, LOOPE, LOOPNE and JECXZ reach 127 bytes only: over a jump to what follows."""
    if guest.code[guest.opcode] < 0xE2:
        code(NEW_BLOCK)
    code(guest.code[:-1], 5)
    code.retire()
    code.place(guest.end)
    code.jump(guest.end)
    code.place(guest.target)
    code.jump(guest.target)


def _push_return(code: Code, guest: Guest) -> None:
    code("68", (guest.end & 0xFFFFFFFF).to_bytes(4, "little"))       # the guest's stack has the guest's address


def _call(code: Code, guest: Guest, index: int) -> None:
    _push_return(code, guest)
    code.retire()
    code.place(guest.target)
    code.jump(guest.target)


def _operand(code: Code, guest: Guest) -> None:
    """Load the guest's operand, a register or memory, into EAX."""
    operand = guest.code[guest.modrm:]
    code(guest.segment_prefix, "8b", operand[0] & 0xC7, operand[1:])


def _jump_indirect(code: Code, guest: Guest, index: int) -> None:
    code.save(A, C)
    _operand(code, guest)
    code.retire()
    code.look_up()


def _call_indirect(code: Code, guest: Guest, index: int) -> None:
    code.save(A, C)
    _operand(code, guest)
    _push_return(code, guest)
    code.retire()
    code.look_up()


def _return(code: Code, guest: Guest, index: int) -> None:
    release = int.from_bytes(guest.code[-2:], "little") if guest.code[guest.opcode] == 0xC2 else 0
    code.save(A, C)
    code("8b 04 24")                                              # mov eax, [esp]
    if release:
        code("8d a4 24", (release + 4).to_bytes(4, "little"))     # lea esp, [esp + 4 + release]
    else:
        code("8d 64 24 04")
    code.retire()
    code.look_up()


_EMIT = {
    k.IDENT: _ident, k.CALLOUT: _callout, k.INVALID: _callout,
    k.JUMP: _jump, k.BRANCH: _branch, k.LOOP: _loop, k.CALL: _call, k.JUMP_INDIRECT: _jump_indirect,
    k.CALL_INDIRECT: _call_indirect, k.RETURN: _return,
    k.CLI: emulations.cli, k.STI: emulations.sti, k.PUSHF: emulations.pushf, k.POPF: emulations.popf,
    k.READ_CONTROL: emulations.read_control, k.WRITE_CR2: emulations.write_cr2, k.READ_WORD: emulations.read_word,
    k.PUSH_WORD: emulations.push_word, k.STORE_TABLE: emulations.store_table,
    k.STORE: emulations.store, k.WRITE_CALLOUT: _callout,
}
