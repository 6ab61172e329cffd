"""Shadow page tables in the corners: tables that map themselves, large pages, memory that is a page table no more."""
from monitors.paged import ALL, FORMS, FRAMES, LARGE, PRESENT, USER, WINDOW, Tables, both, run, to_ring_3

import pvlab.monitors.shadow
from pvlab.monitors import TrapAndEmulate


@FORMS
def test_a_page_directory_may_map_itself(pae):
    """The recursive mapping: page tables become visible in linear memory because a directory serves as a table, too."""
    tables = Tables(pae)
    shift, last = (21, 511) if pae else (22, 1023)
    window = 2**32 - (1 << shift)                       # the last entry of the last directory
    data = window - (1 << shift)
    tables.map(data, FRAMES | ALL)
    tables.map(window, tables.entry(window, directory=True) & ~0xFFF | ALL, directory=True)
    at = window + (data >> shift & last) * 4096         # where the entry for `data` stands now
    _, emulated = both(tables, f"""
        mov     {data}, %esi
        mov     {at}, %ebx
        movl    ${FRAMES + 0x3000 | ALL}, {at}
        invlpg  {data}
        mov     {data}, %edi
        cli; hlt""", memory={FRAMES: b"\1\0\0\0", FRAMES + 0x3000: b"\2\0\0\0"})
    assert (emulated.regs[6], emulated.regs[7]) == (1, 2)
    assert emulated.run.trace.by_reason()["page-table-write"] == 1


@FORMS
def test_a_page_table_may_map_itself(pae):
    tables = Tables(pae)
    at = tables.map(WINDOW, FRAMES | ALL)
    tables.map(WINDOW + 4096, at & ~0xFFF | ALL)
    _, emulated = both(tables, f"""
        mov     {WINDOW}, %esi
        movl    ${FRAMES + 0x3000 | ALL}, {WINDOW + 4096}
        invlpg  {WINDOW}
        mov     {WINDOW}, %edi
        movl    $0, {WINDOW + 4096 + tables.width}          # and now it maps itself no more
        invlpg  {WINDOW + 4096}
        mov     {WINDOW}, %ebx
        cli; hlt""", memory={FRAMES: b"\1\0\0\0", FRAMES + 0x3000: b"\2\0\0\0"})
    assert (emulated.regs[6], emulated.regs[7], emulated.regs[3]) == (1, 2, 2)


# ---------------------------------------------------------------------------------------------- large pages
@FORMS
def test_every_part_of_a_large_page_is_its_own(pae):
    """A page of 4 MiB is two pages of 2 MiB to us, because the real tables are PAE's."""
    tables = Tables(pae)
    tables.map(WINDOW, (0x400000 if pae else 0) | ALL | LARGE, directory=True)
    if pae:
        tables.map(WINDOW + (2 << 20), 0x600000 | ALL | LARGE, directory=True)
    base = 0x400000 if pae else 0
    places = (0x0, 0x1004, 0x200000, 0x201004, 0x3ff00c) if pae else (0x290000, 0x90004, 0x291008, 0x9100c, 0x3f0000)
    store = "".join(f"movl ${0x11111111 * (i + 1)}, {WINDOW + at};" for i, at in enumerate(places))
    add = "".join(f"add {WINDOW + at}, %esi; rol $3, %esi;" for at in places)
    _, emulated = both(tables, f"xor %esi, %esi; {store} {add} {add} cli; hlt")
    assert [emulated.machine.ram.u32(base + at) for at in places] == [0x11111111 * (i + 1) for i in range(len(places))]


@FORMS
def test_a_large_page_changes_its_rights_and_its_place(pae):
    tables = Tables(pae)
    size = 2 << 20 if pae else 4 << 20
    at = tables.map(WINDOW, ALL | LARGE, directory=True)
    both(tables, f"""
        mov     {WINDOW + 0x280000 % size}, %esi
        movl    ${size | PRESENT | USER | LARGE}, {at}
        mov     %cr3, %eax; mov %eax, %cr3
        mov     {WINDOW + 0x1000}, %edi
        {to_ring_3()}
        mov     {WINDOW + 0x1000}, %edx
    here: movl  $1, {WINDOW + 0x1000}""", memory={0x401000: b"AAAA", 0x201000: b"BBBB"})


def test_a_large_page_needs_pse_in_the_two_level_form():
    tables = Tables(False)
    table = tables.entry(WINDOW) & ~0xFFF
    tables.map(WINDOW, table | ALL | LARGE, directory=True)      # without PSE this bit says nothing
    tables.map(WINDOW + 4096, 0)
    tables._words[table] = FRAMES | ALL
    _, emulated = both(tables, f"""
        mov     $0x600, %eax; mov %eax, %cr4
        mov     {WINDOW}, %esi
        mov     $0x610, %eax; mov %eax, %cr4
        mov     {WINDOW + 0x1000}, %edi
        cli; hlt""", memory={FRAMES: b"\7\0\0\0"})
    assert emulated.regs[6] == 7


