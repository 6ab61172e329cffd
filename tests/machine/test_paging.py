"""A page-table walker in Python beside the one in the engine.

Monitors need to know what the guest's tables say, for shadow page tables and for every access that they make in the
guest's name, and the engine does not lend its own walker. So there are two, and each difference between them would be
a guest that behaves otherwise under a monitor than on the bare machine. The random tables here are walked by both:
the same physical address or the same fault with the same error code, and the same accessed and dirty bits left
behind.

Both are QEMU's reading of the Intel SDM (vol. 3, chapter 4), so what the SDM says is stated by hand as well, in the
table of cases at the end.
"""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import x86_const as x86

from pvlab.machine.engine import Why
from pvlab.machine.memory import Dead, Ram
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.faults import PAGE, Fault
from pvlab.machine.x86.machine import Machine
from pvlab.machine.x86.paging import (
    ACCESSED, DIRTY, GLOBAL, LARGE, NO_EXECUTE, PRESENT, USER, WRITABLE, Mmu, PageTables, walk)

MIB = 1 << 20
RAM = 8 * MIB
ROOT, DIRECTORY, TABLE = 0x10000, 0x11000, 0x12000          # of the address that is looked up
CODE_DIRECTORY, CODE_TABLE, CODE = 0x13000, 0x14000, 0x15000
PROGRAM = 0xFFFFF000                                         # where that page of code is in every address space
FRAMES = 0x400000                                            # pages from here on hold the marks that are looked for
INT3 = 0xCC


def flat(ring, kind):
    return c.Segment(8 + 16 * ring + 8 * (kind == 0x300) | ring, 0, 0xFFFFFFFF, 0xC09000 | kind | ring << 13)


def entry_bits(pae):
    """The bits of an entry below and above its address: mostly a usable entry, with anything else now and then."""
    rights = st.sampled_from((7, 7, 7, 7, 5, 3, 1, 0, 6))
    low = st.builds(int.__or__, rights, st.sampled_from((0, ACCESSED, DIRTY, ACCESSED | DIRTY, GLOBAL, 0x18, 0xE00)))
    high = st.sampled_from((0, 0, 0, 0, 0, NO_EXECUTE, 1 << 36, 1 << 52, 1 << 62, 1 << 40)) if pae else st.just(0)
    return st.builds(int.__or__, low, high)


@st.composite
def address_spaces(draw, pae):
    """Tables on the way of one linear address, the control bits, and one access to it."""
    linear = draw(st.integers(0, 0xBFFFFFFF if pae else 0xFFBFFFFF))
    offset = draw(st.sampled_from((0, 4, 0x123, 0xFFF, 0xFFC)))
    linear = linear & ~0xFFF | offset
    large = draw(st.sampled_from((0, 0, LARGE)))
    reserved = draw(st.sampled_from((0, 0, 0, 0x2000, 0x100000, 0x200000)))
    directory = draw(entry_bits(pae)) | large
    size = (2 if pae else 4) * MIB
    directory |= FRAMES & ~(size - 1) | reserved if large else TABLE
    if not large:
        directory &= ~(1 << 36)                              # a table there would be outside memory
    if pae and large:
        directory &= ~0x200000 | (reserved & 0x200000)
    # A page-directory-pointer table's entry has hardly any bits, and the engine reads them at each walk.
    root = DIRECTORY | draw(st.sampled_from((1, 1, 1, 1, 1, 0, ACCESSED | 1, 1 | NO_EXECUTE, 1 | 1 << 40)))
    table = draw(entry_bits(pae)) | draw(st.sampled_from((0, 0, 0, LARGE))) | FRAMES + draw(st.integers(0, 255)) * 4096
    return {"pae": pae, "linear": linear, "root": root, "directory": directory, "table": table,
            "pse": draw(st.booleans()), "wp": draw(st.booleans()), "nxe": draw(st.booleans()),
            "user": draw(st.booleans()), "access": draw(st.sampled_from(("read", "write", "fetch")))}


