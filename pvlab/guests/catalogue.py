"""The guests that there are, what can be asked of each, and how a user's own file becomes one."""
from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pvlab.guests.image import MEMORY, Image, load_image
from pvlab.guests.toolchain import HERE, GuestError, build_guest

LONGEST_COMMAND_LINE = 1000     # characters; the machine keeps it in the memory below the guest
LARGEST_FILE = 64 << 20         # bytes of a user's ELF file: twice the memory it could be loaded into

_RUNTIME = ("runtime/start.S", "runtime/parameters.c", "runtime/memory.c", "runtime/divide.c")
_SOURCES = {".c", ".S", ".s"}


@dataclass(frozen=True)
class Guest:
    """A guest with its parameters: what a monitor runs.

    name, description   from the catalogue, or a user's file and its kind
    parameters          {name: value}, defaults filled in
    image               the built form
    cmdline             the parameters as the guest sees them: "workload=syscall n=1000"
    memory              bytes of RAM that its machine has
    """

    name: str
    description: str
    parameters: dict[str, int | str]
    image: Image = field(repr=False)
    memory: int = MEMORY

    @property
    def cmdline(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.parameters.items())


@dataclass(frozen=True)
class Number:
    """A parameter that is a whole number, within limits that may depend on the value of another parameter, `by`.

    `ranges` gives (default, least, most) for each value of that other parameter, or for None when there is none.
    """

    description: str
    ranges: Mapping[str | None, tuple[int, int, int]]
    by: str | None = None

    def check(self, name: str, value: int | str | None, others: Mapping[str, int | str]) -> int:
        default, least, most = self.ranges[others.get(self.by) if self.by else None]
        if value is None:
            return default
        try:
            number = int(str(value), 0) if not isinstance(value, (bool, float)) else None
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            where = f" for {self.by}={others[self.by]}" if self.by else ""
            raise GuestError(f"{name}={value}: must be a whole number from {least} to {most}{where}")
        return number

    def to_dict(self) -> dict:
        if not self.by:
            return {"description": self.description, **dict(zip(("default", "min", "max"), self.ranges[None]))}
        return {"description": self.description, "by": self.by,
                **{what: {key: values[i] for key, values in self.ranges.items()}
                   for i, what in enumerate(("default", "min", "max"))}}


@dataclass(frozen=True)
class Choice:
    """A parameter that is one of several names. `choices` gives each a line that says what it means."""

    description: str
    choices: Mapping[str, str]
    default: str

    def check(self, name: str, value: int | str | None, others: Mapping[str, int | str]) -> str:
        if value is None:
            return self.default
        if str(value) not in self.choices:
            raise GuestError(f"{name}={value}: must be one of {', '.join(self.choices)}")
        return str(value)

    def to_dict(self) -> dict:
        return {"description": self.description, "default": self.default, "choices": dict(self.choices)}


@dataclass(frozen=True)
class Entry:
    """One guest of the catalogue. `parameters` stand in an order in which each depends only on those before it."""

    name: str
    description: str
    sources: tuple[str, ...]
    script: str = "runtime/guest.ld"
    parameters: Mapping[str, Number | Choice] = field(default_factory=dict)

    def fill(self, given: Mapping[str, int | str]) -> dict[str, int | str]:
        """The given parameters, checked, and the defaults of the others. Raises GuestError."""
        for name in given:
            if name not in self.parameters:
                known = f"it has {', '.join(self.parameters)}" if self.parameters else "it has none"
                raise GuestError(f"the guest '{self.name}' has no parameter '{name}': {known}")
        filled: dict[str, int | str] = {}
        for name, parameter in self.parameters.items():
            filled[name] = parameter.check(name, given.get(name), filled)
        return filled

    def to_dict(self) -> dict:
        """What `pvlab guests --json` prints of it."""
        return {"name": self.name, "description": self.description,
                "parameters": {name: parameter.to_dict() for name, parameter in self.parameters.items()}}


# Each workload of the kernel: what it does n times, and the default and greatest n. At its greatest, n keeps a run on
# the bare machine within the default budget of instructions.
WORKLOADS = {
    "compute": ("arithmetic in user mode: find the primes below 512", 1000, 10_000),
    "syscall": ("a system call that does nothing", 1000, 100_000),
    "context-switch": ("one process gives way to another, in another address space", 1000, 100_000),
    "page-fault": ("touch a page that is missing; the kernel maps it", 1000, 100_000),
    "page-table-update": ("change a page's entry in the page table and use the page", 1000, 100_000),
    "fork": ("copy a process and its address space, run the copy, take it down", 100, 10_000),
    "interrupt-flags": ("save, clear and restore the interrupt flag (PUSHF, CLI, POPF); then wait", 1000, 100_000),
    "port-io": ("read an I/O port", 1000, 100_000),
    "divide-error": ("divide by zero in user mode; the kernel goes on behind it", 1000, 100_000),
    "call-return": ("a call and a return, in the kernel", 100_000, 10_000_000),
    "timer": ("a timer interrupt while a program runs", 20, 1000),
    "idle": ("wait for the next timer interrupt, the CPU halted", 20, 1000),
    "console": ("a program prints a line", 100, 10_000),
    "control-register": ("write a control register (CR2) and read it back", 1000, 100_000),
}

