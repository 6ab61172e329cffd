"""Devices whose registers are in memory, and devices that write memory, under every monitor.

A program reaches a register at a physical address that is no RAM. On the bare machine that is an access; under a
monitor it is an exit as well, and everything else must be alike.
"""
import pytest
from machine.bare import DATA, bare
from monitors import paged
from monitors.paged import ALL, FORMS, FRAMES, PRESENT, USER, WINDOW, Tables

import pvlab
from pvlab.devices.backends.disk import patterned
from pvlab.devices.backends.network import Port, Switch
from pvlab.errors import PvlabError
from pvlab.monitors import BinaryTranslation, Native, TrapAndEmulate
from pvlab.trace import digest

CARD, STATUS, IMS, IMC, ICS, RA = 0xFEBC0000, 8, 0xD0, 0xD8, 0xC8, 0x5400
MONITORS = (Native, TrapAndEmulate)
DEVICE = 0xFEA00000


def with_device(monitor, device):
    """The monitor, with one more device at DEVICE."""
    class With(monitor):
        def start(self):
            super().start()
            self.board.mmio.attach(device, DEVICE, 0x1000)
            device.memory = self.board.devices["virtio-net"].memory
    return With


def both(program, **how):
    native, emulated = (bare(program, monitor, **how) for monitor in MONITORS)
    assert (native.outcome, native.detail, native.count) == (emulated.outcome, emulated.detail, emulated.count)
    assert native.regs[:] == emulated.regs[:] and native.processor.eflags == emulated.processor.eflags
    assert native.machine.ram.bytes[:] == emulated.machine.ram.bytes[:]
    assert list(native.run.trace.accesses) == list(emulated.run.trace.accesses)
    assert not native.run.trace.exits
    return native, emulated


# --------------------------------------------------------------------------------------------- with paging off
def test_registers_are_read_and_written_at_their_physical_addresses():
    native, emulated = both(f"""
        mov     ${CARD}, %ebx
        movl    $0x81, {IMS}(%ebx)
        mov     {IMS}(%ebx), %eax
        orl     $0x1200, {RA + 8}(%ebx)
        testb   $0x80, {STATUS}(%ebx)
        hlt""")
    assert native.regs[0] == 0x81 and native.count == 6
    assert emulated.run.trace.by_reason() == {"mmio:write": 2, "mmio:read": 2, "hlt": 1}
    accesses = native.run.trace.accesses
    assert accesses.counts() == {"e1000": 5} and [access.at for access in accesses] == [1, 2, 3, 3, 4]
    assert accesses[0].instruction == "mov dword ptr [ebx + 0xd0], 0x81"


def test_strings_go_from_registers_to_memory_and_back_in_one_exit_for_some_elements():
    native, emulated = both(f"""
        mov     ${CARD + RA}, %esi; mov ${DATA}, %edi; mov $32, %ecx; rep movsl
        mov     ${DATA}, %esi; mov ${CARD + RA}, %edi; mov $32, %ecx; rep movsl
        mov     ${CARD + RA + 64}, %edi; mov $0x55, %eax; mov $100, %ecx; rep stosb; hlt""")
    assert native.words(DATA) == int.from_bytes(b"\x52\x54\x00\x12", "little")
    assert native.run.trace.accesses.counts() == {"e1000": 164} and native.count == 13
    assert emulated.run.trace.by_reason() == {"mmio:write": 4, "hlt": 1}


@pytest.mark.parametrize("instruction", ["pop (%ebx)", "call *(%ebx)", "fildl (%ebx)", "bts %eax, (%ebx)"])
def test_what_no_driver_does_to_a_register_ends_the_run_with_a_sentence(instruction):
    for monitor in MONITORS:
        found = bare(f"mov ${CARD}, %ebx; {instruction}; hlt", monitor)
        assert found.outcome == "crashed" and "at 0x00100005" in found.detail, found.detail


