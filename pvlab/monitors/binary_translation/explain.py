"""A unit to look at: the guest's code beside what runs in its place, read from the cache itself."""
from __future__ import annotations

import re
from typing import NamedTuple

from pvlab.errors import PvlabError
from pvlab.machine.x86.decode import lines
from pvlab.monitors.binary_translation import vmem as v
from pvlab.monitors.binary_translation.classify import line_of
from pvlab.monitors.binary_translation.translate import JUMP, Unit

WORDS = {"ident": "IDENT", "rewritten": "rewritten", "in_cache": "in-cache", "callouts": "callout"}
_NAMES = {
    v.EAX: "saved eax", v.ECX: "saved ecx", v.EDX: "saved edx", v.ESI: "saved esi", v.FLAGS: "saved flags",
    v.TARGET: "target", v.GO: "go", v.WINDOW: "window", v.SHADOW: "shadow entry", v.STALE: "stale",
    v.INTERRUPTS: "virtual IF", v.LEVEL: "virtual IOPL", v.PENDING: "interrupt pending",
    v.CR0: "virtual cr0", v.CR2: "virtual cr2", v.CR3: "virtual cr3", v.CR4: "virtual cr4",
    v.CS_WORD: "virtual cs", v.SS_WORD: "virtual ss", v.LDT: "virtual ldtr", v.TR: "virtual tr",
    v.GDT_LIMIT: "gdt limit", v.GDT_BASE: "gdt base", v.IDT_LIMIT: "idt limit", v.IDT_BASE: "idt base",
    v.TABLE: "table", v.TABLE + 4: "table + 4",
    v.KNOWN: "windows", v.KNOWN + 4: "windows + 4", v.KNOWN + 8: "windows + 8",
}


class Host(NamedTuple):
    """One instruction in the cache; `text` has names for the monitor's memory."""

    address: int
    code: bytes
    text: str


class Line(NamedTuple):
    """One guest instruction and what became of it; `what` is IDENT, rewritten, in-cache, callout or next: what stands
    behind the last instruction, with no guest instruction of its own."""

    address: int | None
    code: bytes
    text: str
    what: str
    cache: tuple[Host, ...]


class Explanation:
    """A unit of guest code and its translation, as it stood in the cache when the guest ended."""

    def __init__(self, guest: str, unit: Unit, lines: list[Line], statistics):
        self.guest, self.address, self.end = guest, unit.address, unit.end
        self.lines, self.statistics = lines, statistics

    def to_dict(self) -> dict:
        return {"guest": self.guest, "address": self.address, "size": self.end - self.address, "lines": [
            {"address": line.address, "code": line.code.hex(), "text": line.text, "what": line.what, "cache": [
                {"address": host.address, "code": host.code.hex(), "text": host.text} for host in line.cache]}
            for line in self.lines]}

    def table(self):
        """The unit as a Table: a row for each instruction in the cache."""
        from pvlab.tables import Table
        rows = []
        for line in self.lines:
            for number, host in enumerate(line.cache):
                guest = ["" if line.address is None else f"{line.address:08x}", line.text, line.what]
                rows.append([*(guest if number == 0 else ["", "", ""]), f"{host.address:08x}", host.text])
        return Table(["guest", "instruction", "is", "cache", "what runs"], rows,
                     caption=f"{self.guest}: the unit at {self.address:#010x} and its translation")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def find_address(guest, at: int | str | None) -> int | None:
    """A guest address from a number, a number as text, or a symbol's name. Raises PvlabError."""
    if at is None or isinstance(at, int):
        return at
    if at in guest.image.symbols:
        return guest.image.symbols[at]
    try:
        return int(at, 0)
    except ValueError:
        raise PvlabError(f"'{at}' is neither a number nor a symbol of the guest '{guest.name}'") from None


def explain(monitor, guest, address: int | None) -> Explanation:
    """What the monitor's last run, of this guest, has made of the code at an address; None: of what began it.

    Raises PvlabError where it has translated nothing.
    """
    address = guest.image.entry if address is None else address
    cache = monitor.cache
    unit = cache.units.get(address) or next((unit for unit in cache.all() if any(
        instruction.address <= address < instruction.end for instruction in unit.guest)), None)
    if unit is None:
        known = sorted({unit.address for unit in cache.all()}, key=lambda start: abs(start - address))
        near = ", ".join(f"{start:#010x}" for start in sorted(known[:3]))
        raise PvlabError(f"nothing at {address:#010x} is in the translation cache: '{guest.name}' has run no kernel "
                         f"code there, or the cache has been emptied since; units begin at {near or 'no address'}")
    elided = next((site for site in unit.sites if site.elided), None)
    size = unit.notes.end - JUMP * (elided is not None)
    code = monitor.memory.ram.read(unit.at - cache.base, size)
    hosts = [_host(at, code[at - unit.at:at - unit.at + length], text, monitor, unit)
             for at, length, text in lines(code, unit.at)]
    if elided:
        hosts.append(Host(unit.at + size, b"", f"(unit {elided.target:#x} follows)"))
    ends = [unit.at + offset for offset in (*unit.notes.begins[1:], unit.notes.tail)]
    found, done = [], 0
    for instruction, end in zip(unit.guest, ends):
        mine = []
        while done < len(hosts) and hosts[done].address < end:
            mine.append(hosts[done])
            done += 1
        found.append(Line(instruction.address, instruction.code, instruction.text, WORDS[line_of(instruction.kind)],
                          tuple(mine)))
    if done < len(hosts):
        found.append(Line(None, b"", "", "next", tuple(hosts[done:])))
    return Explanation(guest.name, unit, found, monitor.statistics)


def _host(at: int, code: bytes, text: str, monitor, unit: Unit) -> Host:
    """An instruction of the cache, with names for what it refers to."""
    cache = monitor.cache

    def name(match) -> str:
        offset = int(match[0], 16) - cache.base
        return _NAMES.get(offset, match[0])
    text = re.sub(r"(?<=\[)0x[0-9a-f]{6,8}(?=\])|(?<= )0x[0-9a-f]{6,8}(?=\])", name, text)
    mnemonic, _, target = text.partition(" ")
    if mnemonic[0] in "jl" and target.startswith("0x"):
        to = int(target, 16)
        other, site = cache.find(to), cache.site(to + 2)
        if to == cache.miss:
            text = f"{mnemonic} miss"
        elif site is not None:
            text = f"{mnemonic} exit to {site.target:#x}"
        elif other is not None and other is not unit and other.at == to:
            text = f"{mnemonic} unit {other.address:#x}"
    elif mnemonic == "int":
        site = cache.site(at + len(code))
        text = f"{text}    exit to {site.target:#x}" if site else f"{text}    callout"
    return Host(at, code, text)
