"""Several random programs in one guest, for a guest's beginning costs more than a short program.

Each program begins in ring 0 with registers and flags of its own, and leaves them in a record when it ends.
"""
import random

from fidelity.programs import ACTIONS, ARITHMETIC, FOR_TRANSLATION, FREE, Program, do
from fidelity.world import DATA, stack_of
from machine.assembler import ESP

RECORDS = DATA + 0x800                # 36 bytes for each program: flags and eight registers
NEW, OLD = sorted(FOR_TRANSLATION), sorted(ACTIONS)


def steps_for(seed):
    """[(action's name, seed)] of a program, most of them for the translator."""
    r = random.Random(f"steps {seed}")
    return [(r.choice(NEW if r.random() < 0.8 else OLD), f"{seed} {i}") for i in range(r.randrange(4, 7))]


class Batch:
    """One guest of programs: [(seed, steps)]. `starts` are the addresses at which they begin."""

    def __init__(self, seed, programs):
        self.program, self.starts = Program(f"world {seed}"), []
        code = self.program.code
        for number, (own, steps) in enumerate(programs):
            self.starts.append(code.here)
            r = random.Random(f"registers {own}")
            for register in FREE:
                code.mov(register, r.getrandbits(32))
            code("68", 2 | r.getrandbits(12) & ARITHMETIC, "9d")          # popf
            do(self.program, steps)
            code.mov(ESP, RECORDS + 36 * (number + 1))
            code("9c 60")                                                 # pushf; pusha
            code.mov(ESP, stack_of(0))
        code.stop()
        code("eb fe")                                                     # the engine reads no further than this

    def guest(self):
        return self.program.guest("programs")

    def constructs(self, executed, faulted):
        """For each program, the names of its marks that were executed; of faults, those that happened."""
        found = [set() for _ in self.starts]
        for name, places in self.program.marks.items():
            for place in places & (faulted if name.endswith("in a unit") else executed):
                number = sum(start <= place for start in self.starts) - 1
                found[number].add(name)
        return found