@pytest.mark.parametrize("address", [0xFEBE0000, 0x400000, 0xFEBBFFFE, 0xFEB01000])
@pytest.mark.parametrize("instruction", ["mov (%ebx), %eax", "mov %eax, (%ebx)", "push %eax"])
def test_an_address_that_is_neither_memory_nor_a_device(address, instruction):
    for monitor in MONITORS:
        found = bare(f"mov ${address}, %ebx; lea 4(%ebx), %esp; {instruction}; hlt", monitor)
        assert found.outcome == "crashed" and f"physical address {address:#x} is not memory" in found.detail


# ---------------------------------------------------------------------------------------------- with paging on
@FORMS
def test_registers_are_mapped_like_memory(pae):
    tables = Tables(pae)
    entry = tables.map(WINDOW, CARD | ALL)
    native, emulated = paged.both(tables, f"""
        mov     $0x5, %eax
        mov     %eax, {WINDOW + IMS}
        mov     {WINDOW + STATUS}, %edx
        cmpl    $0x83, {WINDOW + STATUS}
        sete    %cl
        cli; hlt""")
    assert native.regs[2] == 0x83 and native.regs[1] & 0xFF == 1
    exits = emulated.run.trace.by_reason()
    assert (exits["mmio:write"], exits["mmio:read"]) == (1, 2)
    assert native.machine.ram.bytes[entry] & 0x60 == 0x60          # accessed and dirty


@FORMS
@pytest.mark.parametrize("entry, ring, code", [(0, 0, 2), (PRESENT | USER, 3, 7), (PRESENT | 2, 3, 7)])
def test_the_page_tables_come_before_the_device(pae, entry, ring, code):
    tables = Tables(pae)
    tables.map(WINDOW, CARD | entry if entry else 0)
    enter = paged.to_ring_3() if ring else ""
    native, emulated = paged.both(tables, f"{enter} mov %eax, {WINDOW + IMS}; hlt")
    assert native.status == 14 and "mmio:write" not in emulated.run.trace.by_reason()
    assert native.words(native.regs[4]) == code


@FORMS
def test_user_programs_reach_what_they_are_given(pae):
    tables = Tables(pae)
    tables.map(WINDOW, CARD | ALL)
    native, _ = paged.both(tables, f"{paged.to_ring_3()} mov {WINDOW + STATUS}, %edx; hlt")
    assert native.regs[2] == 0x83 and native.status == 13


@FORMS
def test_one_operand_in_a_page_table_the_other_in_a_device(pae):
    """MOVS from a register into a write-protected page: two reasons to leave, one instruction."""
    tables = Tables(pae)
    tables.map(WINDOW, CARD | ALL)
    entry = tables.map(WINDOW + 0x1000, FRAMES | ALL)
    tables.map(entry & ~0xFFF, entry & ~0xFFF | ALL)
    native, emulated = paged.both(tables, f"""
        mov     {WINDOW + 0x1000}, %eax
        mov     ${WINDOW + STATUS}, %esi; mov ${(entry & ~0xFFF) + 0x800}, %edi; movsl
        cli; hlt""")
    assert native.words((entry & ~0xFFF) + 0x800) == 0x83
    assert emulated.run.trace.accesses.counts() == {"e1000": 1}


# ------------------------------------------------------------------------------------- interrupts and single steps
def test_the_trap_flag_traps_behind_an_emulated_instruction():
    native, _ = both(f"""
        mov     ${CARD}, %ebx; pushf; orl $0x100, (%esp); popf
        mov     {STATUS}(%ebx), %eax
        hlt""")
    assert native.status == 1 and native.words(native.regs[4]) == native.symbols["_start"] + 5 + 1 + 7 + 1 + 3


