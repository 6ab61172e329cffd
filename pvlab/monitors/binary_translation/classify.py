"""Decoding guest code: what each instruction is to the translator.

Most of a kernel's instructions do in ring 1 what they did in ring 0: they are copied (IDENT). The others are of four
families: control flow, whose targets are guest addresses; what can be done in a few instructions against the virtual
CPU's memory; what needs the monitor (a callout); and bytes that are no instruction.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pvlab.machine.x86.decode import PREFIXES, is_repeated, lines

IDENT = "ident"
# control flow
JUMP, BRANCH, LOOP, CALL, JUMP_INDIRECT, CALL_INDIRECT, RETURN = (
    "jump", "branch", "loop", "call", "jump-indirect", "call-indirect", "return")
CONTROL_FLOW = frozenset((JUMP, BRANCH, LOOP, CALL, JUMP_INDIRECT, CALL_INDIRECT, RETURN))
# emulated in the cache; STORE is a store that often hits a page table (see adaptive.py)
STORE = "store"
CLI, STI, PUSHF, POPF, READ_CONTROL, WRITE_CR2, READ_WORD, PUSH_WORD, STORE_TABLE = (
    "cli", "sti", "pushf", "popf", "read-control", "write-cr2", "read-word", "push-word", "store-table")
IN_CACHE = frozenset((
    CLI, STI, PUSHF, POPF, READ_CONTROL, WRITE_CR2, READ_WORD, PUSH_WORD, STORE_TABLE, STORE))
CALLOUT, INVALID = "callout", "invalid"
WRITE_CALLOUT = "write-callout"          # of such a store

_SEGMENTS = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65))
_CONDITIONAL = range(0x70, 0x80)

# By opcode, where no more than the opcode decides; 0F xx is written 0x0Fxx.
_KINDS = {
    **{opcode: BRANCH for opcode in (*_CONDITIONAL, *range(0x0F80, 0x0F90))},
    **{opcode: LOOP for opcode in range(0xE0, 0xE4)},
    0xE8: CALL, 0xE9: JUMP, 0xEB: JUMP, 0xC2: RETURN, 0xC3: RETURN,
    0xFA: CLI, 0xFB: STI, 0x9C: PUSHF, 0x9D: POPF, 0x0E: PUSH_WORD, 0x16: PUSH_WORD,
    # HLT, ports, INT n, far transfers, segment loads
    **{opcode: CALLOUT for opcode in (
        0xF4, 0xE4, 0xE5, 0xE6, 0xE7, 0xEC, 0xED, 0xEE, 0xEF, 0x6C, 0x6D, 0x6E, 0x6F, 0xCC, 0xCD, 0xCE, 0xF1,
        0x9A, 0xEA, 0xCA, 0xCB, 0xCF, 0x07, 0x17, 0x1F)},
    # LAR, LSL, CLTS, INVD, WBINVD, debug and control registers, MSRs, fast system calls, segment loads
    **{opcode: CALLOUT for opcode in (
        0x0F02, 0x0F03, 0x0F05, 0x0F06, 0x0F07, 0x0F08, 0x0F09, 0x0F21, 0x0F23, 0x0F30, 0x0F31, 0x0F32, 0x0F33,
        0x0F34, 0x0F35, 0x0FA1, 0x0FA9, 0x0FB2, 0x0FB4, 0x0FB5)},
}


def line_of(kind: str) -> str:
    """Which of the four an instruction of this kind is: 'ident', 'rewritten', 'in_cache' or 'callouts'."""
    if kind in IN_CACHE:
        return "in_cache"
    return "ident" if kind == IDENT else "rewritten" if kind in CONTROL_FLOW else "callouts"


class Guest(NamedTuple):
    """One guest instruction of a unit. `opcode` is the offset of its opcode, behind the prefixes."""

    address: int
    code: bytes
    text: str
    kind: str
    opcode: int

    @property
    def end(self) -> int:
        return self.address + len(self.code)

    @property
    def prefixes(self) -> bytes:
        return self.code[:self.opcode]

    @property
    def segment_prefix(self) -> bytes:
        """The segment override, if there is one."""
        return bytes(b for b in self.prefixes if b in _SEGMENTS)[-1:]

    @property
    def modrm(self) -> int:
        """The offset of the ModRM byte, where the instruction has one."""
        return self.opcode + (2 if self.code[self.opcode] == 0x0F else 1)

    @property
    def is_repeated_string(self) -> bool:
        return is_repeated(self.code)

    @property
    def target(self) -> int:
        """Where a direct jump, branch, loop or call goes."""
        wide = self.code[self.opcode] in (0xE8, 0xE9, 0x0F)
        return self.end + int.from_bytes(self.code[-4 if wide else -1:], "little", signed=True) & 0xFFFFFFFF


def is_plain_store(code: bytes) -> bool:
    """MOV of 32 bits to memory, or CMPXCHG8B: what the adaptive handlers know."""
    if code[0] == 0xA3:
        return True
    if code[0] in (0x89, 0xC7):
        return code[1] < 0xC0 and (code[0] == 0x89 or not code[1] >> 3 & 7)
    code = code[code[0] == 0xF0:]
    return code[:2] == b"\x0f\xc7" and code[2] < 0xC0 and code[2] >> 3 & 7 == 1


def decode(code: bytes, address: int, count: int) -> Iterator[Guest]:
    """The first `count` instructions in `code`, 32-bit code at `address`; an INVALID one where there are fewer."""
    done = found = 0
    for at, size, text in lines(code, address, count):
        found += 1
        piece = code[done:done + size]
        opcode = next((i for i, byte in enumerate(piece) if byte not in PREFIXES), 0)
        yield Guest(at, piece, text, _kind(piece, opcode), opcode)
        done += size
    if found < count and done < len(code):
        yield Guest(address + done, code[done:done + 1], "(no instruction)", INVALID, 0)


def _kind(code: bytes, at: int) -> str:
    prefixes, opcode = code[:at], code[at]
    if opcode == 0x0F:
        opcode = 0x0F00 | code[at + 1]
    kind = _KINDS.get(opcode) or _by_modrm(opcode, code, at)
    if kind in (IDENT, CALLOUT):
        return kind
    # A prefix that changes what the instruction does, or is wrong: rare enough to be a callout.
    return CALLOUT if any(byte not in _ALLOWED.get(kind, ()) for byte in prefixes) else kind


_ALLOWED = {LOOP: (0x67,), BRANCH: (0x2E, 0x3E), RETURN: (0xF3,),      # the last two: hints to old predictors
            **{kind: _SEGMENTS for kind in (JUMP_INDIRECT, CALL_INDIRECT, STORE_TABLE, READ_WORD)}}


def _by_modrm(opcode: int, code: bytes, at: int) -> str:
    if opcode not in (0xFF, 0x8C, 0x8E, 0xC4, 0xC5, 0x0F00, 0x0F01, 0x0F20, 0x0F22):
        return IDENT
    modrm = code[at + (1 if opcode < 0x100 else 2)]
    register, is_register = modrm >> 3 & 7, modrm >= 0xC0
    if opcode == 0xFF:
        return {2: CALL_INDIRECT, 4: JUMP_INDIRECT, 3: CALLOUT, 5: CALLOUT}.get(register, IDENT)
    if opcode == 0x8E:
        return CALLOUT if register in (0, 2, 3, 4, 5) else IDENT      # what IDENT is here faults by itself
    if opcode in (0xC4, 0xC5):
        return IDENT if is_register else CALLOUT
    if opcode == 0x8C:
        return READ_WORD if register in (1, 2) else IDENT
    if opcode == 0x0F20:
        return READ_CONTROL if register in (0, 2, 3, 4) else CALLOUT
    if opcode == 0x0F22:
        return WRITE_CR2 if register == 2 else CALLOUT
    if opcode == 0x0F00:
        return READ_WORD if register < 2 else CALLOUT
    if register < 2:
        return IDENT if is_register else STORE_TABLE     # of the register forms, those that exist need no monitor
    return READ_WORD if register == 4 else CALLOUT
