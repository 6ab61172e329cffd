"""A virtqueue as a picture: the three areas side by side, what lies in them, and who is how far."""
from __future__ import annotations

from pvlab.devices.virtio.rings import OFFERED, RETURNED, Ring
from pvlab.figures.picture import FAINT, INK, Picture, blank, style
from pvlab.tables import Table

_MOST = 8                           # entries of each area that are drawn; the table has no more
_COLOURS = {OFFERED: ("#E69F00", ".."), RETURNED: ("#56B4E9", "//")}


def ring(state: Ring, title: str = "A virtqueue") -> Picture:
    """Descriptor table, available ring and used ring of one moment, at most 8 entries of each: those in use."""
    numbers, slots, places = _shown(state)
    rows = max(len(numbers), len(slots), len(places), 4)
    with style():
        figure, (axes,) = blank(1.75 + 0.42 * rows, title)
        axes.set(xlim=(-0.5, 14.7), ylim=(rows + 1.1, -1.75))
        axes.axis("off")
        for x, kind, text in ((0, OFFERED, "offered, not yet returned"), (4.6, RETURNED, "returned")):
            _cell(axes, x, rows + 0.1, 0.7, "", kind)
            axes.text(x + 0.85, rows + 0.53, text, va="center", fontsize=10, color=INK)
        _descriptors(axes, state, numbers)
        _available(axes, state, numbers, slots)
        _used(axes, state, places)
    return Picture(figure, table(state, title), f"{title}: {told(state)}")


def told(state: Ring) -> str:
    """The same in a sentence or two."""
    offered = [state.heads[(state.used_index + i) % state.size] for i in range(min(state.waiting, state.size))]
    said = [f"available index {state.available_index}, used index {state.used_index}",
            f"{state.waiting:,} offered and not returned" + (f" (descriptor {_list(offered)})" if offered else "")]
    if state.used_index:
        head, length = state.returned[(state.used_index - 1) % state.size]
        said.append(f"last returned: descriptor {head}, {_bytes(length)} written")
    said += [name for name, wish in (("the driver wants no interrupt", state.no_interrupt),
                                     ("the device wants no kick", state.no_notify)) if wish]
    if state.used_event is not None:
        said.append(f"interrupt wanted after entry {state.used_event}, kick wanted after entry {state.avail_event}")
    return "; ".join(said) + "."


def changes(before: Ring, after: Ring) -> str:
    """What happened between two moments of one queue, in words; empty if nothing did."""
    said = []
    for old, new in zip(before.descriptors, after.descriptors):
        if (old.address, old.length, old.flags, old.next) != (new.address, new.length, new.flags, new.next):
            said.append(f"descriptor {new.number} is written ({_bytes(new.length)}, {new.role})")
    said += [f"slot {slot} names descriptor {new}" for slot, (old, new) in enumerate(zip(before.heads, after.heads))
             if old != new]
    if before.available_index != after.available_index:
        said.append(f"the driver's index goes up to {after.available_index}")
    for place in range(before.used_index, before.used_index + (after.used_index - before.used_index & 0xFFFF)):
        head, length = after.returned[place % after.size]
        said.append(f"the device returns descriptor {head}, {_bytes(length)} written")
    for name, old, new in (("an interrupt", (before.used_event, before.no_interrupt),
                            (after.used_event, after.no_interrupt)),
                           ("a kick", (before.avail_event, before.no_notify), (after.avail_event, after.no_notify))):
        if old != new:
            event, none = new
            said.append(f"{name} is wanted after entry {event}" if event is not None else
                        f"{name} is {'not ' * none}wanted")
    return "; ".join(said)


def table(state: Ring, title: str = "A virtqueue") -> Table:
    """One row for each entry that the picture shows and that holds something, and below them the counters."""
    numbers, slots, places = _shown(state)
    rows = []
    for number in numbers:
        each = state.descriptors[number]
        if not (each.address or each.length):
            continue
        follows = "" if each.follows is None else f", then {each.follows}"
        rows.append([f"descriptor {number}", f"{_bytes(each.length)} at {each.address:#x}: {each.role}{follows}",
                     each.state])
        rows += [[f"  its entry {inner.number}", f"{_bytes(inner.length)} at {inner.address:#x}: {inner.role}",
                  each.state] for inner in each.indirect]
    rows += [[f"available slot {slot}", f"descriptor {state.heads[slot]}", kind]
             for slot in slots if (kind := _slot_state(state, slot))]
    for place in places:
        head, length = state.returned[place]
        if _slot_state(state, place, ""):
            rows.append([f"used slot {place}", f"descriptor {head}, {_bytes(length)} written", RETURNED])
    wishes = [["available index", state.available_index, ""], ["used index", state.used_index, ""]]
    if state.used_event is None:
        wishes += [["driver's flag", "no interrupt" if state.no_interrupt else "interrupt me", ""],
                   ["device's flag", "no kick" if state.no_notify else "kick me", ""]]
    else:
        wishes += [["used_event", state.used_event, "the driver's wish"],
                   ["avail_event", state.avail_event, "the device's wish"]]
    return Table(["where", "what", "state"], rows + wishes, caption=title)