def test_an_interrupt_waits_for_the_instruction_after_sti_though_it_is_emulated():
    """A cause that is allowed while interrupts are off comes as soon as they are on, and after one more instruction."""
    line = 0x20 + 11
    native, emulated = both(f"""
        mov $0x11, %al; out %al, $0x20; out %al, $0xa0; mov $0x20, %al; out %al, $0x21; mov $0x28, %al; out %al, $0xa1
        mov $4, %al; out %al, $0x21; mov $2, %al; out %al, $0xa1; mov $1, %al; out %al, $0x21; out %al, $0xa1
        xor %eax, %eax; out %al, $0x21; out %al, $0xa1
        mov     ${CARD}, %ebx
        movl    $1, {IMS}(%ebx)
        movl    $1, {ICS}(%ebx)
        sti
        mov     {STATUS}(%ebx), %edx
        mov     $1, %ecx
        hlt""")
    assert native.status == line and native.regs[2] == 0x83 and native.regs[1] == 0
    assert emulated.run.trace.events.counts() == {"interrupt": 1}


# --------------------------------------------------------------------------------- devices that write to memory
class Writer:
    """A write of n to its first register copies 16 bytes from memory at 0x260000 to address n."""

    name = "writer"

    def read(self, offset, size):
        return 0

    def write(self, offset, size, value):
        self.memory.write(value, self.memory.read(0x260000, 16))


@pytest.mark.parametrize("monitor", (*MONITORS, BinaryTranslation))
def test_code_that_a_device_brings_is_the_code_that_runs(monitor):
    """A boot loader reads the next program over one that has run."""
    new = bytes.fromhex("b802000000c3")                             # mov $2, %eax; ret
    found = bare(f"""
        call    routine; mov %eax, %esi
        movl    $routine, {DEVICE}
        call    routine
        hlt
        .balign 4096
    routine: mov $1, %eax; ret""", with_device(monitor, Writer()), memory={0x260000: new.ljust(16, b"\x90")})
    assert (found.regs[6], found.regs[0]) == (1, 2) and found.count == 9


@FORMS
@pytest.mark.parametrize("monitor", (*MONITORS, BinaryTranslation))
def test_a_page_table_that_a_device_writes_is_used(pae, monitor):
    tables = Tables(pae)
    tables.map(DEVICE, DEVICE | ALL)
    entry = tables.map(WINDOW, FRAMES | ALL)
    other = (FRAMES + 0x1000 | ALL).to_bytes(tables.width, "little").ljust(16, b"\0")
    found = paged.run(with_device(monitor, Writer()), tables, f"""
        mov     {WINDOW}, %esi
        movl    ${entry}, {DEVICE}
        invlpg  {WINDOW}
        mov     {WINDOW}, %edi
        cli; hlt""", {0x260000: other, FRAMES: b"one ", FRAMES + 0x1000: b"two "})
    assert [found.regs[i].to_bytes(4, "little") for i in (6, 7)] == [b"one ", b"two "]


# --------------------------------------------------------------------------------------------- what is published
def each(monitor, few, many, count=lambda run: run.trace.exits.counts(), **parameters):
    """What one more iteration adds to the counts."""
    runs = [monitor.run(pvlab.guest("kernel", n=n, **parameters)) for n in (few, many)]
    assert all(run.outcome == "shutdown" and run.detail == "status 0" for run in runs)
    one, other = (count(run) for run in runs)
    return {key: (other[key] - one.get(key, 0)) / (many - few) for key in other if other[key] != one.get(key, 0)}


def mmio(found):
    return found.get("mmio:read", 0) + found.get("mmio:write", 0)


def interrupts(run):
    return run.trace.events.counts()


@pytest.mark.parametrize("workload, published", [("net-send", 5.99), ("net-receive", 5.96)])
def test_an_e1000_without_moderation_takes_six_exits_for_a_packet(workload, published):
    """Maffione (2013): 20.6 thousand packets a second, 61.7 MMIO reads and as many writes; received, 14.4 and 42.9."""
    found = each(TrapAndEmulate(), 20, 60, workload=workload, device="e1000")
    assert (found["mmio:read"], found["mmio:write"]) == (3, 3)
    assert mmio(found) == pytest.approx(published, rel=0.01)