# The instructions in the order in which the guest reports them, each with what makes it sensitive.
INSTRUCTIONS = {
    "all": "every one of them", "sgdt": "shows the GDT register", "sidt": "shows the IDT register",
    "sldt": "shows the LDT register", "smsw": "shows the low half of CR0", "pushf": "shows the interrupt flag",
    "popf": "sets the interrupt flag", "lar": "shows a descriptor's rights", "lsl": "shows a descriptor's limit",
    "verr": "tells whether a segment may be read", "verw": "tells whether a segment may be written",
    "pop-es": "loads a segment register", "push-cs": "shows the privilege level",
    "push-ss": "shows the privilege level", "call-far": "goes to another code segment",
    "call-gate": "goes through a gate", "jmp-far": "goes to another code segment", "int": "goes through the IDT",
    "ret-far": "goes back to another code segment", "str": "shows the task register",
    "mov-from-cs": "shows the privilege level", "mov-to-es": "loads a segment register",
    "iret": "returns, and sets the interrupt flag", "iret-push-cs": "the same, with CS as PUSH shows it",
}

CATALOGUE = {entry.name: entry for entry in (
    Entry("hello", "the smallest guest: prints a line and switches off", ("hello.S", *_RUNTIME)),
    Entry("sensitive", "reports what each of Robin and Irvine's sensitive instructions shows a kernel",
          ("sensitive/sensitive.c", "sensitive/entry.S", *_RUNTIME),
          parameters={"only": Choice("which instruction", INSTRUCTIONS, "all")}),
    Entry("kernel", "a small operating system: a ring 0 kernel, user programs, paging, a timer, system calls",
          (*(f"kernel/{name}" for name in ("main.c", "boot.S", "boot.c", "trap.S", "trap.c", "memory.c", "process.c",
                                           "timer.c", "console.c", "workloads.c", "user.c")),
           "runtime/parameters.c", "runtime/memory.c"),
          script="kernel/kernel.ld",
          parameters={
              "workload": Choice("what it does", {name: what for name, (what, _, _) in WORKLOADS.items()}, "syscall"),
              "n": Number("how often", {name: (n, 1, most) for name, (_, n, most) in WORKLOADS.items()}, by="workload"),
          }),
)}


def known_guests() -> list[Entry]:
    """The catalogue, from the smallest guest to the largest."""
    return list(CATALOGUE.values())


def guest(name: str | os.PathLike, /, **parameters: int | str) -> Guest:
    """The guest of this name, or a user's own: an ELF file, or a .c or .S file, by its path.

    Parameters are checked against the catalogue; those of a user's guest go to its command line as they are. Raises
    GuestError: it names what is wrong and, for a name or value, what there is instead.
    """
    text = os.fspath(name)
    if text in CATALOGUE:
        entry = CATALOGUE[text]
        filled = entry.fill(parameters)
        built = build_guest([HERE / source for source in entry.sources], HERE / entry.script)
        return Guest(text, entry.description, filled, _load_built(built, text))
    path = Path(text)
    if not (isinstance(name, os.PathLike) or any(mark in text for mark in (os.sep, os.altsep or os.sep))
            or path.suffix in _SOURCES | {".elf"} or path.is_file()):
        raise GuestError(f"no guest '{text}': there are {', '.join(CATALOGUE)}, or give the path of your own "
                         "(.elf, .c or .S)")
    _check_command_line(parameters)
    return _own_guest(path, dict(parameters))


def _own_guest(path: Path, parameters: dict[str, int | str]) -> Guest:
    """A guest from a user's file."""
    if not path.exists():
        raise GuestError(f"{path}: no such file")
    if not path.is_file():
        raise GuestError(f"{path}: not a file")
    if path.suffix in _SOURCES:
        built = build_guest([path.absolute(), *(HERE / source for source in _RUNTIME)], HERE / "runtime/guest.ld")
        return Guest(path.name, f"compiled from {path}", parameters, _load_built(built, path.name))
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as error:
        raise GuestError(f"{path}: {error.strerror}") from None
    if size > LARGEST_FILE:
        raise GuestError(f"{path}: {size} bytes are too many for a guest (at most {LARGEST_FILE})")
    return Guest(path.name, f"loaded from {path}", parameters, load_image(data, str(path)))


def _check_command_line(parameters: Mapping[str, int | str]) -> None:
    """A user's parameters stand on the command line as they are, so they must be words."""
    for name, value in parameters.items():
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", name, re.ASCII):
            raise GuestError(f"'{name}' cannot be a parameter's name: use letters, digits, '_', '-' and '.'")
        if not re.fullmatch(r"[!-~]*", str(value)):
            raise GuestError(f"{name}={value}: a value must be of printable ASCII characters, without spaces")
    length = sum(len(name) + len(str(value)) + 2 for name, value in parameters.items())
    if length > LONGEST_COMMAND_LINE:
        raise GuestError(f"the parameters make a command line of {length} characters (at most {LONGEST_COMMAND_LINE})")


@functools.lru_cache(maxsize=64)
def _load_built(built: Path, name: str) -> Image:
    """A built file's image. Its path has its content's hash in it, so it need not be read twice."""
    return load_image(built.read_bytes(), name)
