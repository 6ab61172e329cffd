"""Take the privileged instructions out of a kernel's function."""
import functools
import re

from pvlab.course.exercises.guests import load
from pvlab.course.exercises.model import Exercise, graded, require
from pvlab.course.shared_flag import SharedFlag, program

STATEMENT = """
Every kernel has these two functions. Under trap and emulate both halves of the idiom are broken. Paravirtualize them.

The monitor of this exercise, [SharedFlag](../../pvlab/course/shared_flag.py), keeps the guest's interrupt flag where
both can see it, in two bytes of the guest's memory:

- `shared.enabled`: may an interrupt be delivered? The guest may store to it at any time, without an exit.
- `shared.pending`: the monitor sets it while an interrupt waits for `enabled`.

A store makes no exit, so the monitor does not see it: an interrupt that became pending in a section would wait for
some later exit. `call_monitor()` is a hypercall that asks for a look.

Rewrite the functions. `interrupts_save` turns interrupts off and returns what they were; `interrupts_restore` puts that
back. Sections nest. No exit may come of them, with one exception: where `interrupts_restore` turns interrupts on and
one is pending, it must be delivered at once. Plain C is enough: use no assembly.

The [guest around them](../../pvlab/course/shared_flag.c) runs `n` sections with another inside each, and then waits
three times in a section until an interrupt is pending.

**Expected result:** for `n=5`, `closed=5 nested=5 reopened=5 held=3 at-once=3`, no `cli`, and `int` 3 times.
"""

GIVEN = '''
from pathlib import Path
from tempfile import TemporaryDirectory
from pvlab.course.shared_flag import SharedFlag, program

def tried(functions, n):
    """What the guest prints with these functions in it, and its exits."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "sections.c")
        file.write_text(program(functions))
        guest = pvlab.guest(file, n=n)
    run = SharedFlag().run(guest, budget=5_000_000)
    return run.text.strip(), run.trace.by_reason()
'''

SOLUTION = '''
functions = r"""
/* ### BEGIN SOLUTION */
static uint32_t interrupts_save(void)
{
    uint32_t were_on = shared.enabled;
    shared.enabled = 0;
    return were_on;
}

static void interrupts_restore(uint32_t were_on)
{
    shared.enabled = were_on;
    if (were_on && shared.pending)
        call_monitor();
}
/* ### END SOLUTION */
"""
'''

ORIGINAL = """
static uint32_t interrupts_save(void)
{
    uint32_t flags;
    __asm__ volatile("pushf; pop %0; cli" : "=r"(flags) : : "memory");
    return flags;
}

static void interrupts_restore(uint32_t flags)
{
    __asm__ volatile("push %0; popf" : : "r"(flags) : "memory", "cc");
}
""".strip()

PUBLIC = """
with pvlab.check("ex03-section") as check:
    said, exits = tried(functions, 5)
    check("what the guest prints", said, "closed=5 nested=5 reopened=5 held=3 at-once=3")
    check("how often it executes CLI", exits.get("cli", 0), 0)
    check("how often it calls the monitor", exits.get("int", 0), 3)
"""


_MORE = re.compile(r"#|\basm\b|__asm|\bmain\b|_start|pv_")        # what the two functions have no use for


def hidden(student, rng, variant):
    built = []

    @functools.cache
    def run(n):
        if not built:
            text = student.value("functions")
            require(type(text) is str and not _MORE.search(re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)),
                    "the two functions need plain C only: no assembly, no preprocessor, nothing that prints")
            built.append(student.build(program(text)))
        done = SharedFlag().run(load(built[0], n=n), budget=5_000_000)
        require(done.outcome == "shutdown", f"the guest does not come to its end: {done.outcome}")
        counts = {}
        for word in done.text.split():
            name, _, count = word.partition("=")
            counts[name] = int(count) if count.isdecimal() and len(count) < 12 else -1
        exits = done.trace.by_reason()
        return counts, {reason: exits[reason] for reason in exits if reason not in ("io:write", "interrupt", "iret")}

    n = rng.randrange(10, 200)

    def silent():
        counts, exits = run(n)
        require(counts.get("closed") == n, "inside a section shared.enabled must be 0")
        _, more = run(2 * n)
        grown = sorted(reason for reason in more if more[reason] > exits.get(reason, 0))
        require(not grown, f"each section still leaves for the monitor ({', '.join(grown)}): use shared.enabled, and "
                           f"nothing that "
                           "traps")

    def nested():
        silent()
        counts, _ = run(n)
        require(counts.get("nested") == n, "the end of an inner section must leave interrupts off: put back what was "
                                           "saved")
        require(counts.get("reopened") == n, "the end of the outer section must turn interrupts on again: put back "
                                             "what was saved")

    def delivered():
        silent()
        counts, _ = run(n)
        require(counts.get("held") == 3, "an interrupt was delivered inside a section")
        require(counts.get("at-once") == 3, "an interrupt was pending when a section ended, and was not delivered at "
                                            "once: the monitor does not see a store")

    def sparing():
        delivered()
        _, exits = run(n)
        require(exits.get("int", 0) == 3, "call the monitor only where interrupts were turned on and one is pending")
    return [graded("sections without exits", 2, silent), graded("sections nest", 2, nested),
            graded("a pending interrupt is delivered at once", 3, delivered),
            graded("no call for nothing", 1, sparing)]


EXERCISE = Exercise(
    id="ex03-section", title="Paravirtualize a function", points=8, minutes=60,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    stub=ORIGINAL,
    hints=(
        "`interrupts_save` becomes three lines of plain C without any assembly: read `shared.enabled`, clear it, "
        "return what was read.",
        "`interrupts_restore` stores what it was given. Inner sections are given 0, so they leave interrupts off.",
        "After the store: `if (were_on && shared.pending) call_monitor();`. In this order: an interrupt that becomes "
        "pending between a look and the store would be missed the other way round.",
    ))
