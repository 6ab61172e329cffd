"""Hints open one rung at a time, and the learner's progress file remembers how far the ladder was climbed."""
from __future__ import annotations

import textwrap

from pvlab.course import progress
from pvlab.course.exercises import exercise as find


class Hints:
    """The opened hints of an exercise, shown as a list."""

    def __init__(self, exercise: str, hints: tuple[str, ...], opened: int):
        self.exercise, self.hints, self.opened = exercise, hints, opened

    def text(self) -> str:
        rest = len(self.hints) - self.opened
        lines = [f"{self.exercise}: {self.opened} of {len(self.hints)} hints"]
        for number, hint in enumerate(self.hints[:self.opened], 1):
            lines += textwrap.wrap(hint, 100, initial_indent=f"  {number}. ", subsequent_indent="     ",
                                   break_long_words=False, break_on_hyphens=False)
        return "\n".join(lines + ["  Ask again for the next one." if rest else "  There are no more."])

    def _repr_markdown_(self) -> str:
        rest = len(self.hints) - self.opened
        listed = "\n".join(f"{number}. {hint}" for number, hint in enumerate(self.hints[:self.opened], 1))
        return (f"**{self.exercise}: {self.opened} of {len(self.hints)} hints**\n\n{listed}\n\n"
                f"{'Run the cell again for the next one.' if rest else 'There are no more.'}")

    def __repr__(self) -> str:
        return self.text()


def hint(exercise: str) -> Hints:
    """Open the next hint for an exercise; the ones before it are shown, too. Raises PvlabError."""
    found = find(exercise)
    return Hints(exercise, found.hints, progress.open_hint(exercise, len(found.hints)))
