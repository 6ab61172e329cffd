"""What translation costs, against the bare machine on the same engine.

    speed     guest instructions per second when the code is warm: two runs that differ in length alone, so that what
              both do once, translating included, is in neither
    callouts  how often a warm call and return leave for the monitor
    unit      Python's time to translate a unit: two guests that differ in how much code they run, once
    growth    seconds as the guest's code grows, and as it runs for longer
"""
from __future__ import annotations

from pathlib import Path
from statistics import median

SPEEDS = {"compute": (500, 4000), "call-return": (100_000, 2_000_000)}    # how often in the short and in the long run
SIZES, LENGTHS = (500, 1000, 2000, 4000), (1, 10, 100, 1000)        # pieces of code; how often they run
REPEATS = 5
LEAST = {"compute": 0.8, "call-return": 0.25}          # speeds that are asked for, in the bare machine's


def translation() -> dict:
    """All of them: ratios have no unit, everything else is in seconds or counted."""
    return {"speed": speed(), "callouts": callouts(), "unit": unit(), "growth": growth()}


def rows(result: dict) -> list[list]:
    """The same as rows (measure, measured, limit) for a table."""
    unit, growth = result["unit"], result["growth"]
    by_size, by_length = list(growth["by_size"].items()), list(growth["by_length"].items())
    return [*[[f"speed under translation of native, {name}", found["ratio"], f"at least {LEAST[name]:.2f}"]
              for name, found in result["speed"].items()],
            ["exits of 100,000 calls and returns, warm", result["callouts"], "at most 0"],
            ["translating a unit, milliseconds", unit["seconds"] * 1000, ""],
            ["  a new block on the bare machine", unit["native_block_seconds"] * 1000, ""],
            *[[f"  {int(size):,} units once, seconds", seconds, ""] for size, seconds in by_size],
            *[[f"  {SIZES[-1]:,} units {int(times):,} times, seconds", seconds, ""] for times, seconds in by_length]]


def speed() -> dict:
    """{workload: speed under translation, in the bare machine's}, each the median of pairs of neighbours in time."""
    import pvlab
    found = {}
    for workload, lengths in SPEEDS.items():
        guests = [pvlab.guest("kernel", workload=workload, n=n) for n in lengths]

        def seconds(monitor) -> float:
            short, long = (monitor.run(guest).seconds for guest in guests)
            return long - short
        pairs = [(seconds(pvlab.Native()), seconds(pvlab.BinaryTranslation())) for _ in range(REPEATS)]
        bare, translated = (median(times) for times in zip(*pairs))
        found[workload] = {"ratio": median(a / b for a, b in pairs), "native_seconds": bare,
                           "translated_seconds": translated}
    return found


def callouts() -> int:
    """Exits that 100,000 more calls and returns cause. (The numbers have as many digits: they are printed alike.)"""
    import pvlab
    runs = [pvlab.BinaryTranslation().run(pvlab.guest("kernel", workload="call-return", n=n))
            for n in (100_000, 200_000)]
    return len(runs[1].trace) - len(runs[0].trace)


def unit() -> dict:
    """Seconds for each further unit, beside what the bare machine takes for a further block of its own."""
    few, many = SIZES[0], SIZES[-1]
    pairs = [tuple((_pieces(name, many, 1).seconds - _pieces(name, few, 1).seconds) / (many - few)
                   for name in ("native", "binary-translation")) for _ in range(REPEATS)]
    bare, translated = (median(times) for times in zip(*pairs))
    return {"seconds": translated, "native_block_seconds": bare}


def growth() -> dict:
    """{"by_size": {pieces: seconds}, "by_length": {times: seconds}} under translation."""
    name, most = "binary-translation", SIZES[-1]
    return {"by_size": {str(size): _pieces(name, size, 1).seconds for size in SIZES},
            "by_length": {str(times): _pieces(name, most, times).seconds for times in LENGTHS}}


def _pieces(monitor: str, pieces: int, times: int):
    import pvlab
    guest = pvlab.guest(Path(__file__).with_name("bench.c"), what="pieces", pieces=pieces, n=times)
    return pvlab.monitor(monitor).run(guest)
