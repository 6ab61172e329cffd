"""Choose parameters that meet a budget of exits."""
import functools

from pvlab import TrapAndEmulate, guest
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
A provider sells virtual machines by their exits, and your budgets are these. Choose for each the parameters of the
kernel's drivers that meet it **with the least**: the smallest depth, no more suppression than needed, the shortest
moderation.

| work | budget: exits for the device, at most | to choose |
|---|---|---|
| read sectors by virtio | {{sector}} for a sector | `depth`: requests under way at once, 1 to 128 |
| send packets by virtio | {{packet}} for a packet | `suppression`: `"none"`, `"flags"` or `"event-idx"`; `indirect`: `"no"` or `"yes"` |
| receive packets by e1000, one each {{gap}} µs | {{received}} for a packet | `moderation`: microseconds between two interrupts |

`suppression` costs nothing, so take the weakest that does; a table for indirect descriptors costs memory, so `"no"` if
that does. Prefer a weaker suppression to no indirect descriptors.

**Expected result:** the check measures your choice, and says which budgets are met. Whether less would have done, the
hidden checks find out.
"""

GIVEN = '''
def exits(n, **parameters):
    """Exits for the device, for one sector or packet: the difference of two runs."""
    guests = [pvlab.guest("kernel", n=k, **parameters) for k in (n, 2 * n)]
    few, many = (pvlab.TrapAndEmulate().run(guest).trace.by_reason() for guest in guests)
    count = lambda run: run.get("mmio:read", 0) + run.get("mmio:write", 0)
    return (count(many) - count(few)) / n
'''

SOLUTION = """
### BEGIN SOLUTION
chosen = {"depth": {{depth}}, "suppression": "{{suppression}}", "indirect": "{{indirect}}",
          "moderation": {{moderation}}}
### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex09-budget") as check:
    if None in chosen.values():
        raise NotImplementedError
    spent = exits(4 * chosen["depth"], workload="disk-read", device="virtio", depth=chosen["depth"])
    check.that("sectors", spent <= {{sector}}, f"{spent:.3g} exits for a sector")
    spent = exits(384, workload="net-send", device="virtio", suppression=chosen["suppression"],
                  indirect=chosen["indirect"])
    check.that("packets sent", spent <= {{packet}}, f"{spent:.3g} exits for a packet")
    spent = exits(200, workload="net-receive", device="e1000", gap={{gap}}000,
                  moderation=chosen["moderation"])
    check.that("packets received", spent <= {{received}}, f"{spent:.3g} exits for a packet")
"""

# Budgets of a packet sent, with the weakest suppression that meets each. Measured: none 3, flags 2, event-idx 0.0208
# and, with indirect descriptors, 0.0104.
_SENT = {0: ("2.5", "flags", "no"), 1: ("0.05", "event-idx", "no"), 2: ("0.015", "event-idx", "yes"),
         3: ("2.0", "flags", "no"),
         4: ("0.02", "event-idx", "yes")}


def choose(rng):
    return {"depth": rng.randrange(5, 30), "sent": rng.randrange(5), "gap": rng.choice((10, 20, 25, 40)),
            "packets": rng.choice((4, 5, 8, 10))}


def words(variant):
    packet, suppression, indirect = _SENT[variant["sent"]]
    depth = variant["depth"]
    sector = round(3 / depth + 0.4 * (3 / (depth - 1) - 3 / depth), 4)         # met by this depth, and not by one less
    received = round(1 + 5 / variant["packets"], 3)
    return {"sector": sector, "packet": packet, "gap": variant["gap"], "received": received, "depth": depth,
            "suppression": suppression, "indirect": indirect, "moderation": variant["gap"] * variant["packets"]}


@functools.lru_cache(maxsize=64)
def measured(n: int, **parameters) -> float:
    """Exits for the device, for one sector or packet."""
    runs = [TrapAndEmulate().run(guest("kernel", n=k, **parameters)).trace.by_reason() for k in (n, 2 * n)]
    few, many = (run.get("mmio:read", 0) + run.get("mmio:write", 0) for run in runs)
    return (many - few) / n


def hidden(student, rng, variant):
    known, rounds = words(variant), rng.randrange(2, 5)

    def value(name, kind, low=0, high=0):
        answer = student.value("chosen")
        require(type(answer) is dict and type(answer.get(name)) is kind,
                f"chosen must have '{name}', of type {kind.__name__}")
        require(kind is str or low <= answer[name] <= high, f"{name} must be from {low} to {high}")
        return answer[name]

    def sector():
        depth = value("depth", int, 1, 128)
        require(measured(depth * rounds, workload="disk-read", device="virtio", depth=depth) <= known["sector"],
                "with this depth a sector costs more exits than the budget has: three exits are shared by so many "
                "sectors")

    def least_depth():
        sector()
        require(value("depth", int, 1, 128) == known["depth"], "a smaller depth meets the budget, too")

    def sent():
        options = {"suppression": value("suppression", str), "indirect": value("indirect", str)}
        require(options["suppression"] in ("none", "flags", "event-idx") and options["indirect"] in ("no", "yes"),
                "suppression is none, flags or event-idx, and indirect is no or yes")
        require(measured(384, workload="net-send", device="virtio", **options) <= float(known["packet"]),
                "so a packet costs more exits than the budget has")
        require((options["suppression"], options["indirect"]) == (known["suppression"], known["indirect"]),
                "less would do: a weaker suppression, or no indirect descriptors")

    def received(least):
        def test():
            moderation = value("moderation", int, 0, 10_000)
            spent = measured(10 * rounds * variant["packets"], workload="net-receive", device="e1000",
                             gap=1000 * variant["gap"], moderation=moderation)
            require(spent <= known["received"] + 1e-9, "with this moderation a packet costs more exits than the "
                                                       "budget has: 1 for its buffer, and 5 for an interrupt, which "
                                                       "some packets share")
            require(not least or moderation <= 1.02 * known["moderation"], "a shorter moderation meets the budget, too")
        return test
    return [graded("depth", 1, sector), graded("no more depth than needed", 1, least_depth),
            graded("suppression", 1, sent), graded("moderation", 1, received(False)),
            graded("no more moderation than needed", 1, received(True))]


EXERCISE = Exercise(
    id="ex09-budget", title="Meet a budget", points=5, minutes=25,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden, variant=choose, words=words,
    stub='chosen = {"depth": None, "suppression": None, "indirect": None, "moderation": None}',
    hints=(
        "Sectors: a batch of `depth` requests has three exits together, one kick and two of an interrupt.",
        "So `3 / depth` must not be above the budget. For packets sent, the lesson's table has the four values: "
        "measure them with `exits(384, …)`.",
        "Packets received: each has 1 exit, and each interrupt 5. With one packet each g microseconds and an "
        "interrupt each m, that is `1 + 5 * g / m`. Solve for m.",
    ))
