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
# For each instruction set: what every guest is linked with, and how it is laid out.
_RUNTIME_S390X = ("s390x/start.S", "s390x/runtime.c", "s390x/console.c", "s390x/memory.c", "runtime/parameters.c")
_RUNTIMES = {"x86": (_RUNTIME, "runtime/guest.ld"), "s390x": (_RUNTIME_S390X, "s390x/guest.ld")}


@dataclass(frozen=True)
class Guest:
    """A guest with its parameters: what a monitor runs.

    name, description   from the catalogue, or a user's file and its kind
    parameters          {name: value}, defaults filled in
    image               the built form
    cmdline             the parameters as the guest sees them: "workload=syscall n=1000"
    memory              bytes of RAM that its machine has
    cpus, frames        virtual CPUs that its machine has, and page frames that CP gives it (None: one for each page)
    typed               lines that somebody types at its console
    """

    name: str
    description: str
    parameters: dict[str, int | str]
    image: Image = field(repr=False)
    memory: int = MEMORY
    cpus: int = 1
    frames: int | None = None
    typed: tuple[str, ...] = ()

    @property
    def cmdline(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.parameters.items())


@dataclass(frozen=True)
class Number:
    """A parameter that is a whole number, within limits that may depend on the value of another parameter, `by`.

    `ranges` gives (default, least, most) for each value of that other parameter, or for None when there is none. With
    a value that is not in it, the guest has no such parameter.
    """

    description: str
    ranges: Mapping[str | None, tuple[int, int, int]]
    by: str | None = None

    def check(self, name: str, value: int | str | None, others: Mapping[str, int | str]) -> int | None:
        found = self.ranges.get(others.get(self.by) if self.by else None)
        if found is None:
            return _absent(name, value, self.by, others)
        default, least, most = found
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
    """A parameter that is one of several names. `choices` gives each a line that says what it means.

    Which of them there are may depend on another parameter, `by`: `default` then gives for each of its values those
    names, the default first. With a value that is not in it, the guest has no such parameter.
    """

    description: str
    choices: Mapping[str, str]
    default: str | Mapping[str, tuple[str, ...]]
    by: str | None = None

    def check(self, name: str, value: int | str | None, others: Mapping[str, int | str]) -> str | None:
        names = self.default.get(others.get(self.by)) if self.by else (self.default, *self.choices)
        if names is None:
            return _absent(name, value, self.by, others)
        if value is None:
            return names[0]
        if str(value) not in names:
            where = f" for {self.by}={others[self.by]}" if self.by else ""
            raise GuestError(f"{name}={value}: must be one of {', '.join(names if self.by else self.choices)}{where}")
        return str(value)

    def to_dict(self) -> dict:
        if not self.by:
            return {"description": self.description, "default": self.default, "choices": dict(self.choices)}
        return {"description": self.description, "by": self.by, "choices": dict(self.choices),
                "default": {key: names[0] for key, names in self.default.items()},
                "allowed": {key: list(names) for key, names in self.default.items()}}


def _absent(name: str, value: int | str | None, by: str, others: Mapping[str, int | str]) -> None:
    if value is not None:
        where = f"for {by}={others[by]}" if by in others else f"where no {by} is used"
        raise GuestError(f"{name}={value}: there is no such parameter {where}")


@dataclass(frozen=True)
class Entry:
    """One guest of the catalogue. `parameters` stand in an order in which each depends only on those before it."""

    name: str
    description: str
    sources: tuple[str, ...]
    script: str = "runtime/guest.ld"
    arch: str = "x86"
    parameters: Mapping[str, Number | Choice] = field(default_factory=dict)
    cpus: int = 1
    frames: int | None = None
    typed: tuple[str, ...] = ()

    def fill(self, given: Mapping[str, int | str]) -> dict[str, int | str]:
        """The given parameters, checked, and the defaults of the others. Raises GuestError."""
        for name in given:
            if name not in self.parameters:
                known = f"it has {', '.join(self.parameters)}" if self.parameters else "it has none"
                raise GuestError(f"the guest '{self.name}' has no parameter '{name}': {known}")
        filled: dict[str, int | str] = {}
        for name, parameter in self.parameters.items():
            value = parameter.check(name, given.get(name), filled)
            if value is not None:
                filled[name] = value
        return filled

    def to_dict(self) -> dict:
        """What `pvlab guests --json` prints of it."""
        return {"name": self.name, "description": self.description, "arch": self.arch,
                "parameters": {name: parameter.to_dict() for name, parameter in self.parameters.items()}}