def test_reserved_bits_of_large_pages():
    for pae, bits in ((True, 0x2000), (False, 0x200000)):
        tables = Tables(pae)
        tables.map(WINDOW, bits | ALL | LARGE, directory=True)
        _, emulated = both(tables, f"mov {WINDOW}, %eax")
        assert emulated.status == 14
        assert emulated.words(emulated.regs[4]) == 9


# ---------------------------------------------------------------------------------------------- rights that change
@FORMS
def test_without_write_protection_ring_0_writes_to_read_only_pages(pae):
    tables = Tables(pae)
    at = tables.map(WINDOW, FRAMES | PRESENT | USER)
    _, emulated = both(tables, f"""
        mov     $0x80000011, %eax; mov %eax, %cr0
        mov     $20, %ecx
    1:  incl    {WINDOW}; loop 1b
        mov     {at}, %esi
        mov     $0x80010011, %eax; mov %eax, %cr0
        incl    {WINDOW}""")
    assert emulated.status == 14 and emulated.words(emulated.regs[4]) == 3
    assert emulated.machine.ram.u32(FRAMES) == 20
    assert emulated.regs[6] & 0x60 == 0x60


@FORMS
def test_paging_off_and_on_again_while_tables_change_unseen(pae):
    tables = Tables(pae)
    at = tables.map(WINDOW, FRAMES | ALL)
    _, emulated = both(tables, f"""
        mov     $8, %ecx
    1:  mov     {WINDOW}, %edi
        add     %edi, %esi
        mov     $0x10011, %eax; mov %eax, %cr0
        addl    $0x1000, {at}
        mov     $0x80010011, %eax; mov %eax, %cr0
        loop    1b
        cli; hlt""", memory={FRAMES + 4096 * page: (1 << page).to_bytes(4, "little") for page in range(9)})
    assert emulated.outcome == "halted" and emulated.regs[6] == 0xFF
    assert emulated.run.trace.by_reason()["mov-cr0"] == 1 + 16


def test_no_execute_bits_count_only_while_efer_says_so():
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | ALL | 1 << 63)
    _, emulated = both(tables, f"""
        mov     {WINDOW}, %esi
        mov     $0xc0000080, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr
        mov     %cr3, %eax; mov %eax, %cr3
        mov     {WINDOW}, %edi""", memory={FRAMES: b"\7\0\0\0"})
    assert (emulated.status, emulated.words(emulated.regs[4])) == (14, 9), "without NXE the bit is reserved"


# ---------------------------------------------------------------------------------------------- tables come and go
@FORMS
def test_a_page_that_is_a_page_table_no_more_is_ordinary_memory_again(pae):
    """After a few writes with no use in between the page is no longer watched, and writes to it cost nothing."""
    tables = Tables(pae)
    at = tables.map(WINDOW, FRAMES | ALL)
    program = f"""
        mov     {WINDOW}, %esi                              # a use
        movl    $0, {tables.entry(WINDOW, directory=True)}  # the table is taken out of the directory
        mov     %cr3, %eax; mov %eax, %cr3
        mov     ${at & ~0xFFF}, %edi; mov $0x12345678, %eax; mov ${{n}}, %ecx
        rep     stosl
        cli; hlt"""
    counts = [both(tables, program.format(n=n))[1].run.trace.by_reason()["page-table-write"] for n in (1, 4, 100, 1024)]
    assert counts[0] == 2 and counts[1] == 5
    assert counts[2] == counts[3] <= 12


@FORMS
def test_a_page_that_was_memory_becomes_a_page_table(pae):
    """It is mapped and has been written, so there are shadow entries that let it be written: they must go."""
    tables = Tables(pae)
    for page in range(3):
        tables.map(WINDOW + 4096 * page, FRAMES + 4096 * page | ALL)
    entry, other = tables.entry(WINDOW + (8 << 20), directory=True), WINDOW + (8 << 20)
    _, emulated = both(tables, f"""
        movl    $0, {WINDOW}                                # ordinary memory, through the window
        movl    ${FRAMES + 0x1000 | ALL}, {WINDOW}
        movl    ${FRAMES | ALL}, {entry}                    # it is a page table now
        mov     {other}, %esi
        movl    ${FRAMES + 0x2000 | ALL}, {WINDOW}          # and changes through the window
        invlpg  {other}
        mov     {other}, %edi
        cli; hlt""", memory={FRAMES + 0x1000: b"\1\0\0\0", FRAMES + 0x2000: b"\2\0\0\0"})
    assert (emulated.regs[6], emulated.regs[7]) == (1, 2)


