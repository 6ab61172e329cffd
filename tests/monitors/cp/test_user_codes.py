"""DIAGNOSE codes that a notebook adds."""
import pytest

from monitors.cp.table import BITS64, PROBLEM, Row, check, perform
from pvlab.errors import PvlabError
from pvlab.machine.s390x.faults import Interruption
from pvlab.monitors.cp import Cp, ebcdic


def cp_with(function, number=0x100):
    def make():
        cp = Cp()
        cp.diagnose(number, "test")(function)
        return cp
    return make


def test_the_guest_calls_a_python_function():
    def double(vm, rx, ry):
        vm.regs[rx] *= 2
        vm.console.write(b"doubled\n")
        return 3
    check(Row(0x100, "double", regs={2: 21}, cc=3, after={2: 42}, output=b"doubled\n", monitor=cp_with(double)))
    found, _ = perform(Row(0x100, "double", regs={2: 21}, monitor=cp_with(double)))
    assert found.trace.by_reason()["diagnose:user"] == 1


def test_it_reads_storage_and_interrupts():
    def upper(vm, rx, ry):
        text = ebcdic.decode(vm.real.read(vm.address(rx), vm.word(ry)))
        vm.real.write(vm.address(rx), ebcdic.encode(text.upper()))
    check(Row(0x1FC, "upper", regs={2: 0x8000, 4: 3}, data={0x8000: ebcdic.encode("abc")}, cc=None,
              storage={0x8000: ebcdic.encode("ABC")}, monitor=cp_with(upper, 0x1FC)))
    check(Row(0x1FC, "upper", regs={2: 1 << 40, 4: 3}, program=5, monitor=cp_with(upper, 0x1FC)))

    def refuse(vm, rx, ry):
        raise Interruption(0x15)
    check(Row(0x104, "refuse", program=0x15, monitor=cp_with(refuse, 0x104)))
    check(Row(0x104, "problem state", program=2, mode=BITS64 | PROBLEM, monitor=cp_with(refuse, 0x104)))


@pytest.mark.parametrize("function, why", [
    (lambda vm, rx, ry: 1 / 0, "raised ZeroDivisionError: division by zero"),
    (lambda vm, rx, ry: "yes", "answered 'yes', which is no condition code"),
    (lambda vm, rx, ry: 4, "answered 4, which is no condition code"),
    (lambda vm: None, "raised TypeError"),
    (lambda vm, rx, ry: vm.regs.__setitem__(rx, "x"), "raised TypeError"),
])
def test_a_function_that_fails_ends_the_run_with_a_sentence(function, why):
    found, _ = perform(Row(0x100, "wrong", monitor=cp_with(function)))
    assert found.outcome == "crashed" and f"the function of DIAGNOSE X'100' (test) {why}" in found.detail
    assert "(called at 0x10100)" in found.detail


@pytest.mark.parametrize("number", [0x08, 0x102, 0x200, -4, "x"])
def test_only_the_users_own_codes_can_be_given(number):
    with pytest.raises(PvlabError, match="not a user's"):
        Cp().diagnose(number)


def test_one_monitors_codes_are_not_anothers():
    cp_with(lambda vm, rx, ry: 0)()
    check(Row(0x100, "unknown", program=6))


def test_what_is_no_function():
    with pytest.raises(PvlabError, match="needs a function"):
        Cp().diagnose(0x100)(7)
