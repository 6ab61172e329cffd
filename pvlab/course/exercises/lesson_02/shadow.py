"""Repair a broken shadow page table."""
from pvlab import Native, guest
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.course.workbench import ShadowedBy
from pvlab.machine.x86.paging import DIRTY, FRAME, NO_EXECUTE, PRESENT, USER, WRITABLE

STATEMENT = """
A colleague wrote the heart of a shadow page table, and the guest crashes on it. Repair `shadow_entry`.

It is called for each page fault, with `path`: the guest's own entries that lead to the page (PAE: pointer table,
directory, page table), each an 8-byte number; the list ends at the first entry that is not present. `write` and
`user` say what the access was, and `traced` whether the page holds page tables of the guest. It returns

- `{"fault": code}` for a **true** fault. The error code has bit 0 set if all entries were present, bit 1 for a write,
  bit 2 for an access from user mode;
- `{"entry": …, "path": …}` for a **hidden** one: the entry for the shadow, and the guest's entries as the CPU would
  have left them.

What must hold:

1. The directory (`path[1]`) and the page table (`path[2]`) both have the bits W and U, and both must allow an access.
   The pointer table has no such bits. The kernel respects W, too (CR0.WP is 1).
2. The CPU sets A in the directory's and the page's entry, and D in the page's entry on a write, and then only.
3. The shadow's entry maps the same frame and allows no more than the guest's entries do. It keeps NX.
4. The shadow's entry is writable only once the guest's entry is dirty: the first write must come to the monitor, or D
   would never be set.
5. A page that holds page tables is never writable in the shadow.

**Expected result:** four entries are right, and the kernel forks on your shadow as on the bare machine. The hidden
checks try other entries and other workloads.
"""

GIVEN = """
from pvlab.course.workbench import ShadowedBy       # trap and emulate, with your function in it

P, W, U, A, D = 1, 2, 4, 0x20, 0x40                 # present, writable, user, accessed, dirty
NX = 1 << 63                                        # no execute
FRAME = 0xFFFFFFF000                                # an entry's bits that are the page's address
"""

SOLUTION = '''
def shadow_entry(path, write, user, traced):
    """The shadow's entry for one access, or the guest's own fault."""
    ### BEGIN SOLUTION
    code = 2 * write + 4 * user
    if not path[-1] & P:
        return {"fault": code}
    pointer, directory, page = path
    rights = directory & page & (W | U)
    if user and not rights & U or write and not rights & W:
        return {"fault": code | 1}
    directory |= A
    page |= A | (D if write else 0)
    entry = page & (FRAME | NX) | P | rights & U
    if rights & W and page & D and not traced:
        entry |= W
    return {"entry": entry, "path": [pointer, directory, page]}
    ### END SOLUTION
'''

BROKEN = """
code = 2 * write + 4 * user
if not path[-1] & P:
    return {"fault": code}
pointer, directory, page = path
rights = page & (W | U)
if user and not rights & U or write and not rights & W:
    return {"fault": code}
page |= A | D
entry = page & FRAME | P | rights
return {"entry": entry, "path": [pointer, directory, page]}
""".strip()

PUBLIC = """
TABLE, DIRECTORY, OPEN = 0x11A000 | P, 0x11B000 | P | W | U | A, P | W | U | A
PAGE, CLOSED = 0x200000 | OPEN, DIRECTORY & ~U
with pvlab.check("ex02-shadow") as check:
    check("a read of a clean page", shadow_entry([TABLE, DIRECTORY, PAGE], False, True, False),
          {"entry": 0x200000 | P | U, "path": [TABLE, DIRECTORY, PAGE]}, base=16)
    check("its first write", shadow_entry([TABLE, DIRECTORY, PAGE], True, True, False),
          {"entry": 0x200000 | P | U | W, "path": [TABLE, DIRECTORY, PAGE | D]}, base=16)
    check("a directory closed to users", shadow_entry([TABLE, CLOSED, PAGE], False, True, False),
          {"fault": 5}, base=16)
    check("a write to a page table", shadow_entry([TABLE, DIRECTORY, PAGE], True, False, True),
          {"entry": 0x200000 | P | U, "path": [TABLE, DIRECTORY, PAGE | D]}, base=16)
    guest = pvlab.guest("kernel", workload="fork", n=2)
    bare, run = pvlab.Native().run(guest), ShadowedBy(shadow_entry).run(guest, budget=200_000)
    check("how the kernel ends on your shadow", run.outcome, bare.outcome)
    check("what it prints", run.text, bare.text)
"""