def build(ram, space):
    """Put the tables into RAM: those of the address, and those of the page that the program stands in."""
    linear = space["linear"]
    if space["pae"]:
        ram.set_u64(ROOT + (linear >> 30) * 8, space["root"])
        ram.set_u64(DIRECTORY + (linear >> 21 & 511) * 8, space["directory"])
        ram.set_u64(TABLE + (linear >> 12 & 511) * 8, space["table"])
        ram.set_u64(ROOT + 24, CODE_DIRECTORY | 1)
        ram.set_u64(CODE_DIRECTORY + 511 * 8, CODE_TABLE | 0x27)
        ram.set_u64(CODE_TABLE + 511 * 8, CODE | 0x67)
        return ROOT + (linear >> 30) * 8, DIRECTORY + (linear >> 21 & 511) * 8, TABLE + (linear >> 12 & 511) * 8
    ram.set_u32(ROOT + (linear >> 22) * 4, space["directory"])
    ram.set_u32(TABLE + (linear >> 12 & 1023) * 4, space["table"])
    ram.set_u32(ROOT + 1023 * 4, CODE_TABLE | 0x27)
    ram.set_u32(CODE_TABLE + 1023 * 4, CODE | 0x67)
    return ROOT + (linear >> 22) * 4, TABLE + (linear >> 12 & 1023) * 4


def mmu_of(space):
    cr4 = (c.CR4_PAE if space["pae"] else 0) | (c.CR4_PSE if space["pse"] else 0)
    return Mmu(c.CR0_PE | c.CR0_ET | c.CR0_PG | (c.CR0_WP if space["wp"] else 0), ROOT, cr4, space["nxe"])


def walked(space):
    """What the walker says, and the entries as it leaves them."""
    ram = Ram(RAM)
    places = build(ram, space)
    access = space["access"]
    try:
        found = walk(ram, mmu_of(space), space["linear"], user=space["user"], write=access == "write",
                     fetch=access == "fetch")
        says = ("reaches", found.physical)
    except Fault as fault:
        says = ("faults", fault.vector, fault.code, fault.address)
    return says, [ram.u64(place) for place in places]


def executed(space, physical):
    """What the engine does when a program makes the access, and the entries as it leaves them.

    physical: where the walker expects it to come out (None: nowhere). A mark stands there, to be found or changed.
    """
    machine = Machine(RAM)
    ram, cpu, engine = machine.ram, machine.cpu, machine.engine
    places = build(ram, space)
    if physical is not None and physical < RAM:
        ram.bytes[physical] = INT3
    # mov (%edi),%al; int3, or mov %al,(%edi); int3, or jmp *%edi
    ram.write(CODE, {"read": b"\x8a\x07\xcc", "write": b"\x88\x07\xcc", "fetch": b"\xff\xe7"}[space["access"]])
    mmu, ring = mmu_of(space), 3 if space["user"] else 0
    for register in (c.DS, c.ES, c.FS, c.GS):
        cpu.set_segment(register, flat(ring, 0x300))
    cpu.set_ring(flat(ring, 0xB00), flat(ring, 0x300), ring)
    cpu.efer = c.EFER_NXE if space["nxe"] else 0
    engine.restore()
    engine.set_register(x86.UC_X86_REG_CR4, mmu.cr4)
    engine.set_register(x86.UC_X86_REG_CR3, mmu.cr3)
    engine.set_register(x86.UC_X86_REG_CR0, mmu.cr0)
    engine.save()
    machine.regs[c.EDI], machine.regs[c.EAX], machine.eip = space["linear"], 0x5A, PROGRAM
    why = machine.enter(100)
    if why is Why.UNMAPPED:
        return ("reaches", machine.state.fault), [ram.u64(place) for place in places]
    assert why is Why.EXCEPTION
    if machine.state.vector == PAGE:
        says = ("faults", PAGE, cpu.error_code, cpu.cr[2])
    else:
        assert (machine.state.vector, cpu.was_int) == (3, True)
        came = {"read": machine.regs[c.EAX] & 0xFF == INT3,
                "write": physical is not None and ram.bytes[physical] == 0x5A,
                "fetch": machine.eip == space["linear"] + 1 & 0xFFFFFFFF}[space["access"]]
        says = ("reaches", physical if came else "another place")
    return says, [ram.u64(place) for place in places]


def agree(space):
    says, entries = walked(space)
    assert executed(space, says[1] if says[0] == "reaches" else None) == (says, entries)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(address_spaces(pae=False))
def test_the_walker_and_the_engine_agree_on_tables_of_two_levels(space):
    agree(space)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(address_spaces(pae=True))
