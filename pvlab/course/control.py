"""Control programs with a place for a learner's function: a DIAGNOSE code answered, interruptions looked at."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvlab.course.checking import as_data, require
from pvlab.machine.s390x.faults import CLASSES, Interruption
from pvlab.monitors.cp import Cp

AREAS = Path(__file__).with_name("areas.s390x.c")      # a guest that asks with DIAGNOSE X'104'
_MOST = 1 << 16                                         # bytes of storage that a code may read


class AnsweredBy(Cp):
    """A CP whose DIAGNOSE code `number` is answered by two functions on plain data. A wrong form is a CheckFailed.

    plan(registers, storage)      registers: rx, rx1, ry, ry1, the contents of Rx, Rx+1, Ry, Ry+1; storage: its size in
                                  bytes. Answers {"read": [[address, length], …]}, {"cc": n}, or {"interrupt": code}
    finish(registers, contents)   contents: the bytes that were read. Answers {"cc": n, "rx1": the new content of Rx+1}
    """

    def __init__(self, number: int, plan: Callable, finish: Callable):
        super().__init__()
        self.error: Exception | None = None

        @self.diagnose(number, "a learner's")
        def answer(vm, rx, ry):
            try:
                return self._answer(vm, rx, ry, plan, finish)
            except Interruption:
                raise
            except Exception as error:          # CP would take it for the guest's affair
                self.error = error
                raise

    def run(self, *arguments, **options):
        self.error = None
        done = super().run(*arguments, **options)
        if self.error is not None:
            raise self.error
        return done

    @staticmethod
    def _answer(vm, rx: int, ry: int, plan: Callable, finish: Callable) -> int:
        numbers = {"rx": rx, "rx1": rx + 1 & 15, "ry": ry, "ry1": ry + 1 & 15}
        registers = {name: vm.regs[number] for name, number in numbers.items()}
        planned = as_data(plan(dict(registers), vm.absolute.size))
        require(type(planned) is dict and len(planned) == 1 and next(iter(planned)) in ("read", "cc", "interrupt"),
                'plan must return {"read": [[address, length], …]}, {"cc": n} or {"interrupt": code}')
        if "interrupt" in planned:
            require(type(planned["interrupt"]) is int and 0 < planned["interrupt"] < 0x41,
                    "there is no such program interruption")
            raise Interruption(planned["interrupt"])
        if "cc" in planned:
            return _condition(planned["cc"])
        require(type(planned["read"]) is list and all(type(part) is list and [*map(type, part)] == [int, int]
                                                      and part[0] >= 0 and part[1] >= 0 for part in planned["read"])
                and sum(length for _, length in planned["read"]) <= _MOST, "read must be a list of [address, length]")
        contents = [list(vm.real.read(address, length)) for address, length in planned["read"]]
        done = as_data(finish(registers, contents))
        require(type(done) is dict and done.keys() == {"cc", "rx1"} and type(done["rx1"]) is int
                and 0 <= done["rx1"] < 1 << 64, 'finish must return {"cc": n, "rx1": number}')
        vm.regs[rx + 1 & 15] = done["rx1"]
        return _condition(done["cc"])


def _condition(code) -> int:
    require(type(code) is int and 0 <= code <= 3, "a condition code is 0, 1, 2 or 3")
    return code


class Interruptions(Cp):
    """Notes for each interruption of a run what `interrupt` is given, and what the architecture makes of it.

    `seen` holds ([kind, psw, core], result): kind "external", "svc", "program", "io" or "restart"; psw: [mask, address]
    of the virtual PSW that is to be stored; core: the 512 bytes from real address 0 on; and the result as
    {"at", "stored", "virtual", "real"}: where the old PSW went, its 16 bytes, the new virtual PSW, and the mask with which the CPU runs.
    """

    def prepare(self, guest) -> None:
        super().prepare(guest)
        self.seen: list[tuple[list, dict]] = []
        interrupt = self.vm._interrupt

        def watched(kind, old, size, code):
            core = list(self.vm.real.read(0, 512))
            interrupt(kind, old, size, code)
            result = {"at": kind[0], "stored": list(self.vm.real.read(kind[0], 16)), "virtual": list(self.vm.psw),
                      "real": self.machine.psw.mask}
            self.seen.append(([CLASSES[kind], list(old), core], result))
        self.vm._interrupt = watched
