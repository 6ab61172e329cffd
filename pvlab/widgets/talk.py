"""A conversation with the control program: a command is typed, a guest passes it on by DIAGNOSE X'08', CP responds."""
from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pvlab.tables import Table
from pvlab.widgets.base import Shown

_END = "LOGOFF"            # the line that ends the guest
_LONGEST = 80              # characters of a command


@lru_cache(maxsize=256)
def _talk(commands: tuple[str, ...]):
    """The run of a guest at whose console these lines are typed, one after the other."""
    import pvlab
    return pvlab.Cp(typed=[*commands, _END]).run(pvlab.guest("s390-console"))


class Conversation(Shown):
    """See `conversation`."""

    title = "A conversation with CP"

    def __init__(self, commands: Iterable[str]):
        self.commands: list[str] = []
        for command in commands:
            self.say(command)

    def say(self, command: str) -> None:
        """Type one more line. What the console has no character for is left out; so is the line that would end it."""
        line = "".join(character for character in command if character.isascii() and character.isprintable())[:_LONGEST]
        if line.strip() and line.strip().upper() != _END:
            self.commands.append(line)

    def controls(self) -> list:
        import ipywidgets
        box = ipywidgets.Text(description="CP command", placeholder="QUERY TIME, and Enter", continuous_update=False,
                              style={"description_width": "9em"}, layout={"width": "34em", "max_width": "98%"})
        again = ipywidgets.Button(description="Start again")

        def sent(change):
            if change.new:
                self.say(change.new)
                box.value = ""
                self.refresh()

        def cleared(_):
            self.commands.clear()
            self.refresh()
        box.observe(sent, "value")
        again.on_click(cleared)
        return [ipywidgets.HBox([box, again], layout={"flex_flow": "row wrap"})]

    def state(self) -> list:
        """The transcript: each run of the guest has one line more than the one before, and says so much more."""
        rows, before = [], ""
        for i, command in enumerate(self.commands, 1):
            said = _talk(tuple(self.commands[:i])).text.removesuffix(f"{_END}\n")
            response = said[len(before) + len(command) + 1:].splitlines()
            rows.append([command, response[0] if response else "(no response)"])
            rows += [["", line] for line in response[1:]]
            before = said
        return [Table(["typed", "CP responds"], rows, caption="What was typed, and the responses")]

    def sentence(self) -> str:
        if not self.commands:
            return "Nothing has been typed yet."
        exits = _talk(tuple(self.commands)).trace.by_reason()
        return (f"Lines typed: {len(self.commands)}. The guest asked CP {exits.get('diagnose:0x08', 0)} times by "
                f"DIAGNOSE X'08', and started {exits.get('ssch', 0)} channel programs to read and print: "
                f"{sum(exits.values())} exits in all.")


def conversation(*commands: str) -> Conversation:
    """A widget in which commands to CP can be typed; it shows what CP responds. Begins with these commands.

    Each line goes through a guest (s390-console): it reads the line from its virtual console, asks CP by DIAGNOSE
    X'08', and prints the response. The guest is run anew for each line, from the first on, so what SET sets stays set.
    """
    return Conversation(commands)