def test_moderation_and_batches_make_them_few():
    """Maffione: 1.40 exits for a packet with moderation, at 12.6 packets an interrupt; 0.068 if TDT is written only
    once for 91 packets, as many as then came to an interrupt. By counting: one TDT write for a batch, and five accesses
    an interrupt."""
    how = {"workload": "net-send", "device": "e1000", "moderation": 5}
    found, came = (each(TrapAndEmulate(), 300, 1500, count, **how) for count in (lambda run: run.trace.exits.counts(),
                                                                                 interrupts))
    assert mmio(found) == pytest.approx(1 + 5 * came["interrupt"])
    assert mmio(found) == pytest.approx(1.40, rel=0.05)
    how |= {"moderation": 35, "batch": 91}
    found, came = (each(TrapAndEmulate(), 910, 2730, count, **how) for count in (lambda run: run.trace.exits.counts(),
                                                                                  interrupts))
    assert mmio(found) == pytest.approx(1 / 91 + 5 * came["interrupt"])
    assert mmio(found) == pytest.approx(0.068, rel=0.1)


def kicks(run):
    """Writes to QueueNotify are what the driver's only store of a queue's number makes."""
    return {"kicks": sum(1 for access in run.trace.accesses if access.reason == "virtio-net"
                         and access.instruction.startswith("mov dword ptr") and "0x50]" in access.instruction)}


def test_virtio_under_load_needs_no_kicks_and_one_interrupt_for_three_quarters_of_its_ring():
    """Maffione: 0.00004 kicks and 0.0052 interrupts a packet, one for 192."""
    how = {"workload": "net-send", "device": "virtio", "indirect": "yes"}
    assert each(Native(), 1000, 4000, kicks, **how) == {}
    # One for 192 packets, and for those that leave while the guest fills the ring again.
    came = each(Native(), 1000, 4000, interrupts, **how)
    assert 1 / 220 < came["interrupt"] <= 1 / 192 and came["interrupt"] == pytest.approx(0.0052, rel=0.15)


def test_virtio_that_spares_nobody():
    """The other end of Maffione's table: without delayed callbacks 0.98 interrupts a packet; and here a kick each."""
    how = {"workload": "net-send", "device": "virtio", "suppression": "none"}
    assert each(Native(), 300, 500, kicks, **how) == {"kicks": 1}
    assert each(Native(), 300, 500, interrupts, **how)["interrupt"] == pytest.approx(0.98, rel=0.03)


@pytest.mark.parametrize("device, exits, words", [("ata", 265, 256), ("ata-rep", 10, 1)])
def test_a_sector_by_programmed_io(device, exits, words):
    """Seven registers, two looks at the status, and 256 words: by one exit each, or by one for all."""
    found = each(TrapAndEmulate(), 3, 5, workload="disk-read", device=device)
    ends = 2                                                       # of interrupt, at the two controllers
    assert found["io:read"] + found["io:write"] - ends == exits == 7 + 2 + words
    accesses = each(Native(), 3, 5, lambda run: run.trace.accesses.counts(), workload="disk-read", device=device)
    assert accesses == {"ata": 265, "pic": 2}


@pytest.mark.parametrize("depth", [1, 8, 64])
@pytest.mark.parametrize("suppression, interrupts_of", [("none", lambda depth: depth), ("event-idx", lambda depth: 1)])
def test_requests_of_a_virtio_disk_share_a_kick_and_an_interrupt(depth, suppression, interrupts_of):
    found = each(TrapAndEmulate(), depth, 3 * depth, workload="disk-read", device="virtio", depth=depth,
                 suppression=suppression)
    came = interrupts_of(depth)
    assert mmio(found) * depth == 1 + 2 * came                     # the kick; reading and acknowledging the reason


