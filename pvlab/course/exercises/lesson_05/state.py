"""The guest must not notice: its state, wherever the cache was left."""
from pvlab import guest, monitor
from pvlab.course.exercises.model import Exercise, graded, require, same

STATEMENT = """
A unit in the cache is left in the middle: a copied instruction faults, or an interrupt arrives. What the guest sees
must be its own state: the EIP of *its* instruction, and *its* registers, although a sequence has borrowed some of
them.

While it emits code, the translator keeps two lists. In `places`, `[offset, address]` says: from this offset of the
unit's code on, the guest is at this address. In `saved`, `[offset, names]`: from this offset on, the guest's values
of these registers are not in the CPU but in the monitor's memory. Both lists are sorted, and their first offset is 0.

Write `state(unit, offset, registers, memory)`. `unit` is a dict with `places` and `saved`; `offset` is where the
cache was left; `registers` are those of the CPU (`{"eax": …, …}`), and `memory` holds what was saved, by the
registers' names. Return `[eip, registers]`, as the guest must see them.

**Expected result:** the three places of the check. The hidden checks take units of a running kernel.
"""

GIVEN = """
UNIT = {"places": [[0, 0xC0100100], [1, 0xC0100101], [30, 0xC0100102]],
        "saved": [[0, []], [6, ["eax"]], [12, ["eax", "ecx"]], [26, []]]}
CPU, MEMORY = {"eax": 1, "ecx": 2, "edx": 3}, {"eax": 10, "ecx": 20, "edx": 30}
"""

SOLUTION = """
def state(unit, offset, registers, memory):
    ### BEGIN SOLUTION
    eip = [address for begin, address in unit["places"] if begin <= offset][-1]
    borrowed = [names for begin, names in unit["saved"] if begin <= offset][-1]
    return [eip, {name: memory[name] if name in borrowed else value for name, value in registers.items()}]
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex05-state") as check:
    check("at the beginning", state(UNIT, 0, CPU, MEMORY), [0xC0100100, CPU], base=16)
    check("EAX and ECX are borrowed", state(UNIT, 15, CPU, MEMORY),
          [0xC0100101, {"eax": 10, "ecx": 20, "edx": 3}], base=16)
    check("they have been given back", state(UNIT, 28, CPU, MEMORY), [0xC0100101, CPU], base=16)
"""

_NAMES = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")


def units(rng):
    """Units of a kernel that has run, as (places, saved, size of the code)."""
    translator = monitor("binary-translation")
    translator.run(guest("kernel", workload=rng.choice(("interrupt-flags", "call-return", "fork")), n=5))
    found = []
    for unit in sorted(translator.cache.units.values(), key=lambda unit: unit.address):
        def steps(of):
            values = [(offset, of(offset)) for offset in range(len(unit.code))]
            return [[offset, value] for i, (offset, value) in enumerate(values) if not i or value != values[i - 1][1]]
        places = steps(unit.place)
        saved = steps(lambda offset: [_NAMES[number] for number in unit.saved(offset)])
        found.append((places, saved, len(unit.code)))
    return found


def hidden(student, rng, variant):
    known = units(rng)

    def right(places, saved, offset, feedback):
        registers, memory = ({name: rng.randrange(1 << 32) for name in _NAMES} for _ in range(2))
        eip = next(address for begin, address in reversed(places) if begin <= offset)
        names = next(names for begin, names in reversed(saved) if begin <= offset)
        wanted = [eip, {name: memory[name] if name in names else registers[name] for name in _NAMES}]
        require(same(student.call("state", {"places": places, "saved": saved}, offset, registers, memory), wanted),
                feedback)

    def copied():
        inside = [(places, saved, offset) for places, saved, size in known if len(saved) == 1 and len(places) > 2
                  for offset in range(size) if offset not in dict(places)]
        for place in rng.sample(inside, 10):
            right(*place, "the guest's EIP is that of the last place at or before the offset")

    def begins():
        copied()
        for places, saved, _ in rng.sample(known, 6):
            right(places, saved, rng.choice(places)[0], "an entry counts from its own offset on")

    def borrowed():
        sequences = [unit for unit in known if len(unit[1]) > 1]
        for places, saved, size in rng.sample(sequences, min(8, len(sequences))):
            for begin, _ in saved:
                right(places, saved, begin, "a register that is saved at this offset is the guest's in memory, the "
                                            "others in the CPU")
            right(places, saved, size - 1, "behind a sequence the registers are the CPU's again")
    return [graded("copied code", 1, copied), graded("at the first byte", 1, begins),
            graded("borrowed registers", 2, borrowed)]


EXERCISE = Exercise(
    id="ex05-state", title="What the guest must not notice", points=4, minutes=20,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Both lists are read in the same way: the last entry whose offset is not above yours.",
        "`[entry for entry in unit[\"places\"] if entry[0] <= offset][-1]` is that entry.",
        "Then make a new dict: for each register the value from `memory` if its name is in the list of `saved`, else "
        "from `registers`.",
    ))
