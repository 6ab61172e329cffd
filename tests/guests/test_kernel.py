"""The teaching kernel: its answers on the bare machine, and what its machine code may and may not contain."""
import re
import struct

import pytest
import io_bytes as io
from io_bytes import checksum

import pvlab
from pvlab.guests.catalogue import CATALOGUE, WORKLOADS
from pvlab.guests.toolchain import HERE, build_guest

PRIMES = [p for p in range(2, 512) if all(p % d for d in range(2, p))]

# What each workload reports: the unit, the word before its answer, and the answer as a function of n.
REPORTS = {
    "compute": ("rounds", "sum", lambda n: n * sum(PRIMES)),
    "syscall": ("calls", "sum", lambda n: sum(range(n))),
    "context-switch": ("switches", "turns", lambda n: (n // 2 + 1 << 16) + (n + 1) // 2),
    "page-fault": ("faults", "sum", lambda n: sum(range(n))),
    "page-table-update": ("updates", "sum", lambda n: (n // 2 + 1 << 16) + (n + 1) // 2),
    "fork": ("copies", "sum", lambda n: sum(range(n + 1))),
    "interrupt-flags": ("sections", "woken", lambda n: 1),
    "port-io": ("reads", "sum", lambda n: 0xFF * n),
    "divide-error": ("faults", "sum", lambda n: sum(range(n))),
    "call-return": ("calls", "sum", lambda n: n),
    "timer": ("ticks", "wanted", lambda n: n),
    "idle": ("waits", "wanted", lambda n: n),
    "console": ("lines", "bytes", lambda n: 13 * n),
    "control-register": ("writes", "sum", lambda n: n),
    "disk-read": ("sectors", "sum", lambda n: checksum(io.read(n))),
    "disk-write": ("sectors", "sum", lambda n: checksum(io.written(n))),
    "net-send": ("packets", "sum", lambda n: checksum(*io.sent(n))),
    "net-receive": ("packets", "sum", lambda n: checksum(*io.received(n))),
}


def run(workload, n):
    return pvlab.Native().run(pvlab.guest("kernel", workload=workload, n=n))


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("n", [1, 18, 301])
def test_each_workload_reports_its_answer(workload, n):
    found = run(workload, n)
    unit, word, answer = REPORTS[workload]
    lines = "".join(f"line {i:07}\n" for i in range(1, n + 1)) if workload == "console" else ""
    assert found.text == f"{lines}{workload}:{n:8} {unit}, {word} {answer(n):#010x}\n"
    assert found.result == struct.pack("<II", n, answer(n))
    assert (found.outcome, found.detail[-1]) == ("shutdown", "0")


# What the bare machine sees in each iteration: events, and accesses to devices.
EACH = {
    "syscall": ({"int": 1}, {}), "context-switch": ({"int": 1}, {}), "page-fault": ({"page-fault": 1}, {}),
    "fork": ({"int": 2}, {}), "divide-error": ({"divide-error": 1}, {}), "port-io": ({}, {"port-0x80": 1}),
    "timer": ({"interrupt": 1}, {"pic": 1}), "idle": ({"interrupt": 1}, {"pic": 1}),
    "console": ({"int": 1}, {"debug-console": 13}),
    "disk-read": ({"interrupt": 1}, {"ata": 265, "pic": 2}), "disk-write": ({"interrupt": 1}, {"ata": 266, "pic": 2}),
    "net-send": ({"interrupt": 1}, {"e1000": 6, "pic": 2}), "net-receive": ({"interrupt": 1}, {"e1000": 6, "pic": 2}),
}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_n_iterations_are_n_times_one(workload):
    one, many = run(workload, 1).trace, run(workload, 8).trace
    events, accesses = EACH.get(workload, ({}, {}))
    for each, before, after in ((events, one.events, many.events), (accesses, one.accesses, many.accesses)):
        before, after = before.counts(), after.counts()
        assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == \
            {key: 7 * value for key, value in each.items()}


def test_the_timer_runs_only_where_it_is_the_subject():
    users = {workload for workload in WORKLOADS if "pit" in run(workload, 1).trace.accesses.counts()}
    assert users == {"timer", "idle", "interrupt-flags"}


def test_an_unknown_workload_is_a_panic(monkeypatch):
    guest = pvlab.guest("kernel")
    guest.parameters["workload"] = "nothing"
    found = pvlab.Native().run(guest)
    assert found.text == "kernel panic: unknown workload in the command line 'workload=nothing n=1000'\n"
    assert found.outcome == "shutdown" and found.detail[-1] == "1"


# --- the machine code ---

# Sensitive and not privileged, by capstone's names; and forms of MOV, PUSH and POP with a segment register.
SILENT = {"pushfd", "popfd", "pushf", "popf", "sgdt", "sidt", "sldt", "smsw", "str", "lar", "lsl", "verr", "verw"}
SEGMENTS = {"cs", "ds", "es", "fs", "gs", "ss"}


def instructions():
    """(section, the function or label before it, address, mnemonic, operands) for all of the kernel's code."""
    import capstone
    from elftools.elf.elffile import ELFFile
    entry = CATALOGUE["kernel"]
    with open(build_guest([HERE / source for source in entry.sources], HERE / entry.script), "rb") as file:
        elf = ELFFile(file)
        labels = {}
        for symbol in elf.get_section_by_name(".symtab").iter_symbols():
            if symbol["st_info"]["type"] in ("STT_FUNC", "STT_NOTYPE"):
                labels.setdefault(symbol["st_value"], symbol.name)
        for name in (".boot", ".text", ".user.text"):
            section, label = elf.get_section_by_name(name), ""
            disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
            disassembler.skipdata = True
            for address, _, mnemonic, operands in disassembler.disasm_lite(section.data(), section["sh_addr"]):
                label = labels.get(address, label)
                yield name, label, address, mnemonic, operands


CODE = list(instructions())


def test_the_silent_instructions_are_in_one_workload_only():
    found = {label for _, label, _, mnemonic, operands in CODE
             if mnemonic in SILENT or (mnemonic == "push" and operands in SEGMENTS)
             or (mnemonic == "mov" and operands.split(", ")[-1] in SEGMENTS)}
    assert found == {"interrupt_flags"}


def test_segment_registers_are_loaded_once():
    assert {label for _, label, _, mnemonic, operands in CODE
            if mnemonic in ("mov", "pop") and operands.split(", ")[0] in SEGMENTS} == {"traps_init"}


def test_only_integer_instructions():
    assert not [each for each in CODE if re.search(r"\b[xy]?mm\d|\bst\(", each[4]) or each[3].startswith("f")]


def test_user_programs_stay_in_their_own_memory():
    user = [each for each in CODE if each[0] == ".user.text"]
    for _, label, _, mnemonic, operands in user:
        for number in re.findall(r"0x[0-9a-f]{6,}", operands):
            if mnemonic == "call" or mnemonic.startswith("j") or "[" in operands:
                assert 0x400000 <= int(number, 16) < 0x600000, (label, mnemonic, operands)


def test_privileged_instructions_stand_in_one_file():
    words = (r"\b(cli|sti|hlt|iret|invlpg|[ls]gdt|[ls]idt|ltr|str|lldt|wrmsr|rdmsr|popf|pushf|clts|cr[0234]|"
             r"in[bwl]|out[bwl])\b")
    for path in (HERE / "kernel").iterdir():
        code = re.sub(r"/\*.*?\*/|#.*?$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert bool(re.search(words, code)) == (path.name == "ops.h"), path.name


def test_the_cpus_tables_share_no_page_with_anything():
    symbols = pvlab.guest("kernel").image.symbols
    tables = ("gdt", "idt", "task_page", "kernel_root", "boot_root", "kernel_directory", "kernel_tables")
    others = sorted(set(symbols.values()))
    for name in tables:
        start, pages = symbols[name], 2 if name == "kernel_tables" else 1
        assert start % 4096 == 0
        assert not [other for other in others if start < other < start + 4096 * pages], name
