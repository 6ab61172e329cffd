"""Running one program under both monitors, and saying where they differ."""
from pvlab.machine.x86.cpu import CS, REGISTER_NAMES, RF, SEGMENT_NAMES, SS
from pvlab.machine.x86.machine import Machine
from pvlab.monitors import Native, TrapAndEmulate

BUDGET = 400_000
_DPL, _RIGHTS = 3 << 13, 0xF0FF00


def _held(segment, rights):
    """A segment register in words; QEMU keeps bits of the limit among its flags, which say nothing."""
    return f"{segment.selector:#x}: {segment.base:#x}+{segment.limit:#x} {segment.flags & rights:#x}"


class Ending:
    """What a run left behind, in the guest's own view."""

    def __init__(self, monitor, guest, budget=BUDGET):
        self.run = monitor.run(guest, budget)
        processor, machine = monitor.processor, monitor.machine
        native = processor is machine
        self.state = {name: machine.regs[i] & 0xFFFFFFFF for i, name in enumerate(REGISTER_NAMES)}
        self.state |= {"eip": processor.eip, "cpl": processor.cpl}
        self.state["eflags"] = processor.eflags & ~RF       # which QEMU clears when it thinks of it
        for number, name in enumerate(SEGMENT_NAMES):
            # the real DPL of CS and SS is the real ring's
            self.state[name] = _held(processor.segment(number), _RIGHTS & (~_DPL if number in (CS, SS) else _RIGHTS))
        for name in ("gdt", "idt", "ldt", "tr"):
            self.state[name] = _held(processor.table(name), 0 if name in ("gdt", "idt", "ldt") else _RIGHTS)
        for number in (0, 2, 3, 4):
            self.state[f"cr{number}"] = machine.cpu.cr[number] if native else getattr(processor, f"cr{number}")
        self.state["efer"] = machine.cpu.efer if native else processor.efer
        self.memory = machine.ram.bytes[:guest.memory]      # and not what the monitor has behind it
        self.events = [(event.reason, event.address, event.at) for event in self.run.trace.events]
        self.accesses = list(self.run.trace.accesses)


def differences(one, other):
    """Sentences that say how two endings differ; none if they do not."""
    found = []
    for name in ("outcome", "instructions", "output"):
        a, b = getattr(one.run, name), getattr(other.run, name)
        if a != b:
            found.append(f"{name}: {a!r} and {b!r}")
    for i, (a, b) in enumerate(zip(one.events, other.events)):
        if a != b:
            found.append(f"event {i}: {a} and {b}")
            break
    if len(one.events) != len(other.events):
        found.append(f"{len(one.events)} events and {len(other.events)}")
    if one.accesses != other.accesses:
        found.append("device accesses")
    found += [f"{name}: {_show(a)} and {_show(b)}" for name, a in one.state.items()
              if a != (b := other.state[name])]
    if one.memory != other.memory:
        a, b = one.memory, other.memory
        places = [i for i in range(0, len(a), 4) if a[i:i + 4] != b[i:i + 4]]
        found.append("memory: " + ", ".join(
            f"{i:#x}: {a[i:i + 4][::-1].hex()} and {b[i:i + 4][::-1].hex()}" for i in places[:6]))
    return found


def _show(value):
    return f"{value:#x}" if isinstance(value, int) else str(value)


def both(guest, budget=BUDGET):
    """The guest's ending on the bare machine and under trap-and-emulate."""
    return Ending(Native(), guest, budget), Ending(TrapAndEmulate(), guest, budget)


class Watched(Native):
    """The bare machine, and `executed`: the addresses of all instructions in the blocks that it has begun."""

    def make_machine(self, memory):
        watched = _WatchedMachine(memory, stop_before=self.stop_before)
        self.executed = watched.executed
        return watched


class _WatchedMachine(Machine):
    def __init__(self, *how, **more):
        self.executed = set()
        super().__init__(*how, **more)

    def _describe(self, address, size):
        found = super()._describe(address, size)
        self.executed.update(address + offset for offset in found[0])
        return found


def smaller(programs, fails):
    """The fewest programs [(seed, steps)] of which `fails(programs)` still holds, without one or one of its steps."""
    for number in reversed(range(len(programs))):
        without = programs[:number] + programs[number + 1:]
        if without and fails(without):
            programs = without
    for number, (seed, steps) in enumerate(programs):
        for step in reversed(range(len(steps))):
            fewer = programs[:number] + [(seed, steps[:step] + steps[step + 1:])] + programs[number + 1:]
            if fails(fewer):
                programs, steps = fewer, fewer[number][1]
    return programs