# Each workload of the kernel: what it does n times, and the default and greatest n. At its greatest, n keeps a run on
# the bare machine within the default budget of instructions.
CPU_WORKLOADS = {
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
IO_WORKLOADS = {
    "disk-read": ("read a sector of the disk", 64, 5000),
    "disk-write": ("write a sector of the disk", 64, 5000),
    "net-send": ("send a packet", 500, 20_000),
    "net-receive": ("receive a packet", 500, 20_000),
}
WORKLOADS = CPU_WORKLOADS | IO_WORKLOADS

# What the workloads that use devices can be given besides: see guests/kernel/disk.c, net.c, console.c and virtio.c.
_DISK, _NET = ("disk-read", "disk-write"), ("net-send", "net-receive")
_IO = {
    "device": Choice("by which device", {
        "ata": "an ATA disk by programmed I/O, one word by each IN or OUT",
        "ata-rep": "the same, a sector by each REP INS or OUTS",
        "e1000": "an Intel 82540EM network card, registers in memory",
        "debug": "the debug port, a write to a byte",
        "uart": "a 16550 serial port, two accesses to a byte",
        "virtio": "a virtio device, requests through a ring in memory"},
        {**dict.fromkeys(_DISK, ("ata", "ata-rep", "virtio")), **dict.fromkeys(_NET, ("e1000", "virtio")),
         "console": ("debug", "uart", "virtio")}, by="workload"),
    "batch": Number("sectors to a request, or packets to a notification of the card",
                    {**dict.fromkeys(_DISK, (1, 1, 32)), **dict.fromkeys(_NET, (1, 1, 128))}, by="workload"),
    "depth": Number("requests that are under way at once (virtio)", dict.fromkeys(_DISK, (1, 1, 128)), by="workload"),
    "size": Number("bytes of a packet", dict.fromkeys(_NET, (60, 60, 1514)), by="workload"),
    "gap": Number("nanoseconds between two packets that arrive", {"net-receive": (20_000, 1000, 1_000_000)},
                  by="workload"),
    "moderation": Number("microseconds between two interrupts at least", {"e1000": (0, 0, 10_000)}, by="device"),
    "suppression": Choice("how a virtio driver and its device spare each other notifications", {
        "event-idx": "by the index from which on they are wanted", "flags": "by a flag for all of them",
        "none": "not at all"}, {"virtio": ("event-idx", "flags", "none")}, by="device"),
    "indirect": Choice("where a virtio buffer's parts are described", {
        "no": "each by a descriptor of the ring", "yes": "in a table of their own, which takes one descriptor"},
        {"virtio": ("no", "yes")}, by="device"),
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


def _s390x(name: str, description: str, *sources: str, **more) -> Entry:
    """An entry for the control program: sources in s390x/, with the runtime."""
    return Entry(name, description, (*(f"s390x/{source}" for source in sources), *_RUNTIME_S390X), "s390x/guest.ld",
                 "s390x", **more)


_S390X = (
    _s390x("s390-hello", "hello from a System z: by a channel program, the service processor, or DIAGNOSE X'08'",
           "hello.c", "channel.c", parameters={"by": Choice("how it prints", {
               "channel": "a channel program for the console", "sclp": "a service call", "diagnose": "a CP command",
           }, "channel")}),
    _s390x("s390-disk-copy", "copies blocks of 2 KiB from disk 190 to disk 191", "disk_copy.c", "channel.c",
           parameters={
               "by": Choice("how it reads and writes", {
                   "channel": "channel programs and I/O interruptions", "x18": "DIAGNOSE X'18', standard DASD I/O",
                   "x20": "DIAGNOSE X'20', general I/O", "x250": "DIAGNOSE X'250', block I/O"}, "channel"),
               "n": Number("blocks", {None: (16, 1, 1140)}),
               "batch": Number("blocks with each request", {"channel": (1, 1, 15), "x18": (1, 1, 15),
                                                            "x20": (1, 1, 15), "x250": (1, 1, 256)}, by="by")}),
    _s390x("s390-console", "a console: passes what is typed to CP (DIAGNOSE X'08'), and prints the response",
           "conversation.c", "channel.c", typed=("QUERY USERID", "QUERY TIME", "QUERY VIRTUAL", "HELLO", "LOGOFF")),
    _s390x("s390-screen", "writes a screen of 22 lines", "screen.c", "channel.c", parameters={
        "by": Choice("how", {"lines": "a channel program for each line", "chained": "one channel program for all lines",
                             "x58": "DIAGNOSE X'58', all of it at once"}, "lines")}),
    _s390x("s390-timer", "waits for timer interruptions, a millisecond apart", "timer.c", parameters={
        "by": Choice("which clock", {"comparator": "the clock comparator", "cpu-timer": "the CPU timer"}, "comparator"),
        "n": Number("interruptions", {None: (10, 1, 10_000)})}),
    _s390x("s390-yield", "two virtual CPUs hand a token to and fro", "yield.c", cpus=2, parameters={
        "by": Choice("how one waits for the other", {
            "spin": "looking at the token", "x44": "DIAGNOSE X'44', giving up the time slice",
            "x9c": "DIAGNOSE X'9C', giving it to the other"}, "spin"),
        "n": Number("times", {None: (20, 1, 1000)})}),
    _s390x("s390-release", "writes to pages, needs them no longer, and later uses them again for something else",
           "release.c", frames=40, parameters={
               "by": Choice("what CP is told", {"keep": "nothing: it must save and restore what nobody needs",
                                                "release": "DIAGNOSE X'10' says which pages"}, "keep"),
               "n": Number("pages", {None: (32, 1, 64)})}),
    _s390x("s390-page-fault", "reads pages that are on CP's paging disk, and has other work to do", "page_fault.c",
           frames=40, parameters={
               "by": Choice("what happens meanwhile", {
                   "wait": "nothing: the virtual machine stands still",
                   "handshake": "the other work: DIAGNOSE X'258' asks CP to tell"}, "wait"),
               "n": Number("pages", {None: (4, 1, 10)})}),
    _s390x("s390-epsw", "asks in two ways in which state it is: by EPSW, and by an interruption", "epsw.c"),
)

CATALOGUE = {entry.name: entry for entry in (
    Entry("hello", "the smallest guest: prints a line and switches off", ("hello.S", *_RUNTIME)),
    Entry("sensitive", "reports what each of Robin and Irvine's sensitive instructions shows a kernel",
          ("sensitive/sensitive.c", "sensitive/entry.S", *_RUNTIME),
          parameters={"only": Choice("which instruction", INSTRUCTIONS, "all")}),
    Entry("kernel", "a small operating system: a ring 0 kernel, user programs, paging, a timer, system calls",
          (*(f"kernel/{name}" for name in ("main.c", "boot.S", "boot.c", "trap.S", "trap.c", "memory.c", "process.c",
                                           "timer.c", "console.c", "workloads.c", "user.c", "lines.c", "disk.c",
                                           "ata.c", "net.c", "e1000.c", "uart.c", "virtio.c", "virtio_block.c",
                                           "virtio_net.c", "virtio_console.c")),
           "runtime/parameters.c", "runtime/memory.c"),
          script="kernel/kernel.ld",
          parameters={
              "workload": Choice("what it does", {name: what for name, (what, _, _) in WORKLOADS.items()}, "syscall"),
              "n": Number("how often", {name: (n, 1, most) for name, (_, n, most) in WORKLOADS.items()}, by="workload"),
              **_IO,
          }),
    *_S390X,
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
        built = build_guest([HERE / source for source in entry.sources], HERE / entry.script, entry.arch)
        return Guest(text, entry.description, filled, _load_built(built, text), cpus=entry.cpus,
                     frames=entry.frames, typed=entry.typed)
    path = Path(text)
    if not (isinstance(name, os.PathLike) or any(mark in text for mark in (os.sep, os.altsep or os.sep))
            or path.suffix in _SOURCES | {".elf"} or path.is_file()):
        raise GuestError(f"no guest '{text}': there are {', '.join(CATALOGUE)}, or give the path of your own "
                         "(.elf, .c or .S)")
    _check_command_line(parameters)
    return _own_guest(path, dict(parameters))


def _own_guest(path: Path, parameters: dict[str, int | str]) -> Guest:
    """A guest from a user's file. A source is for the x86, unless it is named like `mine.s390x.c`."""
    if not path.exists():
        raise GuestError(f"{path}: no such file")
    if not path.is_file():
        raise GuestError(f"{path}: not a file")
    if path.suffix in _SOURCES:
        arch = "s390x" if path.stem.endswith(".s390x") else "x86"
        runtime, script = _RUNTIMES[arch]
        built = build_guest([path.absolute(), *(HERE / source for source in runtime)], HERE / script, arch)
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
