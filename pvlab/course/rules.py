"""Programs of a few instructions and their translations, run and compared: see the exercise on a translator's rules.

A program's outcome is SEEN words: EAX, EBX, ECX, EDX, ESI, EDI, EBP, the flags without IF, IF, and how far ESP has
moved.
"""
from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from pvlab import Native, TrapAndEmulate, guest

SEEN, FLAGS = 10, 7      # words, and which of them has the flags
_REGISTERS = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp")
_START = {name: f"0x{0x11111111 * (number + 1):08x}" for number, name in enumerate(_REGISTERS)}


def program_of(lines: list[str]) -> list[str]:
    """The lines between loading the registers and storing what is left in them; {n} is the program's number."""
    return ["movl %esp, stack", *(f"movl ${value}, %{name}" for name, value in _START.items()), "xorl $0, stack",
            *lines,
            *(f"movl %{name}, seen + {{n}} + {4 * number}" for number, name in enumerate(_REGISTERS)),
            "pushf", "popl seen + {n} + 28", "movl %esp, seen + {n} + 36", "movl stack, %esp", "movl stack, %eax",
            "subl %eax, seen + {n} + 36"]


def guest_of(programs: list[list[str]], world: str, c: bool = False) -> str:
    """Assembly of a guest that runs these programs one after the other; as a C file, if so wished.

    world: "bare", where IF is the CPU's, or "translated", where it is the word virtual_if
    """
    body = []
    for number, lines in enumerate(programs):
        body += ["movl $0, virtual_if", *(["cli"] if world == "bare" else []), *lines,
                 "movl seen + {n} + 28, %eax", "andl $~0x200, seen + {n} + 28",
                 *(["shrl $9, %eax", "andl $1, %eax"] if world == "bare" else ["movl virtual_if, %eax"]),
                 "movl %eax, seen + {n} + 32"]
        body = [line.replace("{n}", str(4 * SEEN * number)) for line in body]
    text = [".text", ".globl main, virtual_if", "main:", "pusha", *body, *(["cli"] if world == "bare" else []), "popa",
            "xorl %eax, %eax", "ret", ".bss", "virtual_if: .skip 4", "stack: .skip 4", '.section .pvlab.result, "aw"',
            f"seen: .skip {4 * SEEN * len(programs)}"]
    if not c:
        return "\n".join(text) + "\n"
    quoted = "\n".join('    "' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"' for line in text)
    return f"__asm__(\n{quoted});\n"


def compared(program: list[str], translation: list[str]) -> tuple[dict, dict, list[str]]:
    """What the program leaves on the bare machine, what the translation leaves in ring 1, and the latter's exits."""
    found = []
    for world, lines, monitor in (("bare", program, Native()), ("translated", translation, TrapAndEmulate())):
        with TemporaryDirectory() as folder:
            file = Path(folder, f"{world}.S")
            file.write_text(guest_of([program_of(lines)], world))
            run = monitor.run(guest(file), budget=100_000)
        words = [int.from_bytes(run.result[at:at + 4], "little") for at in range(0, 4 * SEEN, 4)]
        found.append(dict(zip((*_REGISTERS, "flags", "IF", "esp moved"), words)))
    return *found, sorted(set(run.trace.by_reason()) - {"io:write"})
