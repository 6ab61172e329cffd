"""Guests that are made of a student's C text: built in the student's process, loaded and run in the grader."""
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pvlab.course.exercises.model import CheckFailed
from pvlab.guests.catalogue import Guest, guest
from pvlab.guests.image import load_image
from pvlab.guests.toolchain import HERE, GuestError, build_guest

_RUNTIME = ("start.S", "parameters.c", "memory.c", "divide.c")


def build(source: str) -> bytes:
    """C source as the bytes of an ELF file, built with the small guests' runtime. Raises GuestError."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "guest.c")
        file.write_text(source, "utf-8", errors="replace")
        runtime = [HERE / "runtime" / name for name in _RUNTIME]
        try:
            return build_guest([file, *runtime], HERE / "runtime/guest.ld").read_bytes()
        except GuestError as error:
            raise GuestError(str(error).replace(f"{file.parent}{os.sep}", "")) from None


def load(elf: bytes, **parameters: int | str) -> Guest:
    """A built guest with its parameters, ready to run. Raises CheckFailed where the bytes are no guest."""
    try:
        return Guest("guest.c", "a student's guest", parameters, load_image(elf, "guest.c"))
    except GuestError as error:
        raise CheckFailed(str(error)) from None


def assembled(source: str) -> Guest:
    """A guest of the course's own assembly (never a student's), built in this process and kept in the cache."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "guest.S")
        file.write_text(source, "utf-8")
        return guest(file)


def with_bytes(of: Guest, symbol: str, data: bytes) -> Guest:
    """The guest with other bytes from this symbol on: a parameter that costs no instruction and no build."""
    at = of.image.symbols[symbol]
    segments = [(address, old[:at - address] + data + old[at - address + len(data):], size)
                if address <= at <= address + len(old) - len(data) else (address, old, size)
                for address, old, size in of.image.segments]
    return replace(of, image=replace(of.image, segments=segments))


def with_word(of: Guest, symbol: str, value: int) -> Guest:
    """The guest with another 32-bit word at this symbol."""
    return with_bytes(of, symbol, value.to_bytes(4, "little"))
