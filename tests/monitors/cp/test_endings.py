"""How runs under CP end, and what the one sentence about it says."""
import pytest

from monitors.cp.harness import image, run
from monitors.cp.table import BITS64, Row, perform
from pvlab.errors import PvlabError
from pvlab.guests.catalogue import Guest
from pvlab.monitors import Cp, Native, TrapAndEmulate

AREA = 0x8000


def psw(mask: int, address: int) -> bytes:
    return mask.to_bytes(8, "big") + address.to_bytes(8, "big")


def after(insn: str, regs=None, data=None, prepare=None, monitor=Cp):
    found, made = perform(Row(None, "", insn=insn, regs=regs or {}, data=data or {}, prepare=prepare, monitor=monitor))
    return found, made


def test_a_disabled_wait_halts_and_tells_its_address():
    found, _ = after("b2b26000", {6: AREA}, {AREA: psw(1 << 49 | BITS64, 0xDEAD)})
    assert (found.outcome, found.detail) == ("halted", "a disabled wait: PSW 0002000180000000 000000000000dead")


def test_an_enabled_wait_that_nothing_will_end():
    found, _ = after("b2b26000", {6: AREA}, {AREA: psw(1 << 49 | 3 << 56 | BITS64, 0x4000)})
    assert found.outcome == "halted" and "an enabled wait, and nothing will interrupt" in found.detail


def test_an_enabled_wait_sleeps_in_virtual_time():
    """The clock comparator is a second ahead: it comes after a thousand million nanoseconds and no instruction."""
    def arm(vm):
        vm.cregs[0] |= 0x800
        vm.cpu.comparator = vm.tod + (1_000_000 << 12)
    found, made = after("b2b26000", {6: AREA}, {AREA: psw(1 << 49 | 1 << 56 | BITS64, 0x4000)}, arm)
    assert found.detail.endswith("d130") and found.instructions < 10 and made.now // 1000 == 1_000_000


@pytest.mark.parametrize("new, why", [
    (psw(1 << 63, 0), "a program-interruption loop: the program new PSW at 0x1d0 (8000000000000000 "
                      "0000000000000000) is invalid"),
    (psw(BITS64, 1), "a loop of program interruptions (specification exception)"),
    (psw(BITS64, 0x4000), "a loop of program interruptions (operation exception)"),
    (psw(BITS64, 1 << 40), "a loop of program interruptions (addressing exception)"),
    (psw(BITS64 | 1 << 48, 0x4000), "a loop of program interruptions (operation exception)"),
])
def test_a_program_interruption_loop(new, why):
    found, _ = after("0000", prepare=lambda vm: vm.absolute.write(0x1D0, new))
    assert found.outcome == "crashed" and found.detail.startswith(why), found.detail
    assert found.instructions < 10


def test_a_loop_of_external_interruptions():
    """The new PSW is enabled, and the comparator stays pending."""
    def arm(vm):
        vm.cregs[0] |= 0x800
        vm.cpu.comparator = 0
        vm.absolute.write(0x1B0, psw(1 << 56 | BITS64, 0x4000))
    found, _ = after("ad016000", {6: AREA}, prepare=arm)
    assert found.outcome == "crashed" and "a loop of external interruptions 0x1004" in found.detail


def test_an_invalid_psw_is_a_program_interruption_first():
    found, made = after("b2b26000", {6: AREA}, {AREA: psw(1 << 63, 0x1234)})
    assert found.detail.endswith("d150") and made.machine.ram.read(0x150, 16) == psw(1 << 63, 0x1234)
    assert found.trace.events.counts() == {"program:specification": 1}


def test_low_core_that_the_guest_overwrites_is_the_guests_own_trouble():
    """mvc 0(256), 0(%r6) over low core, then a program check with an all-ones new PSW."""
    found, _ = after("d2ff01006000", {6: AREA}, {AREA: b"\xFF" * 256})
    assert found.outcome == "halted"                     # nothing has happened yet
    found, _ = after("d2ff01006000" + "0000", {6: AREA}, {AREA: b"\xFF" * 256})
    assert found.outcome == "crashed" and "is invalid" in found.detail


