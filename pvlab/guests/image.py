"""Reading a guest's ELF file into what a machine loads.

The file may be a user's own, so it may be anything: whatever is wrong with it becomes one GuestError that says what.
"""
from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

from pvlab.guests.toolchain import GuestError

MEMORY = 32 << 20       # bytes of RAM in a guest's machine, unless the guest asks for another size
LOWEST = {"x86": 1 << 20,      # below lie the boot information and, on a PC, the devices' memory
          "s390x": 0}          # an image may bring its own low core; Linux and kvm-unit-tests begin at 64 KiB
# (ELF class, little-endian, machine) of what the lab has a machine for.
_ARCHITECTURES = {(32, True, "EM_386"): "x86", (64, False, "EM_S390"): "s390x"}
_R_390_RELATIVE = 12
# A symbol-table entry without what is not read here: name, value, info, section; 64-bit: name, info, section, value.
_SYMBOL = {32: "<II4xBxH", 64: ">IBxHQ8x"}


@dataclass(frozen=True)
class Image:
    """A built guest, ready to load.

    entry      physical address of the first instruction
    segments   [(physical address, its bytes, its size in memory)]: memory beyond the bytes starts as zeros
    symbols    {name: virtual address}
    result     (physical address, size in bytes) of the section .pvlab.result, or None
    end        the first physical address after the last segment
    arch       "x86" or "s390x": the instruction set
    """

    entry: int
    segments: list[tuple[int, bytes, int]]
    symbols: dict[str, int]
    result: tuple[int, int] | None
    end: int
    arch: str = "x86"


def load_image(data: bytes, name: str, memory: int = MEMORY) -> Image:
    """Read an ELF file's bytes. `name` is for messages, `memory` the machine's RAM in bytes. Raises GuestError."""
    try:
        return _load(data, memory)
    except GuestError as error:
        raise GuestError(f"{name}: {error}") from None
    except Exception as error:  # pyelftools meets damage deep inside, with whatever exception it happens to hit
        raise GuestError(f"{name}: a damaged ELF file ({type(error).__name__}: {error})") from None


def _load(data: bytes, memory: int) -> Image:
    from elftools.elf.elffile import ELFFile  # imported here: only a guest that is read needs it
    if data[:4] != b"\x7fELF":
        raise GuestError("not an ELF file")
    if len(data) < 52:
        raise GuestError("a truncated ELF file (it ends within the ELF header)")
    elf = ELFFile(BytesIO(data))
    arch = _check_header(elf, len(data))

    segments, places = [], []  # places: (virtual address, physical address, size in memory)
    for segment in elf.iter_segments("PT_LOAD"):
        at, size, stored, offset = (segment[key] for key in ("p_paddr", "p_memsz", "p_filesz", "p_offset"))
        if not size:
            continue
        if offset + stored > len(data):
            raise GuestError(f"a truncated ELF file (a segment ends at byte {offset + stored} of {len(data)})")
        if stored > size:
            raise GuestError(f"a damaged ELF file (a segment of {size} bytes has {stored} in the file)")
        if at < LOWEST[arch]:
            raise GuestError(f"a segment is to be loaded at {at:#x}, and memory for guests begins at {LOWEST[arch]:#x}")
        if at + size > memory:
            raise GuestError(f"needs more memory than the machine has: a segment ends at {at + size:#x}, "
                             f"and RAM at {memory:#x}")
        segments.append((at, offset, stored, size))
        places.append((segment["p_vaddr"], at, size))
    if not segments:
        raise GuestError("no loadable segment")
    segments.sort()
    for (at, _, _, size), following in zip(segments, segments[1:]):
        if at + size > following[0]:
            raise GuestError(f"two segments overlap at {following[0]:#x}")

    entry = _physical(elf["e_entry"], 1, places)
    if entry is None:
        raise GuestError(f"the entry point {elf['e_entry']:#x} lies in none of its segments")
    contents = [(at, data[offset:offset + stored], size) for at, offset, stored, size in segments]
    if elf["e_type"] == "ET_DYN":
        contents = _relocated(elf, contents, places)
    return Image(entry=entry, end=segments[-1][0] + segments[-1][3], segments=contents,
                 symbols=_symbols(elf, data), result=_result(elf, places), arch=arch)


