"""How a guest kills a plain Unicorn, or hangs it for ever, and that it does neither to the lab.

Some deaths are prevented: the instruction is executed by the lab instead. The others are survived: the run has ended,
the guest "crashed", and the next run has a new engine.
"""
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from machine.bare import GDT, SPARE, bare, gate, handler_of

from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda monitor: monitor.name)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to catch")

PLAIN = """
    import struct, unicorn
    from unicorn import x86_const as x86
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    uc.mem_map(0, 1 << 20)
    words = 0, 0, *{descriptors}
    uc.mem_write(0x9000, struct.pack(f"<{{len(words)}}I", *words))
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0x9000, 4 * len(words) - 1, 0))
    uc.mem_write(0x1000, bytes.fromhex("{code}"))
    uc.mem_write(0x2010, b"\\x90\\xf4")
    uc.reg_write(x86.UC_X86_REG_ESP, 0x8000)
    uc.hook_add(unicorn.UC_HOOK_INTR, lambda uc, vector, data: uc.emu_stop())
    uc.ctl_exits_enabled(True)
    uc.emu_start(0x1000, 0)
"""


def plain(code, descriptors=(), timeout=60):
    """How a process ends in which a plain Unicorn runs this: 0, or the signal that ended it."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(PLAIN.format(code=code, descriptors=descriptors))],
                          capture_output=True, timeout=timeout)
    return -done.returncode


@POSIX
@pytest.mark.parametrize("code, number", [
    ("90 f4", 0),                                    # nop; hlt
    ("f0 0f ab f6 f4", signal.SIGABRT),              # lock bts %esi, %esi: a null operand for the translator
    ("f0 0f ba f6 01 f4", signal.SIGABRT),           # lock btr $1, %esi
    ("ce" * 600 + "f4", signal.SIGSEGV),             # into, 600 times: each costs the translator a variable
], ids=["lives", "lock bts", "lock btr", "600 times into"])
def test_plain_translation_kills_the_process(code, number):
    assert plain(code) == number


DEADLY = [("lock bts", "nop; .byte 0xf0, 0x0f, 0xab, 0xf6"), ("lock btr", "nop; .byte 0xf0, 0x0f, 0xba, 0xf6, 1"),
          ("lock btc, in a register that the block has used", "mov %eax, 0x210000; .byte 0xf0, 0x66, 0x0f, 0xbb, 0xc8"),
          ("600 times into", ".fill 600, 1, 0xce"), ("600 times fadd", ".rept 600; fadd %st(1), %st; .endr")]


@POSIX
@BOTH
@pytest.mark.parametrize("name, program", DEADLY, ids=[row[0] for row in DEADLY])
def test_the_lab_survives_it_and_runs_the_next_guest(name, program, monitor):
    for _ in range(3):
        result = bare(program, monitor)
        if result.outcome == "crashed":
            assert "the engine died of the code at 0x001000" in result.detail
        else:
            assert result.status == 6, "or the lab saw it coming: LOCK may not stand there, which is an invalid opcode"
        assert bare("nop; cli; hlt", monitor).outcome == "halted"


@POSIX
def test_the_lab_survives_it_in_a_thread_of_its_own():
    ends = []
    threads = [threading.Thread(target=lambda: ends.append(bare(DEADLY[0][1]).outcome)) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert ends == ["crashed", "crashed"]
    assert bare("cli; hlt").outcome == "halted"


@POSIX
@pytest.mark.parametrize("options", [[], ["-X", "faulthandler"]])
@pytest.mark.parametrize("death, number", [("ctypes.string_at(0)", signal.SIGSEGV), ("os.abort()", signal.SIGABRT)])
def test_a_fault_that_is_not_the_engines_still_ends_the_process(death, number, options):
    """And faulthandler still says where, if somebody has asked it to."""
    code = f"import ctypes, os, pvlab; pvlab.Native().run(pvlab.guest('hello')); {death}"
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=60,
                          env={name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"})
    assert done.returncode == -number
    assert ("most recent call first" in done.stderr) == bool(options)


# ------------------------------------------------------------------------------------------ deaths that are prevented
FLAT = tuple(word for rights in (0x9B, 0x93, 0xFB, 0xF3) for word in (0xFFFF, 0xCF0000 | rights << 8))
CALL_GATE = (0x00081000, 0xEC00)                       # to ring 0, for ring 3: selector 0x28


@POSIX
def test_plain_a_null_task_register_kills_the_process_at_the_next_gate():
    """LTR takes a null selector, which no CPU does; and then there is no type that a call gate could expect."""
    null = "31 c0 0f 00 d8"                                                   # xor %eax, %eax; ltr %ax
    to_ring_3 = "6a 23 68 00 80 00 00 6a 02 6a 1b 68 16 10 00 00 cf"          # push ...; iret, to 0x1016
    call = "9a 00 00 00 00 28 00"                                             # lcall $0x28, $0
    assert plain(null + to_ring_3 + call, FLAT + CALL_GATE) == signal.SIGABRT
    assert plain(null + "f4", FLAT + CALL_GATE) == 0


@BOTH
def test_a_null_task_register_is_a_fault(monitor):
    result = bare(f"""
        xor     %eax, %eax
        ltr     %ax
        ud2
skip:   addl    $3, 4(%esp)
        add     $4, %esp
        iret""", monitor, gates={13: "skip"},
                  memory={GDT + SPARE: gate(handler_of(0x77), kind=12, dpl=3)})
    assert result.status == 6, "the fault came, and its handler went on behind the LTR"
    assert [event.reason for event in result.run.trace.events] == ["general-protection", "invalid-opcode"]


HANG = "b8 10 20 00 00 0f 23 c0 b8 03 04 00 00 0f 23 f8 ea 10 00 00 00 10 00"


def test_plain_a_breakpoint_in_a_segment_with_a_base_hangs_the_process():
    """Unicorn looks for the breakpoint that it hit at EIP, finds none there, and then asks itself for ever."""
    with pytest.raises(subprocess.TimeoutExpired):
        plain(HANG, (0xFFFF, 0xCF9B00, 0x2000FFFF, 0xCF9B00), timeout=2)


@BOTH
def test_a_breakpoint_is_kept_and_never_hit(monitor):
    result = bare(f"""
        mov     $0x210010, %eax
        mov     %eax, %dr0
        mov     $0x403, %eax
        mov     %eax, %dr7
        ljmp    ${SPARE}, $0x10""", monitor, memory={
        GDT + SPARE: descriptor(0x210000, 0xFFFF, 0x409B00), 0x210010: bytes.fromhex("90 fa f4")})
    assert (result.outcome, result.count) == ("halted", 8)
    assert (result.processor.dr[0], result.processor.dr[7]) == (0x210010, 0x403)
