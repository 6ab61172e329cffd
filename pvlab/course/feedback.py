"""What a learner reads after a check: passed, not solved yet, or what was expected and what came."""
from __future__ import annotations

from html import escape
from typing import NamedTuple

_LONGEST = 300      # characters of a value that are shown


class Finding(NamedTuple):
    """One check that did not pass: its name, and lines about it as (label, text)."""

    name: str
    lines: tuple[tuple[str, str], ...]


class Feedback:
    """The feedback on one exercise. It shows the same on every machine: nbval compares it."""

    def __init__(self, exercise: str, findings: list[Finding] = (), checks: int = 0, unsolved: bool = False):
        """`checks`: how many were made; `unsolved`: the answer is still what the handout had."""
        self.exercise, self.findings, self.checks, self.unsolved = exercise, list(findings), checks, unsolved

    @property
    def passed(self) -> bool:
        return not self.unsolved and not self.findings

    @property
    def _head(self) -> str:
        if self.unsolved:
            return "not solved yet"
        if self.passed:
            return "the public checks pass"
        return f"{len(self.findings)} of {self.checks} public checks failed"

    @property
    def _hint(self) -> str:
        return "" if self.passed else f'pvlab.hint("{self.exercise}")'

    def text(self) -> str:
        lines = [f"{self.exercise}: {self._head}"]
        for finding in self.findings:
            lines.append(f"  {finding.name}")
            width = max((len(label) for label, _ in finding.lines), default=0) + 1
            lines += [f"    {label + ':' if label else '':{width}} {text}".rstrip() for label, text in finding.lines]
        if self._hint:
            lines.append(f"  next hint: {self._hint}")
        return "\n".join(lines)

    def html(self) -> str:
        mark = "✓" if self.passed else "…" if self.unsolved else "✗"
        edge = "#2e7d32" if self.passed else "#9e9e9e" if self.unsolved else "#c62828"
        parts = [f"<b>{mark} {escape(self.exercise)}: {escape(self._head)}</b>"]
        for finding in self.findings:
            rows = "".join(f'<tr><th style="text-align: left">{escape(label)}</th>'
                           f'<td style="text-align: left"><code>{escape(text)}</code></td></tr>'
                           for label, text in finding.lines)
            parts.append(f"<div>{escape(finding.name)}</div><table>{rows}</table>")
        if self._hint:
            parts.append(f"<div>next hint: <code>{escape(self._hint)}</code></div>")
        return f'<div style="border-left: 4px solid {edge}; padding-left: 0.8em">{"".join(parts)}</div>'

    def bundle(self) -> dict[str, str]:
        """Both forms, as a notebook's display wants them."""
        return {"text/plain": self.text(), "text/html": self.html()}

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.bundle()

    def __repr__(self) -> str:
        return self.text()


def shown(value, base: int = 10) -> str:
    """A value as feedback shows it, not without end; base 16: whole numbers in hexadecimal."""
    try:
        text = repr(value) if base == 10 else _hexadecimal(value)
    except Exception as error:              # a learner's own __repr__
        text = f"(its repr raises {type(error).__name__})"
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} … ({len(text):,} characters)"
    return text


def _hexadecimal(value) -> str:
    if type(value) is int:
        return hex(value)
    if type(value) is list:
        return f"[{', '.join(map(_hexadecimal, value))}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {_hexadecimal(one)}' for key, one in value.items())}}}"
    return repr(value)
