"""From a line of assembly to its bytes, for experiments on a single instruction."""
from __future__ import annotations

import hashlib

from pvlab.guests.image import load_image
from pvlab.guests.toolchain import HERE, GuestError, build_guest, cache_dir


ORIGIN = 0x100000     # as assembly.ld has it


def assemble(text: str, arch: str = "x86") -> bytes:
    """The machine code of an assembly snippet, 32-bit AT&T or s390x, to be run at ORIGIN.

    Instructions may be separated by `;`, on s390x by new lines. Raises GuestError, with the assembler's own message.
    """
    snippets = cache_dir() / "snippets"
    source = snippets / f"{hashlib.sha256((arch + text).encode()).hexdigest()[:16]}.S"
    body = f".text\n.globl _start\n_start:\n{text}\n"
    try:
        snippets.mkdir(parents=True, exist_ok=True)
        source.write_text(body, encoding="utf-8")
    except OSError as error:
        raise GuestError(f"cannot write to {snippets}: {error.strerror or error}") from None
    image = load_image(build_guest([source], HERE / "assembly.ld", arch).read_bytes(), "assembly")
    return image.segments[0][1]