def _shown(state: Ring) -> tuple[list[int], list[int], list[int]]:
    """Which descriptors, available slots and used slots to show."""
    if state.size <= _MOST:
        every = list(range(state.size))
        return every, every, every
    first = max(min(state.used_index - 3, state.available_index + 2 - _MOST), 0)
    slots = [i % state.size for i in range(first, first + _MOST)]
    heads = [state.returned[(state.used_index - 1) % state.size][0]] * bool(state.used_index)
    heads += [state.heads[slot] for slot in slots if _slot_state(state, slot) == OFFERED]
    numbers = [each.number for head in heads for each in state.chain(head)]
    return sorted(list(dict.fromkeys([*numbers, *range(_MOST)]))[:_MOST]), slots, slots


def _slot_state(state: Ring, slot: int, waiting: str = OFFERED) -> str:
    """What a slot of the available ring stands for; of the used ring, with `waiting` for those that come next."""
    if (slot - state.used_index) % state.size < min(state.waiting, state.size):
        return waiting
    return RETURNED if slot < state.used_index or state.used_index >= state.size else ""


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count:,} bytes"


def _list(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:6])
    return shown + (f" and {len(numbers) - 6} more" if len(numbers) > 6 else "")


def _cell(axes, x: float, y: float, width: float, text: str, kind: str = "", size: int = 10) -> None:
    from matplotlib.patches import Rectangle
    colour, hatch = _COLOURS.get(kind, ("white", ""))
    edge = FAINT if colour == "white" else INK
    axes.add_patch(Rectangle((x, y), width, 0.86, facecolor=colour, edgecolor=edge, linewidth=0.9))
    if hatch:                        # a strip of it, beside the words: they must stay readable
        axes.add_patch(Rectangle((x + width - 0.28, y), 0.28, 0.86, facecolor=colour, edgecolor=INK, hatch=hatch,
                                 linewidth=0.6))
    axes.text(x + 0.12, y + 0.43, text, va="center", fontsize=size, color=INK, clip_on=True)


def _head(axes, x: float, text: str, *under: str) -> None:
    axes.text(x, -1.35, text, fontsize=12, fontweight="bold", color=INK)
    for y, line in zip((-0.92, -0.4), under):
        axes.text(x, y, line, fontsize=10, color=FAINT, va="center")


def _descriptors(axes, state: Ring, numbers: list[int]) -> None:
    _head(axes, 0, "descriptor table", "written by the driver:", "where the buffers are")
    for y, number in enumerate(numbers):
        each = state.descriptors[number]
        empty = not (each.length or each.address)
        text = "" if empty else f"{each.address:#x}, {each.length:,} B, {each.role}"
        axes.text(-0.1, y + 0.43, str(number), ha="right", va="center", fontsize=10, color=INK)
        _cell(axes, 0, y, 5.6, text, each.state)
        if each.follows in numbers and not empty:
            _arrow(axes, (5.6, y + 0.5), (5.6, numbers.index(each.follows) + 0.36), -0.6)


def _available(axes, state: Ring, numbers: list[int], slots: list[int]) -> None:
    wish = "do not interrupt me" if state.no_interrupt else "interrupt me"
    if state.used_event is not None:
        wish = f"interrupt me after {state.used_event}"
    _head(axes, 7.4, "available ring", f"the driver: idx {state.available_index}", wish)
    for y, slot in enumerate(slots):
        kind = _slot_state(state, slot)
        axes.text(7.33, y + 0.24, str(slot), ha="right", va="center", fontsize=10, color=INK)
        _cell(axes, 7.4, y, 1.7, f"head {state.heads[slot]}" if kind else "", kind)
        if kind == OFFERED and state.heads[slot] in numbers:
            _arrow(axes, (7.38, y + 0.43), (5.65, numbers.index(state.heads[slot]) + 0.2), 0)
        if slot == state.available_index % state.size:
            axes.text(9.2, y + 0.43, "◂ idx", va="center", fontsize=10, color=INK)


def _used(axes, state: Ring, places: list[int]) -> None:
    wish = "do not kick me" if state.no_notify else "kick me"
    if state.avail_event is not None:
        wish = f"kick me after {state.avail_event}"
    _head(axes, 11.0, "used ring", f"the device: idx {state.used_index}", wish)
    for y, place in enumerate(places):
        head, length = state.returned[place]
        kind = _slot_state(state, place, "")
        axes.text(10.9, y + 0.43, str(place), ha="right", va="center", fontsize=10, color=INK)
        _cell(axes, 11.0, y, 2.6, f"head {head}, {length:,} B" if kind else "", kind)
        if place == state.used_index % state.size:
            axes.text(13.7, y + 0.43, "◂ idx", va="center", fontsize=10, color=INK)


def _arrow(axes, start, end, bend: float) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 1.1,
                                              "connectionstyle": f"arc3,rad={bend}"}, annotation_clip=False)
