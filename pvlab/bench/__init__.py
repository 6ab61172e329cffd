"""What the lab itself costs, measured in one run and told as ratios: a slow or busy host changes them little.

    round trip   an exit under trap-and-emulate, recorded in the trace, against the least that leaving the engine takes:
                 `emu_start` and an `emu_stop` in its first hook, through Unicorn's own binding
    counting     exact instruction counts and a budget, against the same machine without them
    import       `import pvlab`, and with it what the first run of a guest needs
    hello        the whole command `pvlab run hello`, from the shell
    translation  binary translation against the bare machine: see translation.py
    io           sectors and packets by each kind of device: see devices.py
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

ROUND_TRIPS = ("cli", "mov-cr3", "io:write", "page-fault:shadow")
LIMITS = {"round_trip": 5.0, "counting": 2.0, "import": 0.3, "hello": 1.5}
REPEATS = 5


def measure() -> dict:
    """All measurements, as `pvlab bench --json` prints them: ratios have no unit, everything else is in seconds."""
    _hello()  # builds what is not in the cache
    from pvlab.bench.devices import io
    from pvlab.bench.translation import translation
    return {"round_trip": round_trip(), "counting": counting(), "import": imports(), "hello": hello(),
            "translation": translation(), "io": io()}


def summary(result: dict) -> list[list]:
    """Rows (measure, measured, limit) for a table."""
    from pvlab.bench import devices
    from pvlab.bench.translation import rows
    most = {name: f"at most {limit:,.2f}" for name, limit in LIMITS.items()}
    return [["round trip of an exit, in empty emu_start/emu_stop", result["round_trip"]["ratio"], most["round_trip"]],
            *[[f"  {reason}", found["ratio"], ""] for reason, found in result["round_trip"]["by_reason"].items()],
            ["counting and budget on against off, on compute", result["counting"]["ratio"], most["counting"]],
            ["import pvlab, seconds", result["import"]["seconds"], most["import"]],
            ["  and what a run needs", result["import"]["with_engine_seconds"], ""],
            ["pvlab run hello, seconds", result["hello"]["seconds"], most["hello"]],
            *rows(result["translation"]), *devices.rows(result["io"])]


def round_trip(few: int = 500, many: int = 4000) -> dict:
    """Two runs that differ by (many - few) exits of one reason tell what one takes; each repeat compares with its own
    empty entry, so that a change of the host's speed is in both."""
    import pvlab
    file, monitor = Path(__file__).with_name("bench.c"), pvlab.TrapAndEmulate()
    guests = {(reason, n): pvlab.guest(file, what=reason, n=n) for reason in ROUND_TRIPS for n in (few, many)}
    empty: list[float] = []
    found: dict[str, list[float]] = {reason: [] for reason in ROUND_TRIPS}
    for _ in range(REPEATS):
        empty.append(empty_entry())
        for reason in ROUND_TRIPS:
            runs = [monitor.run(guests[reason, n]) for n in (few, many)]
            exits = [run.trace.by_reason().get(reason, 0) for run in runs]
            assert exits[1] - exits[0] == many - few == len(runs[1].trace) - len(runs[0].trace), runs
            found[reason].append((runs[1].seconds - runs[0].seconds) / (many - few))
    floor, each = median(empty), {reason: median(times) for reason, times in found.items()}
    return {"ratio": median(each.values()) / floor, "empty_seconds": floor,
            "by_reason": {reason: {"seconds": seconds, "ratio": seconds / floor} for reason, seconds in each.items()}}


def empty_entry(n: int = 3000) -> float:
    """Seconds of an `emu_start` whose first hook calls `emu_stop`, on the engine that the monitors use."""
    import unicorn

    from pvlab.machine.x86.machine import Machine
    machine, code = Machine(), 0x100000
    engine = machine.engine.uc      # `machine` owns the memory that it uses
    engine.mem_write(code, b"\x90\xeb\xfd")     # nop; jmp to the nop
    engine.hook_add(unicorn.UC_HOOK_CODE, lambda uc, *_: uc.emu_stop(), begin=code, end=code)
    engine.emu_start(code, 0)
    began = perf_counter()
    for _ in range(n):
        engine.emu_start(code, 0)
    return (perf_counter() - began) / n


def counting(few: int = 500, many: int = 4000) -> dict:
    """The workload `compute` on the bare machine, with and without the block hook that counts and stops."""
    import pvlab
    from pvlab.machine.x86.machine import Machine

    class Uncounted(pvlab.Native):
        def make_machine(self, memory):
            return Machine(memory, counting=False, stop_before=self.stop_before)

    guests = [pvlab.guest("kernel", workload="compute", n=n) for n in (few, many)]

    def seconds(monitor) -> float:
        first, second = (monitor.run(guest).seconds for guest in guests)
        return second - first
    pairs = [(seconds(pvlab.Native()), seconds(Uncounted())) for _ in range(REPEATS)]
    on, off = (median(times) for times in zip(*pairs))
    return {"ratio": on / off, "on_seconds": on, "off_seconds": off}


def imports() -> dict:
    """Seconds of `import pvlab` in a fresh interpreter, and of this and everything that a first run needs."""
    code = ("import time; a = time.perf_counter(); import pvlab; b = time.perf_counter(); pvlab.Native; pvlab.guest; "
            "print(b - a, time.perf_counter() - a)")
    times = [[float(word) for word in _python("-c", code).split()] for _ in range(REPEATS)]
    alone, all_of_it = (median(column) for column in zip(*times))
    return {"seconds": alone, "with_engine_seconds": all_of_it}


def hello() -> dict:
    """Seconds of the whole command, with the guest already built."""
    return {"seconds": median(_hello() for _ in range(REPEATS))}


def _hello() -> float:
    began = perf_counter()
    _python("-m", "pvlab", "run", "hello", "--json")
    return perf_counter() - began


def _python(*words: str) -> str:
    return subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True).stdout
