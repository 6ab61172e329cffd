"""The toolchain: what is built, when it is built again, and what is said when it cannot be."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pvlab.guests import toolchain
from pvlab.guests.catalogue import CATALOGUE
from pvlab.guests.toolchain import HERE, GuestError, build_guest, build_shared, cache_dir

SCRIPT = HERE / "runtime/guest.ld"
MAIN = '#include "sub/value.h"\nvoid _start(void) { *(volatile int *)0x200000 = VALUE; }\n'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("PVLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    """A source file that includes a header, which includes another."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "main.c").write_text(MAIN)
    (tmp_path / "sub/value.h").write_text('#include "deeper.h"\n')
    (tmp_path / "sub/deeper.h").write_text("#define VALUE 1\n")
    return tmp_path / "main.c"


def test_the_same_inputs_are_built_once(cache, source, monkeypatch):
    built = build_guest([source], SCRIPT)
    assert built.parent == cache and built.read_bytes()[:4] == b"\x7fELF"
    monkeypatch.setattr(toolchain, "_compile", lambda *_: pytest.fail("it was built again"))
    assert build_guest([source], SCRIPT) == built


@pytest.mark.parametrize("file, text", [("main.c", MAIN + "\n"), ("sub/value.h", "#define VALUE 2\n"),
                                        ("sub/deeper.h", "#define VALUE 3\n")])
def test_a_change_in_any_file_builds_again(cache, source, file, text):
    before = build_guest([source], SCRIPT)
    (source.parent / file).write_text(text)
    assert build_guest([source], SCRIPT) != before


def test_what_assembly_includes_counts_too(source):
    key = lambda: toolchain._key([source], [], [], "")
    source.write_text('.include "other.inc"\n.incbin "picture"\n')
    for name in ("other.inc", "picture"):
        before = key()
        (source.parent / name).write_text("\n")
        assert key() != before


def test_flags_and_compiler_version_count(source):
    keys = {toolchain._key([source], [], flags, version) for flags in ([], ["-O1"]) for version in ("1", "2")}
    assert len(keys) == 4


def test_headers_that_include_each_other(source):
    (source.parent / "sub/deeper.h").write_text('#pragma once\n#include "value.h"\n#define VALUE 1\n')
    assert len(list(toolchain._closure([source]))) == 3


def test_the_compilers_own_message_is_shown(cache, source):
    source.write_text("int main(void) { return nowhere; }\n")
    with pytest.raises(GuestError, match="main.c cannot be built:") as error:
        build_guest([source], SCRIPT)
    assert "main.c:1:25: error: use of undeclared identifier 'nowhere'" in str(error.value)
    assert not list(cache.glob("*.elf")) and not list(cache.glob("build-*"))


def test_a_source_that_cannot_be_read(cache, tmp_path):
    with pytest.raises(GuestError, match="No such file"):
        build_guest([tmp_path / "missing.c"], SCRIPT)


def test_a_cache_that_cannot_be_written(tmp_path, source, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PVLAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(GuestError, match="PVLAB_CACHE"):
        build_guest([source], SCRIPT)


def test_a_missing_compiler(source, monkeypatch):
    monkeypatch.setattr(toolchain.util, "find_spec", lambda name: None)
    toolchain._zig.cache_clear()
    with pytest.raises(GuestError, match="'ziglang' is not installed"):
        build_guest([source], SCRIPT)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PVLAB_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("PVLAB_CACHE")
    assert cache_dir() == tmp_path / "pvlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert not cache_dir().is_relative_to(HERE.parent.parent)


def test_several_processes_build_the_same_thing_at_once(cache, source):
    code = ("import sys; from pathlib import Path; from pvlab.guests.toolchain import build_guest\n"
            "print(build_guest([Path(sys.argv[1])], Path(sys.argv[2])))")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    running = [subprocess.Popen([sys.executable, "-c", code, str(source), str(SCRIPT)], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    results = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, results
    assert len({out for out, _ in results}) == 1
    assert Path(results[0][0].strip()).is_file() and not list(cache.glob("build-*"))


def test_a_library_for_the_host(cache, tmp_path):
    import ctypes
    (tmp_path / "twice.c").write_text("__attribute__((visibility(\"default\"))) int twice(int n) { return 2 * n; }\n")
    assert ctypes.CDLL(str(build_shared(tmp_path / "twice.c"))).twice(21) == 42


@pytest.mark.parametrize("target, platform", [("x86_64-windows-gnu", "win32"), ("aarch64-macos", "darwin")])
def test_a_library_for_the_other_platforms(cache, tmp_path, monkeypatch, target, platform):
    """The same build with the target that zig would take as its own there."""
    (tmp_path / "twice.c").write_text("int twice(int n) { return 2 * n; }\n")
    monkeypatch.setattr(toolchain.sys, "platform", platform)
    monkeypatch.setattr(toolchain, "_zig", lambda found=toolchain._zig(): found)
    monkeypatch.setattr(toolchain, "SHARED_FLAGS", (*toolchain.SHARED_FLAGS, "-target", target))
    built = build_shared(tmp_path / "twice.c").read_bytes()
    assert built[:2] == b"MZ" if platform == "win32" else built[:4] == b"\xcf\xfa\xed\xfe"
    assert b"twice" in built


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_our_own_guests_compile_without_warnings(entry, monkeypatch):
    monkeypatch.setitem(toolchain.GUEST_FLAGS, entry.arch, (*toolchain.GUEST_FLAGS[entry.arch], "-Werror"))
    build_guest([HERE / source for source in entry.sources], HERE / entry.script, entry.arch)
