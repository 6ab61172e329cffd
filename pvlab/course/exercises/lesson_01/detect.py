"""Refute equivalence: a guest that finds out whether a monitor is below it, and leaves no trace of asking."""
from pvlab import Native, TrapAndEmulate
from pvlab.course.exercises.guests import load
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
One program that behaves differently is enough to refute equivalence. Write it: a guest in C that prints
`{{word}} n` on the bare machine and `virtual n` under trap and emulate, where `n` is its parameter of that name.

Ask the processor something that it answers truthfully. Three rules:

- the guest ends normally, with status 0, in both worlds;
- it prints one line, in small letters, with a new line behind it;
- the monitor must not notice: but for the port writes that print and switch off, the guest causes no exit.

**Expected result:** with `n=7`, `{{word}} 7` and `virtual 7`. The hidden checks use other numbers.

What a guest has at hand is in [pvlab.h](../../pvlab/guests/include/pvlab.h): `pv_puts`, `pv_print_unsigned`,
`pv_param`. Inline assembly is `__asm__ volatile("… %0" : "=r"(variable));`.
"""

GIVEN = '''
from pathlib import Path
from tempfile import TemporaryDirectory

def tried(source, n):
    """What the guest prints on the bare machine and under the monitor, and its exits there."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "detect.c")
        file.write_text(source)
        guest = pvlab.guest(file, n=n)
    native, monitored = pvlab.Native().run(guest), pvlab.TrapAndEmulate().run(guest)
    return [native.text, monitored.text, sorted(monitored.trace.by_reason())]
'''

SOLUTION = '''
source = r"""
#include <pvlab.h>

int main(void)
{
    /* ### BEGIN SOLUTION */
    uint32_t selector;
    __asm__ volatile("mov %%cs, %0" : "=r"(selector));
    pv_puts(selector & 3 ? "virtual " : "{{word}} ");
    pv_print_unsigned(pv_param("n", 0));
    pv_puts("\\n");
    return 0;
    /* ### END SOLUTION */
}
"""
'''

PUBLIC = r'''
with pvlab.check("ex01-detect") as check:
    if "not written yet" in source:
        raise NotImplementedError
    bare, virtual, exits = tried(source, 7)
    check("on the bare machine", bare, "{{word}} 7\n")
    check("under trap and emulate", virtual, "virtual 7\n")
    check("the exits that the monitor saw", exits, ["io:write"])
'''


def hidden(student, rng, variant):
    built = []

    def run(monitor, n):
        if not built:
            built.append(student.build(student.value("source")))
        done = monitor.run(load(built[0], n=n), budget=5_000_000)
        require(done.outcome == "shutdown" and done.detail == "status 0",
                f"the guest must switch off with status 0, and here it ended otherwise: {done.outcome}")
        return done

    def tells(n):
        require(run(Native(), n).output == f"{variant['word']} {n}\n".encode(),
                f"on the bare machine the guest must print '{variant['word']}', a space and its parameter n")
        done = run(TrapAndEmulate(), n)
        require(done.output == f"virtual {n}\n".encode(),
                "under the monitor the guest must print 'virtual', a space and its parameter n")
        return done

    first, second = rng.randrange(10, 1000), rng.randrange(1000, 10**9)

    def number():
        tells(first)
        tells(second)

    def silent():
        noticed = set(tells(first).trace.by_reason()) - {"io:write"}
        require(not noticed, f"the monitor noticed: {', '.join(sorted(noticed))}. Ask by an instruction that does not "
                             f"trap")
    return [graded("tells the two apart", 3, lambda: tells(first)), graded("prints its parameter", 1, number),
            graded("leaves no trace", 2, silent)]


EXERCISE = Exercise(
    id="ex01-detect", title="Refute equivalence", points=6, minutes=45,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    stub="return 1;           /* not written yet */",
    variant=lambda rng: {"word": rng.choice(("bare", "metal", "steel", "real", "iron"))},
    hints=(
        "The lesson had an instruction that gives another answer in ring 1 than in ring 0 and does not trap. "
        "`pvlab.probe` shows both.",
        "`mov %cs, %eax` gives the selector of the code segment. Its two lowest bits are the ring.",
        "`uint32_t selector; __asm__ volatile(\"mov %%cs, %0\" : \"=r\"(selector));` and then look at `selector & 3`. "
        "(In a C string of inline assembly a register's `%` is written twice.)",
    ))
