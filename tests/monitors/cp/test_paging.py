"""CP's own paging: the guest does not see it, but by the clock; and the handshake, by which it does."""

from monitors.cp.harness import run
from pvlab.monitors.cp import Cp
from pvlab.monitors.cp.paging import LATENCY, LEAST

# Touches 40 pages twice, and leaves the sum of the first round's counters in GR7.
ROUNDS = """
        lghi    %r5, 2
        lghi    %r7, 0
0:      lgfi    %r1, 0x200000
        lghi    %r2, 40
1:      l       %r3, 0(%r1)
        ahi     %r3, 1
        st      %r3, 0(%r1)
        agfr    %r7, %r3
        aghi    %r1, 4096
        brctg   %r2, 1b
        brctg   %r5, 0b
        svc     0
"""


def test_the_guest_does_the_same_in_as_many_instructions():
    plain, there = run(ROUNDS)
    paged, here = run(ROUNDS, monitor=Cp(frames=LEAST))
    assert here.vm.regs[7] == there.vm.regs[7] == 120
    assert paged.instructions == plain.instructions and paged.outcome == plain.outcome
    pager = here.vm.pager
    assert pager.page_ins > 30 and len(pager.resident) <= LEAST
    assert here.now - here.machine.instructions == pager.page_ins * LATENCY
    assert paged.trace.by_reason()["page-in"] >= 80 and "page-in" not in plain.trace.by_reason()


def test_a_page_that_is_out_is_on_the_disk_and_its_frame_is_clear():
    _, monitor = run(ROUNDS, monitor=Cp(frames=LEAST))
    page, content = next(iter(monitor.vm.pager.paged_out.items()))
    assert bytes(monitor.machine.ram.bytes[page:page + 4096]) == bytes(4096) != content
    assert monitor.machine.ram.read(page, 4096) == content          # the lab's own look brings it in


def test_a_real_address_beyond_storage_is_an_addressing_exception():
    found, monitor = run("lgfi %r1, 0x7000000\n l %r2, 0(%r1)\n", monitor=Cp(frames=LEAST))
    assert found.detail.endswith("d150") and monitor.machine.ram.read(0x8E, 2) == b"\0\5"


def test_low_core_is_as_the_guest_left_it():
    """The real CPU notes CP's own missing pages in low core, at 168; the guest must not see that."""
    _, monitor = run("lghi %r1, 0x77\n stg %r1, 168\n" + ROUNDS, monitor=Cp(frames=LEAST))
    assert monitor.machine.ram.read(168, 8) == (0x77).to_bytes(8, "big")


def test_a_guest_with_dat_on_has_all_of_its_pages():
    """A segment table with a real-space designation: DAT is on, and addresses stay what they are."""
    text = f"""
        larl    %r1, .Lasce
        lctlg   %c1, %c1, 0(%r1)
        larl    %r1, .Ldat
        lpswe   0(%r1)
.Lgo:   {ROUNDS}
        .balign 8
.Lasce: .quad   0x20
.Ldat:  .quad   0x0400000180000000, .Lgo
"""
    found, monitor = run(text, monitor=Cp(frames=LEAST))
    assert found.detail.endswith("d140") and monitor.vm.regs[7] == 120


HANDSHAKE = """
        larl    %r1, .Lext
        mvc     0x1b0(16, %r0), 0(%r1)
        larl    %r1, .Lcr0
        lctlg   %c0, %c0, 0(%r1)
        lgfi    %r1, 0x200000           # 20 pages, so that the first ones are out again
        lghi    %r2, 20
0:      mvi     0(%r1), 0x11
        aghi    %r1, 4096
        brctg   %r2, 0b
        larl    %r1, .Lblock
        diag    %r1, %r2, 0x258
        lghi    %r8, 0                  # what other work has been done
        lghi    %r9, 0                  # interruptions seen
        lgfi    %r1, 0x200000
        larl    %r3, .Lenabled
        lpswe   0(%r3)
.Ltouch:
        llc     %r7, 0(%r1)             # this page is out
        svc     0
.Lother:                                # the other task, until the page is there
        aghi    %r8, 1
        j       .Lother
.Lon:   aghi    %r9, 1
        llgh    %r10, 132
        cghi    %r10, 0x600
        je      .Lbegun
        larl    %r3, .Lagain            # X'0680': back to the first task
        lpswe   0(%r3)
.Lbegun:
        lg      %r11, 0x11b8            # the token
        larl    %r3, .Lelsewhere
        lpswe   0(%r3)
        .balign 8
.Lcr0:  .quad   0x200
.Lext:  .quad   0x0000000180000000, .Lon
.Lenabled:
        .quad   0x0100000180000000, .Ltouch
.Lagain:
        .quad   0x0000000180000000, .Ltouch
.Lelsewhere:
        .quad   0x0100000180000000, .Lother
.Ltoken:
        .quad   0x1122334455667788
.Lblock:
        .short  0x258, 0, 5, 2
        .quad   .Ltoken, 0, 0, 0x8000000000000000
"""


def test_a_page_fault_handshake_lets_the_guest_do_other_work():
    found, monitor = run(HANDSHAKE, monitor=Cp(frames=LEAST, page_in=100_000), budget=2_000_000)
    regs = monitor.vm.regs
    assert found.detail.endswith("d140"), found
    assert (regs[7], regs[9], regs[11]) == (0x11, 2, 0x1122334455667788)
    assert 45_000 < regs[8] <= 50_000            # two instructions a round, in 100,000 nanoseconds
    assert found.trace.events.counts()["external"] == 2


def test_without_the_handshake_the_guest_waits():
    found, monitor = run(HANDSHAKE.replace("diag    %r1, %r2, 0x258", "nopr"), monitor=Cp(frames=LEAST,
        page_in=100_000))
    assert found.detail.endswith("d140") and monitor.vm.regs[7] == 0x11 and monitor.vm.regs[8] == 0


def test_two_cpus_with_prefixes_of_their_own():
    """CPU 1 gets a prefix and runs; both touch real page 0 and the pages that change places with it."""
    text = """
        lgfi    %r5, 0x200000
        lghi    %r3, 1
        lgr     %r1, %r5
        sigp    %r0, %r3, 0xd           # set prefix, parameter in GR1
        larl    %r2, .Lother
        larl    %r4, .Lpsw
        mvc     0x1a0(16, %r5), 0(%r4)
        sigp    %r0, %r3, 6             # restart: its restart new PSW is at its own real 0x1a0
0:      diag    %r0, %r0, 0x44
        lg      %r6, 0x900(%r5)         # real page 0x200 is CPU 1's low core
        cghi    %r6, 0x55
        jne     0b
        svc     0
.Lother:
        lghi    %r6, 0x55
        stg     %r6, 0x900              # in its own low core
        lghi    %r3, 1
        sigp    %r0, %r3, 5
        .balign 8
.Lpsw:  .quad   0x0000000180000000, .Lother
"""
    for monitor in (Cp(cpus=2), Cp(cpus=2, frames=LEAST)):
        found, made = run(text, monitor=monitor)
        assert found.detail.endswith("d140") and made.vm.regs[6] == 0x55, found