def test_the_walker_and_the_engine_agree_on_pae_tables(space):
    agree(space)


# ------------------------------------------------------------------------------------- what the manual says
BASE = {"pae": True, "linear": 0x40212345, "root": DIRECTORY | 1, "directory": TABLE | 7, "table": FRAMES | 7,
        "pse": True, "wp": True, "nxe": True, "user": False, "access": "read"}
R, W, F, SUPERVISOR, EVERYONE = "read", "write", "fetch", False, True
NX = NO_EXECUTE
CASES = [      # name, what differs from BASE, physical address or error code of the fault
    ("a small page", {}, 0x400345),
    ("a page that is not present", {"table": FRAMES | 6}, "0"),
    ("... of a write", {"table": FRAMES | 6, "access": W}, "2"),
    ("... of a user's write", {"table": FRAMES | 6, "access": W, "user": True}, "6"),
    ("... of a fetch, with no-execute bits", {"table": FRAMES | 6, "access": F}, "16"),
    ("... of a fetch, without them", {"table": FRAMES | 6, "access": F, "nxe": False}, "0"),
    ("a table that is not present", {"directory": 0, "user": True}, "4"),
    ("a directory that is not present", {"root": 0}, "0"),
    ("a supervisor's page, for a user", {"table": FRAMES | 3, "user": True}, "5"),
    ("a supervisor's table, for a user", {"directory": TABLE | 3, "user": True}, "5"),
    ("a read-only page, for a user", {"table": FRAMES | 5, "user": True, "access": W, "wp": False}, "7"),
    ("a read-only table, for a user", {"directory": TABLE | 5, "user": True, "access": W}, "7"),
    ("a read-only page, for the kernel", {"table": FRAMES | 5, "access": W}, "3"),
    ("a read-only page, for a kernel without WP", {"table": FRAMES | 5, "access": W, "wp": False}, 0x400345),
    ("no execution", {"table": FRAMES | 7 | NX, "access": F}, "17"),
    ("no execution, by the directory", {"directory": TABLE | 7 | NX, "access": F, "user": True}, "21"),
    ("no execution, but a read", {"table": FRAMES | 7 | NX}, 0x400345),
    ("a no-execute bit that is reserved", {"table": FRAMES | 7 | NX, "nxe": False}, "9"),
    ("a bit beyond the physical address", {"table": FRAMES | 7 | 1 << 40, "access": W}, "11"),
    ("a large page", {"directory": FRAMES | 0x87}, 0x412345),
    ("a large page's reserved bit", {"directory": FRAMES | 0x2087}, "9"),
    ("two levels: a small page", {"pae": False}, 0x400345),
    ("two levels: a large page", {"pae": False, "directory": FRAMES | 0x87}, 0x612345),
    ("two levels: a large page without PSE", {"pae": False, "directory": TABLE | 0x87, "pse": False}, 0x400345),
    ("two levels: a large page's reserved bit", {"pae": False, "directory": FRAMES | 0x200087}, "9"),
    ("two levels: a fetch is a read", {"pae": False, "table": FRAMES | 3, "access": F, "user": True}, "5"),
]


@pytest.mark.parametrize("name, changes, expected", CASES, ids=[case[0] for case in CASES])
def test_the_walker_and_the_engine_do_as_the_manual_says(name, changes, expected):
    space = BASE | changes
    says, entries = walked(space)
    if isinstance(expected, int):
        assert says == ("reaches", expected)
    else:
        assert says == ("faults", PAGE, int(expected), space["linear"])
    assert executed(space, says[1] if says[0] == "reaches" else None) == (says, entries)


MARKS = [      # access, entry before, bits set afterwards in the page's entry, in its directory's
    ("read", 7, ACCESSED, ACCESSED), ("write", 7, ACCESSED | DIRTY, ACCESSED), ("fetch", 7, ACCESSED, ACCESSED),
    ("write", 5, 0, ACCESSED), ("read", 6, 0, ACCESSED),
]


@pytest.mark.parametrize("access, bits, page, directory", MARKS)
def test_a_page_is_marked_where_access_is_granted_and_a_directory_when_it_is_passed(access, bits, page, directory):
    _, entries = walked(BASE | {"access": access, "table": FRAMES | bits})
    assert entries == [DIRECTORY | 1, TABLE | 7 | directory, FRAMES | bits | page]