@pytest.mark.parametrize("indirect, kicks", [("no", 2), ("yes", 1)])
def test_indirect_descriptors_make_the_ring_longer(indirect, kicks):
    """128 requests of three descriptors do not fit into a ring of 256, unless each takes only one."""
    found = each(TrapAndEmulate(), 128, 384, workload="disk-read", device="virtio", depth=128, indirect=indirect)
    assert mmio(found) * 128 == kicks * 3


@pytest.mark.parametrize("device, accesses", [("debug", {"debug-console": 13}), ("uart", {"uart": 26}),
                                              ("virtio", {"virtio-console": 1})])
def test_a_line_on_each_console(device, accesses):
    assert each(Native(), 2, 5, lambda run: run.trace.accesses.counts(), workload="console", device=device) == accesses


# ---------------------------------------------------------------------------------------------- hosted monitors
@pytest.mark.parametrize("how, e1000, ata", [
    ({}, 6, 265), ({"shortcuts": True}, 1, 259), ({"shortcuts": True, "combine": 3}, 1 / 3, 259)])
def test_a_hosted_monitor_switches_worlds_for_what_its_host_must_do(how, e1000, ata):
    """Sugerman (2001): each access switched; then the monitor served what it could, and packets waited for others."""
    monitor = TrapAndEmulate(hosted=True, **how)
    assert each(monitor, 30, 90, workload="net-send", device="e1000")["world-switch"] == pytest.approx(e1000)
    assert each(monitor, 3, 5, workload="disk-read", device="ata")["world-switch"] == ata
    assert "world-switch" not in TrapAndEmulate().run(pvlab.guest("kernel", workload="net-send", n=3)).trace.by_reason()


@pytest.mark.parametrize("n", [1, 29, 31])
@pytest.mark.parametrize("device", ["e1000", "virtio"])
def test_packets_that_wait_for_a_switch_are_the_same_packets(n, device):
    """The last one leaves although no switch is due for it: the guest sleeps until it has gone."""
    monitor, plain = TrapAndEmulate(hosted=True, shortcuts=True, combine=10), Native()
    runs = [each.run(pvlab.guest("kernel", workload="net-send", device=device, n=n)) for each in (monitor, plain)]
    assert runs[0].digest == runs[1].digest and monitor.peer.sha256() == plain.peer.sha256()
    assert monitor.peer.frames == n and runs[0].monitor == "trap-and-emulate, hosted"


@pytest.mark.parametrize("how", [{"shortcuts": True}, {"combine": 2}, {"hosted": True, "combine": 0}])
def test_remedies_without_the_illness(how):
    with pytest.raises(PvlabError):
        TrapAndEmulate(**how)


# ----------------------------------------------------------------------------------------- what a run is lent
def test_a_run_takes_a_disk_of_ones_own_and_its_digest_tells():
    guest = pvlab.guest("kernel", workload="disk-read", device="virtio", n=3)
    ours = Native().run(guest, disk=patterned(64, "ours"))
    again, default = TrapAndEmulate().run(guest, disk=patterned(64, "ours")), Native().run(guest)
    assert ours.digest == again.digest != default.digest


def test_a_disk_counts_only_once_it_was_touched():
    guest = pvlab.guest("hello")
    assert Native().run(guest).digest != Native().run(guest, disk=patterned(8)).digest
    run = Native().run(guest)
    assert run.digest == digest([run.output, run.result])


def test_two_guests_on_one_switch():
    """What one sends, a second hears: the packets wait at its port until it runs."""
    switch = Switch()
    one, other = switch.port(), switch.port()
    assert isinstance(one, Port)
    run = Native().run(pvlab.guest("kernel", workload="net-send", n=5), network=one)
    assert run.outcome == "shutdown" and (one.sent, other.waiting) == (5, 5)
