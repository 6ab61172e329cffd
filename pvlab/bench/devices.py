"""How fast the lab moves sectors and packets by each path, under trap-and-emulate on the same work.

Two runs that differ in length alone tell what one more sector or packet takes. The ratios are to the dearest path: what
a device spares in exits, it spares in seconds, here as on any host.
"""
from __future__ import annotations

from statistics import median
from time import process_time

# {workload: {device: (iterations of the short run, of the long run, batches)}}
PATHS = {
    "disk-read": {"ata": (8, 40, (1, 8)), "ata-rep": (8, 72, (1, 8)), "virtio": (64, 576, (1, 8, 32))},
    "net-send": {"e1000": (256, 640, (1, 16, 128)), "virtio": (256, 1280, (1, 16, 128))},
}
REPEATS = 3


def io() -> dict:
    """{workload: {device: {batch: {"per_second", "ratio", "exits"}}}}; exits are those for one iteration."""
    return {workload: _paths(workload, devices) for workload, devices in PATHS.items()}


def rows(result: dict) -> list[list]:
    """The same as rows (measure, measured, limit) for a table."""
    found = []
    for workload, devices in result.items():
        slowest = next(iter(next(iter(devices.values())).values()))["per_second"]
        found.append([f"{workload}, {next(iter(devices))}: a second", slowest, ""])
        found += [[f"  {device}, batch {batch}: times as many, at {each['exits']:.2f} exits", each["ratio"], ""]
                  for device, batches in devices.items() for batch, each in batches.items()]
    return found


def _paths(workload: str, devices: dict[str, tuple[int, int, tuple[int, ...]]]) -> dict:
    import pvlab
    monitor = pvlab.TrapAndEmulate()
    measured: dict[str, dict] = {}

    def seconds(guest) -> tuple[float, int]:
        began = process_time()          # of this process alone: others on the host change it little
        run = monitor.run(guest)
        return process_time() - began, len(run.trace)
    for device, (few, many, batches) in devices.items():
        for batch in batches:
            guests = [pvlab.guest("kernel", workload=workload, device=device, batch=batch, n=n) for n in (few, many)]
            pairs = [[seconds(guest) for guest in guests] for _ in range(REPEATS)]
            (_, some), (_, more) = pairs[0]
            measured.setdefault(device, {})[str(batch)] = {
                "seconds": max(median(long - short for (short, _), (long, _) in pairs), 1e-6) / (many - few),
                "exits": (more - some) / (many - few)}
    dearest = next(iter(next(iter(measured.values())).values()))["seconds"]
    return {device: {batch: {"per_second": 1 / each["seconds"], "ratio": dearest / each["seconds"],
                             "exits": each["exits"]} for batch, each in batches.items()}
            for device, batches in measured.items()}
