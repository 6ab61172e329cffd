"""Building C and assembly with zig cc, and keeping what was built.

A build is kept under the hash of everything that went into it: sources, the files that they include, flags and the
compiler's version. So nothing is ever stale, nothing needs cleaning, and a second use costs a few file reads. The
cache lies outside the repository: in $PVLAB_CACHE, or $XDG_CACHE_HOME/pvlab, or the platform's place for caches.
A second one that is only read, $PVLAB_SHARED_CACHE, may hold what many users of one machine need.
"""
from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import util
from pathlib import Path

from pvlab.errors import PvlabError

HERE = Path(__file__).parent
INCLUDE = HERE / "include"

# No operating system, no library, and nothing in the code that the source does not say: no sanitizers, no stack
# protector, no unwind tables. For each instruction set:
_FLAGS = ("-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-ffreestanding", "-nostdlib", "-static", "-fno-pic",
          "-fno-sanitize=all", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fomit-frame-pointer",
          "-ffunction-sections", "-fdata-sections", "-I", str(INCLUDE))
GUEST_FLAGS = {
    "x86": ("-target", "x86-freestanding-none", "-mcpu=i686", *_FLAGS),         # i686, the Pentium Pro: without SSE
    "s390x": ("-target", "s390x-freestanding-none", "-mcpu=z10", *_FLAGS),      # z10: without vector registers
}

# A library for the host's own Python: for any CPU of its kind, because a cache may be shared between machines.
SHARED_FLAGS = ("-shared", "-nostdlib", "-O2", "-g0", "-mcpu=baseline", "-fno-sanitize=all")

# Lines that name another file: #include in C, .include and .incbin in assembly (inline assembly too).
_INCLUDES = re.compile(r"""^\s*\#\s*include\s*[<"]([^>"\n]+)[>"] | \.(?:include|incbin)\s+\\?"([^"\\\n]+)""",
                       re.MULTILINE | re.VERBOSE)


class GuestError(PvlabError):
    """A guest that cannot be built, read or configured as asked. The message says what is wrong with it."""


def cache_dir() -> Path:
    """The directory that keeps builds; it need not exist yet."""
    if own := os.environ.get("PVLAB_CACHE"):
        return Path(own).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "pvlab"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "pvlab"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "pvlab" / "cache"
    return Path.home() / ".cache" / "pvlab"


@functools.cache
def _zig() -> tuple[Path, str]:
    """The zig executable of the ziglang package, and its version."""
    from importlib import metadata  # here, because it takes 30 ms and `import pvlab` does not need it
    spec = util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise GuestError("the compiler is missing: the package 'ziglang' is not installed "
                         "(python -m pip install ziglang)")
    program = Path(spec.submodule_search_locations[0]) / ("zig.exe" if sys.platform == "win32" else "zig")
    if not program.is_file():
        raise GuestError(f"the compiler is missing: the package 'ziglang' has no {program} (reinstall ziglang)")
    return program, metadata.version("ziglang")


def build_guest(sources: Sequence[Path], script: Path, arch: str = "x86") -> Path:
    """Compile and link C and assembly sources into an ELF, 32-bit for x86, laid out as the linker script says.

    Raises GuestError when they do not compile: it names the first source and gives the compiler's own message.
    """
    flags = [*GUEST_FLAGS[arch], f"-Wl,-T,{script}", "-Wl,--build-id=none", "-Wl,--gc-sections"]
    return _build(sources, flags, extra=[script], suffix=".elf")


def build_shared(source: Path) -> Path:
    """Compile one C file, which needs no library, into a shared library for the host. Raises GuestError."""
    flags = list(SHARED_FLAGS)
    if sys.platform == "win32":
        flags.append("-Wl,--no-entry")  # a DLL would otherwise want the C library's start-up code
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    return _build([source], flags, suffix=suffix)


def _build(sources: Sequence[Path], flags: Sequence[str], suffix: str, extra: Sequence[Path] = ()) -> Path:
    """The built file for these inputs, from the cache if it is there."""
    program, version = _zig()
    cache = cache_dir()
    built = cache / f"{_key(sources, extra, flags, version)}{suffix}"
    for place in (built, Path(os.environ.get("PVLAB_SHARED_CACHE") or cache) / built.name):
        if place.is_file():
            return place
    import tempfile  # like subprocess below, only when something is built
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Several processes may build the same thing at once. Each works in a directory of its own, and the result
        # comes into place whole, by one rename: whoever is last replaces a file by an equal one.
        with tempfile.TemporaryDirectory(prefix="build-", dir=cache, ignore_cleanup_errors=True) as work:
            output = Path(work) / built.name
            _compile([str(program), "cc", *flags, *map(str, sources), "-o", str(output)], sources[0], cache)
            try:
                os.replace(output, built)
            except PermissionError:     # Windows: somebody else has built and already loaded the same library
                if not built.is_file():
                    raise
    except OSError as error:
        raise GuestError(f"cannot keep what was built in {cache}: {error.strerror or error} "
                         "(PVLAB_CACHE names another directory)") from None
    return built


def _compile(command: list[str], source: Path, cache: Path) -> None:
    """Run the compiler, whose own caches go into ours. `source` is the one to name when it fails."""
    import subprocess
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH")}
    environment |= {"ZIG_GLOBAL_CACHE_DIR": str(cache / "zig"), "ZIG_LOCAL_CACHE_DIR": str(cache / "zig-local"),
                    "NO_COLOR": "1"}
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise GuestError(f"the compiler {command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        message = (done.stderr or done.stdout).strip() or f"the compiler ended with status {done.returncode}"
        raise GuestError(f"{source} cannot be built:\n{message}")


def _key(sources: Sequence[Path], extra: Sequence[Path], flags: Sequence[str], version: str) -> str:
    """A name for this build: the hash of all that can change its result."""
    total = hashlib.sha256()
    host = (version, sys.platform, platform.machine())
    for part in (*host, *flags):
        total.update(part.encode() + b"\0")
    for path in _closure([*sources, *extra]):
        content = _read(path)
        total.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:32]


def _closure(paths: Sequence[Path]) -> Iterator[Path]:
    """These files and all that they include, directly or not, each once. The compiler's own headers are not found
    here; its version stands for them. What a condition leaves out is followed too, which does no harm."""
    seen: set[Path] = set()
    waiting = [path.absolute() for path in reversed(paths)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        if path.suffix in (".c", ".h", ".S", ".s", ".inc"):
            for names in reversed(_INCLUDES.findall(_read(path).decode("utf-8", "replace"))):
                places = [directory / (names[0] or names[1]) for directory in (path.parent, INCLUDE)]
                waiting += [place for place in places if place.is_file()][:1]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GuestError(f"{path}: {error.strerror}") from None
