"""Reading ELF files: what a good one gives, and one clear message for each kind of bad one."""
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvlab.guests import GuestError, guest, load_image, toolchain
from pvlab.guests.catalogue import CATALOGUE
from pvlab.guests.toolchain import HERE, build_guest
from pvlab.monitors import Cp


def built(name):
    entry = CATALOGUE[name]
    return build_guest([HERE / source for source in entry.sources], HERE / entry.script).read_bytes()


@pytest.fixture(scope="module")
def hello():
    return built("hello")


def changed(data, offset, layout, value):
    """The bytes with one field of a structure changed."""
    data = bytearray(data)
    struct.pack_into("<" + layout, data, offset, value)
    return bytes(data)


def program_header(data, number=0):
    return struct.unpack_from("<I", data, 28)[0] + 32 * number


def test_a_small_guest(hello):
    image = load_image(hello, "hello")
    assert image.segments[0][0] == 0x100000 and image.segments == sorted(image.segments)
    assert image.entry == image.symbols["_start"] and image.result is None
    at, data, _ = image.segments[0]
    assert data[image.symbols["message"] - at:].startswith(b"hello, world\n\0")
    assert image.end == max(at + size for at, _, size in image.segments)


def test_a_kernel_in_the_higher_half():
    image = load_image(built("kernel"), "kernel")
    assert image.symbols["kernel_main"] > 0xC0100000 > image.end
    assert image.result == (image.symbols["result"] - 0xC0000000, 8)
    assert image.entry == image.symbols["_start"] < 0x101000


@pytest.mark.parametrize("data, message", [
    (b"", "not an ELF file"),
    (b"#!/bin/sh\n", "not an ELF file"),
    (b"\x7fELF\x01\x01\x01", "truncated"),
])
def test_not_even_a_header(data, message):
    with pytest.raises(GuestError, match=f"^some name: .*{message}"):
        load_image(data, "some name")


@pytest.mark.parametrize("offset, layout, value, message", [
    (4, "B", 2, "another machine: Intel 80386, 64-bit"),
    (4, "B", 7, "damaged"),
    (5, "B", 2, "big-endian"),
    (16, "H", 1, "not an executable but of type ET_REL"),
    (16, "H", 3, "not an executable but of type ET_DYN"),
    (18, "H", 62, "another machine: .*X86-64"),
    (24, "I", 0x7FFFFFFF, "entry point 0x7fffffff lies in none"),
    (28, "I", 0xFFFFFF00, "truncated ELF file .its program headers"),
    (32, "I", 0xFFFFFF00, "truncated ELF file .its section headers"),
    (42, "H", 0, "damaged ELF file .its program headers have 0 bytes"),
    (44, "H", 0, "no loadable segment"),
    (44, "H", 0xFFFF, "truncated ELF file .its program headers"),
    (46, "H", 64, "damaged ELF file .its section headers have 64 bytes"),
])
def test_a_bad_header(hello, offset, layout, value, message):
    with pytest.raises(GuestError, match=message):
        load_image(changed(hello, offset, layout, value), "bad")


@pytest.mark.parametrize("field, value, message", [
    (4, 0xFFFFF000, "truncated ELF file .a segment ends at byte"),
    (12, 0x7C00, "to be loaded at 0x7c00, and memory for guests begins at 0x100000"),
    (12, 0x1FFFFFF, "needs more memory than the machine has"),
    (12, 0xFFFFFFFF, "needs more memory than the machine has"),
    (16, 0xFFFFFFFF, "truncated ELF file"),
    (20, 0xFFFFFFFF, "needs more memory than the machine has"),
    (20, 1, "a segment of 1 bytes has"),
    (20, 0x2000, "two segments overlap at 0x101000"),
])
def test_a_bad_segment(hello, field, value, message):
    with pytest.raises(GuestError, match=message):
        load_image(changed(hello, program_header(hello) + field, "I", value), "bad")


def test_memory_is_the_machines(hello):
    load_image(hello, "hello", memory=0x120000)
    with pytest.raises(GuestError, match="RAM at 0x110000"):
        load_image(hello, "hello", memory=0x110000)


def test_a_result_area_outside_every_segment(tmp_path):
    (tmp_path / "lost.S").write_text('.globl main\nmain: ret\n.section .pvlab.result, ""\n.long 1\n')
    with pytest.raises(GuestError, match=".pvlab.result lies in no loaded segment"):
        guest(tmp_path / "lost.S")


def test_every_truncation_is_reported(hello):
    for length in range(0, len(hello), 97):
        with pytest.raises(GuestError, match="truncated|not an ELF"):
            load_image(hello[:length], "short")


def test_another_machines_program(tmp_path):
    source, program = tmp_path / "z.c", tmp_path / "z.elf"
    source.write_text("void _start(void) { }\n")
    subprocess.run([toolchain._zig()[0], "cc", "-target", "aarch64-freestanding-none", "-nostdlib", "-static", source,
                    "-o", program], check=True, capture_output=True)
    with pytest.raises(GuestError, match="for another machine: AArch64, 64-bit, little-endian"):
        guest(program)


def test_a_position_independent_program_for_s390x(tmp_path):
    """Loaded where it was linked, its pointers put in; for the x86 it stays refused."""
    source, program = tmp_path / "z.c", tmp_path / "z.elf"
    source.write_text("""
        static int answer = 42;
        int *volatile where = &answer;
        void _start(void) { __asm__ volatile("lgr %%r2, %0\\n svc 0" : : "d"((long)*where) : "2"); }
    """)
    for target, works in (("s390x-freestanding-none", True), ("x86-freestanding-none", False)):
        if not works:
            source.write_text("void _start(void) { }\n")
        subprocess.run([toolchain._zig()[0], "cc", "-target", target, "-O2", "-nostdlib", "-fPIE", "-pie", source,
                        "-o", program], check=True, capture_output=True)
        if not works:
            with pytest.raises(GuestError, match="not an executable but of type ET_DYN"):
                guest(program)
            continue
        found = guest(program)
        assert found.image.arch == "s390x"
        monitor = Cp()
        monitor.run(found)
        assert monitor.vm.regs[2] == 42


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 51) | st.integers(52, 20000), st.integers(0, 255)), min_size=1, max_size=12),
       st.integers(0, 20000))
def test_a_damaged_file_never_raises_anything_else(changes, length):
    """Bytes of the ELF header, of the tables at the file's ends, and of anything between, and a file cut anywhere."""
    data = bytearray(test_a_damaged_file_never_raises_anything_else.data)
    for offset, value in changes:
        data[offset if offset < 256 else -(offset % len(data)) - 1] = value
    for whole in (bytes(data), bytes(data[:length])):
        try:
            load_image(whole, "damaged")
        except GuestError as error:
            assert str(error).startswith("damaged: ")


test_a_damaged_file_never_raises_anything_else.data = built("hello")