def hidden(student, rng, variant):
    def frame():
        return rng.randrange(0x100, 0x2000) << 12

    def bits(**of):
        found = PRESENT
        for name, value in (("w", WRITABLE), ("u", USER), ("a", 0x20), ("d", DIRTY), ("nx", NO_EXECUTE)):
            found |= value * of.get(name, name == "a")
        return found

    def right(feedback, pde, pte, write=False, user=False, traced=False):
        pointer = frame() | PRESENT
        code = 2 * write + 4 * user
        rights = pde & pte & (WRITABLE | USER)
        if user and not rights & USER or write and not rights & WRITABLE:
            wanted = {"fault": code | 1}
        else:
            after = pte | 0x20 | DIRTY * write
            writable = rights & WRITABLE and after & DIRTY and not traced
            wanted = {"entry": after & (FRAME | NO_EXECUTE) | PRESENT | rights & USER | WRITABLE * bool(writable),
                      "path": [pointer, pde | 0x20, after]}
        require(same(student.call("shadow_entry", [pointer, pde, pte], write, user, traced), wanted), feedback)

    def usual():
        right("a user's write to a page that allows it", frame() | bits(w=1, u=1), frame() | bits(w=1, u=1), write=True,
              user=True)

    def directory():
        right("rights are what the directory and the page table both allow", frame() | bits(w=1),
              frame() | bits(w=1, u=1), user=True)
        right("rights are what the directory and the page table both allow", frame() | bits(u=1),
              frame() | bits(w=1, u=1, d=1))
        right("a page of the kernel's that is read-only is so for the kernel", frame() | bits(), frame() | bits(w=1),
              write=True)

    def dirty():
        for _ in range(3):
            right("a read must not set D, and a page that is not dirty must not be writable in the shadow",
                  frame() | bits(w=1, u=1), frame() | bits(w=1, u=1, d=0), user=bool(rng.randrange(2)))
        right("a page that is dirty already may be writable at once", frame() | bits(w=1, u=1),
              frame() | bits(w=1, u=1, d=1))

    def traced():
        usual()
        for write in (True, False):
            right("a page that holds page tables is never writable in the shadow",
                  frame() | bits(w=1, u=1), frame() | bits(w=1, d=1), write=write, traced=True)

    def marks():
        right("the CPU sets A in the directory's entry as well", frame() | bits(w=1, u=1, a=0),
              frame() | bits(u=1, d=1, a=0))
        right("the shadow's entry keeps NX", frame() | bits(w=1, u=1), frame() | bits(w=1, u=1, d=1, nx=1), user=True)

    def codes():
        for write, user in ((True, True), (False, True), (True, False)):
            right("the error code of a page fault: bit 0 if all entries were present, bit 1 for a write, bit 2 for "
                  "user mode",
                  frame() | bits(w=1, u=1), frame() | bits(), write=write, user=user)
        path = [frame() | PRESENT, 0]
        require(same(student.call("shadow_entry", path, True, True, False), {"fault": 6}),
                "an entry that is not present ends the walk: bit 0 of the error code is 0")

    def kernel():
        for workload in ("fork", "page-fault", "page-table-update"):
            of = guest("kernel", workload=workload, n=rng.randrange(2, 5))
            bare = Native().run(of)
            run = ShadowedBy(lambda *arguments: student.call("shadow_entry", *arguments)).run(of, 2 * bare.instructions)
            require((run.outcome, run.digest) == (bare.outcome, bare.digest),
                    f"the kernel's workload {workload} does not end on your shadow as on the bare machine: it ends in "
                    f"'{run.outcome}'")
    return [graded("rights", 2, directory), graded("the dirty bit", 2, dirty), graded("traced pages", 1, traced),
            graded("accessed and no-execute", 1, marks), graded("error codes", 1, codes),
            graded("a kernel runs on it", 1, kernel)]


EXERCISE = Exercise(
    id="ex02-shadow", title="Repair a shadow page table", points=8, minutes=90,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden, stub=BROKEN,
    hints=(
        "There are seven faults in the code. Take the five rules one by one, and find the line that should keep each.",
        "`rights` looks at the page's entry alone. The directory's must allow the access, too: `directory & page`.",
        "`page |= A | D` makes every page dirty. Set D on a write only, and then let the shadow's entry have W only if "
        "`page & D`.",
        "Still missing: A in the directory, NX in the shadow's entry (`page & (FRAME | NX)`), `traced`, and bit 0 of "
        "the error code where everything was present.",
    ))