@FORMS
def test_going_back_to_an_address_space_costs_no_hidden_faults(pae):
    one, two = Tables(pae), Tables(pae, root=0x500000, free=0x510000)
    program = f"""
        mov     ${{n}}, %ecx; mov ${one.root}, %esi; mov ${two.root}, %edi
    1:  mov     %edi, %cr3
        incl    {FRAMES}
        mov     %esi, %cr3
        incl    {FRAMES}
        loop    1b
        cli; hlt"""
    few, many = (both(one, program.format(n=n), memory=two.memory())[1].run.trace.by_reason() for n in (2, 102))
    assert {name: many[name] - few[name] for name in many if many[name] != few[name]} == {"mov-cr3": 200}


def test_when_the_monitors_memory_is_full_it_begins_again(monkeypatch):
    """Shadow tables for 64 address spaces do not fit into 64 pages: they are dropped, and made anew when needed."""
    monkeypatch.setattr(pvlab.monitors.shadow, "SIZE", 64 * 4096)
    memory, roots = {}, [0x400000 + 0x8000 * i for i in range(64)]
    for root in roots:
        tables = Tables(True, root=root, free=root + 0x1000)
        memory |= tables.memory()
    _, emulated = both(tables, f"""
        mov     $3, %edx
    1:  mov     $64, %ecx; mov ${roots[0]}, %edi
    2:  mov     %edi, %cr3
        incl    {FRAMES}
        add     $0x8000, %edi
        loop    2b
        dec     %edx; jnz 1b
        cli; hlt""", memory=memory)
    assert emulated.machine.ram.u32(FRAMES) == 3 * 64
    assert emulated.monitor.shadow._next <= 64 * 4096


def test_a_page_table_write_that_needs_two_pages():
    """The last bytes of one table and the first of the next, by one instruction; and a copy from table to table."""
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | ALL)
    tables.map(WINDOW + (2 << 20), FRAMES + 0x1000 | ALL)
    first, second = tables.entry(WINDOW), tables.entry(WINDOW + (2 << 20))
    assert second == first + 4096
    both(tables, f"""
        mov     {WINDOW}, %eax; mov {WINDOW + (2 << 20)}, %eax
        mov     ${second - 2}, %ebx
        movl    $0x00070000, (%ebx)
        incl    (%ebx)
        lock    addl $0x10000, (%ebx)
        mov     ${first}, %esi; mov ${second}, %edi; mov $2, %ecx; rep movsl
        mov     %cr3, %eax; mov %eax, %cr3
        mov     {WINDOW + (2 << 20)}, %edx
        cli; hlt""", memory={FRAMES: b"\7\0\0\0"})


def test_a_page_table_write_by_every_kind_of_instruction():
    """The instruction is run alone, with the page open: whatever it does beside writing must come out right."""
    tables = Tables(True)
    at = tables.map(WINDOW, FRAMES | ALL)
    spare = at + 8 * 100
    for text in (f"pushl $7; popl {spare}", f"mov ${spare + 4}, %esp; call 1f; 1: nop", f"mov ${spare}, %edi; mov $0x80, %edx; insl",
                 f"mov ${spare + 32}, %esp; pusha", f"mov ${spare + 8}, %esp; enter $4, $0", f"xadd %ecx, {spare}",
                 f"bts $3, {spare}", f"shll $3, {spare}", f"notl {spare}", f"fnstcw {spare}", f"fists {spare}",
                 f"mov ${spare}, %edi; mov $5, %ecx; std; rep stosb", f"mov %ds, {spare}"):
        both(tables, f"mov {WINDOW}, %eax; fninit; {text}; cli; hlt")


def test_pushf_into_a_page_table_does_not_show_the_monitors_trap_flag():
    tables = Tables(True)
    at = tables.map(WINDOW, FRAMES | ALL)
    result = run(TrapAndEmulate, tables, f"mov {WINDOW}, %eax; mov ${at + 84}, %esp; pushf; pushfw; cli; hlt")
    assert result.words(at + 80) & 0x100 == 0
    assert result.words(at + 76) >> 16 & 0x100 == 0
    assert result.run.trace.by_reason()["page-table-write"] == 2


def test_interrupt_frames_may_land_in_a_page_table():
    """An event is pushed by the monitor itself, which has to keep its own shadow true."""
    tables = Tables(True)
    at = tables.map(WINDOW, FRAMES | ALL)
    both(tables, f"mov {WINDOW}, %eax; mov ${at + 64}, %esp; int $0x80")