def test_a_look_that_is_not_the_cpus_leaves_no_marks():
    ram = Ram(RAM)
    places = build(ram, BASE)
    walk(ram, mmu_of(BASE), BASE["linear"], write=True, mark=False)
    assert [ram.u64(place) for place in places] == [DIRECTORY | 1, TABLE | 7, FRAMES | 7]


def test_what_a_translation_says():
    ram = Ram(RAM)
    build(ram, BASE | {"table": FRAMES | 7 | NX, "directory": TABLE | 5})
    found = walk(ram, mmu_of(BASE), BASE["linear"], user=True)
    assert (found.physical, found.writable, found.user) == (0x400345, False, True)
    assert (found.executable, found.dirty) == (False, False)
    assert [(level, address) for level, address, _ in found.path] == [
        (3, ROOT + 8), (2, DIRECTORY + 8), (1, TABLE + 0x12 * 8)]


def test_without_paging_an_address_is_what_it_is():
    found = walk(Ram(4096), Mmu(c.CR0_PE, 0x5000, 0, False), 0xDEADBEEF, write=True, user=True, fetch=True)
    assert (found.physical, found.path) == (0xDEADBEEF, ())
    assert found.writable and found.user and found.executable


OUTSIDE = [{"pae": False, "directory": 0x7FFF0007}, {"root": 0x7FFF0001}, {"directory": 0x7FFF0007},
           {"directory": 1 << 35 | 7}, {"cr3": 0x7FFF0000}, {"cr3": 0x7FFF0000, "pae": False}, {"cr3": RAM}]


@pytest.mark.parametrize("changes", OUTSIDE, ids=str)
def test_a_table_outside_memory_is_the_end(changes):
    space, ram = BASE | changes, Ram(RAM)
    build(ram, space)
    with pytest.raises(Dead, match="page table at physical address 0x[0-9a-f]+ is outside RAM"):
        walk(ram, mmu_of(space)._replace(cr3=changes.get("cr3", ROOT)), space["linear"])


BITS = [(entry, bit) for entry in ("root", "directory", "table") for bit in range(40, 64)]
BITS += [("table", bit) for bit in range(32, 40)]           # in a directory these lead to tables that are not there


@pytest.mark.parametrize("entry, bit", BITS)
@pytest.mark.parametrize("nxe", [False, True], ids=["", "nxe"])
def test_every_high_bit_is_an_address_no_execute_or_reserved_for_both(entry, bit, nxe):
    """A Core Duo has 36 bits of physical address and the engine more: what is reserved is the engine's word here."""
    agree(BASE | {entry: BASE[entry] | 1 << bit, "nxe": nxe})


# ------------------------------------------------------------------------------------- the builder
@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(st.dictionaries(st.integers(0, 0xFFFFF), st.tuples(st.integers(0, 0xFF), st.sampled_from((1, 3, 5, 7))),
                       max_size=12))
def test_what_the_builder_maps_is_mapped_and_nothing_else_is(pages):
    ram, unused = Ram(RAM), iter(range(0x20000, RAM, 4096))
    tables = PageTables(ram, lambda: next(unused))
    for page, (frame, flags) in pages.items():
        tables.map(page << 12, frame << 12, flags)
    mmu = Mmu(c.CR0_PE | c.CR0_PG | c.CR0_WP, tables.root, c.CR4_PAE, False)
    for page, (frame, flags) in pages.items():
        found = walk(ram, mmu, page << 12 | 0xABC, mark=False)
        assert found.physical == frame << 12 | 0xABC
        assert (found.writable, found.user) == (bool(flags & WRITABLE), bool(flags & USER))
    for page in {page ^ 1 for page in pages} - set(pages):
        with pytest.raises(Fault):
            walk(ram, mmu, page << 12)


def test_the_builder_says_where_an_entry_stands_and_maps_again_in_the_same_place():
    ram, unused = Ram(RAM), iter(range(0x20000, RAM, 4096))
    tables = PageTables(ram, lambda: next(unused))
    first = tables.map(0x40000000, 0x5000)
    assert ram.u64(first) == 0x5000 | PRESENT | WRITABLE
    assert tables.map(0x40000000, 0x6000, PRESENT) == first
    assert ram.u64(first) == 0x6000 | PRESENT
    assert next(unused) == 0x23000, "a root, a directory and a table: no more pages were used"