def test_a_guest_that_never_ends_spends_its_budget():
    found, _ = run("0: j 0b\n", budget=100_000)
    assert found.outcome == "budget" and found.instructions >= 100_000


def test_a_guest_that_only_exits_spends_its_stops(monkeypatch):
    monkeypatch.setattr("pvlab.monitors.base.ALLOWANCE", 20_000)
    found, _ = run("lghi %r2, 0x4000\n0: stap 0(%r2)\n j 0b\n", budget=10_000)
    assert found.outcome == "budget" and "more stops than the budget allows" in found.detail


def test_moves_of_megabytes_are_weighed(monkeypatch):
    monkeypatch.setattr("pvlab.monitors.base.ALLOWANCE", 20_000)
    found, _ = run("0: lgfi %r2, 0x200000\n lgfi %r3, 0x100000\n lgr %r4, %r2\n lgr %r5, %r3\n mvcl %r2, %r4\n j 0b\n",
                   budget=100_000)
    assert found.outcome == "budget" and found.instructions < 200


def test_stops_of_all_cpus_shut_the_machine_down():
    found, _ = run("lghi %r3, 0\n lghi %r1, 0\n sigp %r1, %r3, 5\n")
    assert (found.outcome, found.detail) == ("shutdown", "every virtual CPU is stopped")


@pytest.mark.parametrize("monitor", [Native, TrapAndEmulate])
def test_an_x86_monitor_refuses_an_s390x_guest(monitor):
    with pytest.raises(PvlabError, match="runs guests for x86, and 'z' is for s390x"):
        monitor().run(Guest("z", "", {}, image("nopr\n"), 1 << 20))


@pytest.mark.parametrize("wrong", [{"cpus": 0}, {"cpus": 9}, {"frames": 3}, {"segments": {"lower": (0, b"")}},
                                   {"segments": {"ODD": (0x1234, bytes(4096))}}, {"frames": 20, "segments": {
                                       "A": (0x100000, bytes(4096))}}])
def test_parameters_that_cannot_be(wrong):
    with pytest.raises(PvlabError):
        Cp(**wrong).run(Guest("z", "", {}, image("nopr\n"), 1 << 20))


def test_a_guest_that_waits_by_the_clock_gets_there():
    """Five seconds, in a loop of STCK: so many looks that it is clear what the guest does, and no more."""
    found, monitor = run("""
        lghi    %r4, 0x4000
        stck    0(%r4)
        lg      %r5, 0(%r4)
        lgfi    %r6, 5000000
        sllg    %r6, %r6, 12
        agr     %r5, %r6
0:      stck    8(%r4)
        clg     %r5, 8(%r4)
        jh      0b
        svc     0
""")
    assert found.detail.endswith("d140") and 5_000_000_000 <= monitor.now < 5_020_000_000
    assert found.trace.by_reason()["stck"] < 6_000


def test_two_looks_at_the_clock_never_see_the_same_microsecond():
    _, monitor = run("lghi %r4, 0x4000\n" + "stck 0(%r4)\nla %r4, 8(%r4)\n" * 5 + "svc 0\n")
    seen = [monitor.vm.absolute.load(0x4000 + i * 8, 8) >> 12 for i in range(5)]
    assert seen == [seen[0] + i for i in range(5)]


def test_a_loop_that_only_waits_costs_no_instructions():
    """A watchdog of fifteen seconds, and a loop of two instructions until it bites; one that counts in storage is no wait."""
    text = """
        larl    %r4, .Lrestart
        mvc     0x1a0(16, %r0), 0(%r4)
        lghi    %r0, 0
        lghi    %r1, 15
        lghi    %r2, 0
        lghi    %r5, 0x4000
        diag    %r0, %r2, 0x288
0:      {}
        j       0b
1:      svc     0
        .balign 8
.Lrestart:
        .quad   0x0000000180000000, 1b
"""
    found, monitor = run(text.format("nopr"), budget=5_000_000)
    assert found.detail.endswith("d140") and found.instructions < 1_500_000 and monitor.now // 10**9 == 15
    assert run(text.format("agsi 0(%r5), 1"), budget=2_000_000)[0].outcome == "budget"
    assert run(text.format("la %r6, 1(%r6)"), budget=2_000_000)[0].outcome == "budget"