def _check_header(elf, size: int) -> str:
    """The instruction set. Refuse other machines and file types, and tables of headers that are not in the file."""
    from elftools.elf.descriptions import describe_e_machine
    arch = _ARCHITECTURES.get((elf.elfclass, elf.little_endian, elf["e_machine"]))
    if arch is None:
        order = "little" if elf.little_endian else "big"
        raise GuestError(f"for another machine: {describe_e_machine(elf['e_machine'])}, {elf.elfclass}-bit, "
                         f"{order}-endian; guests here are for the 32-bit Intel 80386 or for IBM S/390, 64-bit")
    if elf["e_type"] != "ET_EXEC" and (arch, elf["e_type"]) != ("s390x", "ET_DYN"):
        raise GuestError(f"not an executable but of type {elf['e_type']} (link it statically, at fixed addresses)")
    sizes = (32, 40) if elf.elfclass == 32 else (56, 64)
    tables = (("program", elf["e_phoff"], elf["e_phnum"], elf["e_phentsize"], sizes[0]),
              ("section", elf["e_shoff"], elf["e_shnum"], elf["e_shentsize"], sizes[1]))
    for what, offset, count, each, right in tables:
        if count and each != right:
            raise GuestError(f"a damaged ELF file (its {what} headers have {each} bytes, not {right})")
        end = offset + count * right
        if end > size:
            raise GuestError(f"a truncated ELF file (its {what} headers end at byte {end} of {size})")
    return arch


def _relocated(elf, contents: list[tuple[int, bytes, int]], places) -> list[tuple[int, bytes, int]]:
    """A position-independent image, loaded where it was linked, as QEMU loads one: its pointers are put in."""
    made = [(at, bytearray(content.ljust(size, b"\0")), size) for at, content, size in contents]
    for section in elf.iter_sections("SHT_RELA") if elf["e_shnum"] else ():
        for entry in section.iter_relocations():
            if entry["r_info_type"] != _R_390_RELATIVE:
                raise GuestError(f"a relocation of type {entry['r_info_type']}: only relative ones can be carried out")
            physical = _physical(entry["r_offset"], 8, places)
            if physical is None:
                raise GuestError(f"a relocation of {entry['r_offset']:#x}, which lies in no loaded segment")
            at, content, _ = next(each for each in made if each[0] <= physical < each[0] + each[2])
            content[physical - at:physical - at + 8] = (entry["r_addend"] & (1 << 64) - 1).to_bytes(8, "big")
    return [(at, bytes(content), size) for at, content, size in made]


def _physical(address: int, size: int, places: list[tuple[int, int, int]]) -> int | None:
    """The physical address of `size` bytes at a virtual address, if one segment holds them all."""
    for virtual, physical, length in places:
        if virtual <= address and address + size <= virtual + length:
            return physical + address - virtual
    return None


def _result(elf, places: list[tuple[int, int, int]]) -> tuple[int, int] | None:
    """Where the declared result area lies in physical memory, and its size in bytes."""
    section = elf.get_section_by_name(".pvlab.result") if elf["e_shnum"] else None
    if section is None or not section["sh_size"]:
        return None
    physical = _physical(section["sh_addr"], section["sh_size"], places)
    if physical is None:
        raise GuestError("its section .pvlab.result lies in no loaded segment")
    return physical, section["sh_size"]


def _symbols(elf, data: bytes) -> dict[str, int]:
    """Names of functions, variables and labels, from the symbol table if there is one."""
    found: dict[str, int] = {}
    section = elf.get_section_by_name(".symtab") if elf["e_shnum"] else None
    if section is None or section["sh_type"] != "SHT_SYMTAB":
        return found
    names = section.stringtable
    table = data[section["sh_offset"]:section["sh_offset"] + section["sh_size"]]
    text = data[names["sh_offset"]:names["sh_offset"] + names["sh_size"]]
    # Unpacked here rather than by pyelftools, which takes a hundred times as long over each symbol.
    form = _SYMBOL[elf.elfclass]
    for symbol in struct.iter_unpack(form, table[:len(table) // struct.calcsize(form) * struct.calcsize(form)]):
        at, value, info, where = symbol if elf.elfclass == 32 else (symbol[0], symbol[3], symbol[1], symbol[2])
        name = text[at:at + 200].split(b"\0", 1)[0].decode("utf-8", "replace")
        if name and where and info & 15 < 3:  # defined, and neither a section nor a file
            found[name] = value
    return found
