"""Runs that no monitor made, for tests of what is shown of a run."""
from pvlab.trace import Run, Trace, digest


def make_run(monitor="trap-and-emulate", exits=None, events=None, accesses=None, instructions=10_000, guest="kernel",
             parameters=None, outcome="shutdown", output=b"done\n"):
    """A run with so many exits, events and accesses ({name: count}) spread evenly over its instructions.

    An access is `device:read` or `device:write`.
    """
    trace = Trace()
    for log, counts in ((trace.exits, exits), (trace.events, events)):
        for reason, count in (counts or {}).items():
            for i in range(count):
                log.add(reason, 0x100000 + i, reason, i * instructions // count)
    for name, count in (accesses or {}).items():
        device, _, direction = name.rpartition(":")
        for i in range(count):
            trace.accesses.add(device, 0x100000, {"read": "in al, dx", "write": "rep outsb dx, [esi]"}[direction], i)
    return Run(guest, {"workload": "syscall", "n": 100} if parameters is None else parameters, monitor, outcome, "",
               output, instructions, trace, digest([output]))
