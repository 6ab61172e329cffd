"""Reads cost models from TOML files, and checks them: a figure without a source never reaches a bill.

A model of your own is a file of the same form as those beside this module: `cost_model("mine.toml")`.
"""
from __future__ import annotations

import ast
import operator
import tomllib
from functools import cache
from pathlib import Path

from pvlab.costs.model import CONFIDENCES, KINDS, PARTS, STATUSES, TECHNIQUES, Cell, CostError, CostModel, Figure
from pvlab.tables import UNPUBLISHED
from pvlab.reasons import REASONS
from pvlab.trace import EVENTS

_MODEL_KEYS = {"machine", "year", "clock_mhz", "clock_source", "guest_cpi", "note", "cell", "published"}
_CELL_KEYS = {"kind", "reasons", "techniques", *PARTS, "formula", "source", "confidence", "status", "note"}
_PUBLISHED_KEYS = {"operation", "unit", "values", "relations", "calibrated", "source", "confidence", "note"}
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
# Names that a cell's reasons are checked against. Devices are an open set.
_REASONS = {"exit": REASONS, "event": EVENTS, "access": None}


def cost_models() -> list[CostModel]:
    """Every cost model that ships, oldest machine first."""
    return sorted((_shipped(path.stem) for path in Path(__file__).parent.glob("*.toml")),
                  key=lambda model: (model.year, model.name))


def cost_model(name: str) -> CostModel:
    """The cost model of that name, or the file at a path that ends in .toml."""
    if str(name).endswith(".toml"):
        return load(Path(name))
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))
    if name not in names:
        raise CostError(f"no cost model '{name}'; there are {', '.join(names)}")
    return _shipped(name)


@cache
def _shipped(name: str) -> CostModel:
    return load(Path(__file__).parent / f"{name}.toml")


def load(path: Path) -> CostModel:
    """The model in a file, checked: CostError names the file, and the cell, of what is wrong."""
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CostError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CostError(f"{path.name}: {error}") from None
    at = _Place(path.name)
    at.keys(data, _MODEL_KEYS)
    cpi = at.number(data, "guest_cpi")
    clock = at.number(data, "clock_mhz") if "clock_mhz" in data else None
    if clock:
        at.text(data, "clock_source")
    cells = tuple(_cell(row, _Place(f"{path.name}, cell {i}"))
                  for i, row in enumerate(at.rows(data, "cell"), 1))
    _refuse_doubles(cells, at)
    published = tuple(figure for i, row in enumerate(at.rows(data, "published"), 1)
                      for figure in _figures(row, _Place(f"{path.name}, published row {i}")))
    return CostModel(path.stem, at.text(data, "machine"), at.integer(data, "year"), clock, cpi, cells, published,
                     at.text(data, "note", ""))


def _cell(row: dict, at: "_Place") -> Cell:
    at.keys(row, _CELL_KEYS)
    kind = at.one_of(row, "kind", KINDS)
    reasons = at.names(row, "reasons", _REASONS[kind], star=True)
    parts = {}
    for part in PARTS:
        if part in row:
            parts[part] = None if row[part] == UNPUBLISHED else at.integer(row, part)
    if all(value is None for value in parts.values()):
        at.fail(f"has no cycles: give at least one of {', '.join(PARTS)}")
    cell = Cell(kind, reasons, at.names(row, "techniques", TECHNIQUES) if "techniques" in row else (), parts,
                at.text(row, "source"), at.one_of(row, "confidence", CONFIDENCES), at.one_of(row, "status", STATUSES),
                at.text(row, "formula", ""), at.text(row, "note", ""))
    if (cell.confidence == "D") != bool(cell.formula):
        at.fail("a derived figure (confidence D) has a formula, and no other has")
    if cell.formula and round(at.evaluate(cell.formula)) != cell.cycles:
        at.fail(f"the formula {cell.formula} does not come to {cell.cycles}")
    return cell


def _refuse_doubles(cells: tuple[Cell, ...], at: "_Place") -> None:
    """Which of two equally close cells prices an exit must not depend on their order."""
    priced = [cell for cell in cells if cell.status == "calibrated"]
    for i, one in enumerate(priced):
        for other in priced[:i]:
            reasons = set(one.reasons) & set(other.reasons)
            techniques = set(one.techniques) & set(other.techniques) or not (one.techniques or other.techniques)
            if one.kind == other.kind and reasons and techniques:
                at.fail(f"two cells price {one.kind} {min(reasons)} under the same technique")


def _figures(row: dict, at: "_Place") -> list[Figure]:
    """A published row has one figure for each technique."""
    at.keys(row, _PUBLISHED_KEYS)
    values, relations = at.table(row, "values"), at.table(row, "relations")
    if not values and not relations:
        at.fail("has neither values nor relations")
    calibrated = at.names(row, "calibrated", TECHNIQUES) if "calibrated" in row else ()
    common = (at.text(row, "source"), at.one_of(row, "confidence", CONFIDENCES), at.text(row, "note", ""))
    figures = []
    for technique in [*values, *relations]:
        if technique not in TECHNIQUES:
            at.fail(f"unknown technique '{technique}'")
        value = at.number(values, technique) if technique in values else None
        relation = "" if technique in values else at.text(relations, technique)
        figures.append(Figure(at.text(row, "operation"), technique, value, relation, at.text(row, "unit"),
                              STATUSES[technique not in calibrated], *common))
    return figures


class _Place:
    """Reads values of a TOML table, and says where it was when one is wrong."""

    def __init__(self, name: str):
        self.name = name

    def fail(self, what: str):
        raise CostError(f"{self.name}: {what}")

    def keys(self, row: dict, known: set[str]) -> None:
        for key in row:
            if key not in known:
                self.fail(f"unknown key '{key}'")

    def text(self, row: dict, key: str, default: str | None = None) -> str:
        value = row.get(key, default)
        if not isinstance(value, str) or (not value.strip() and default is None):
            self.fail(f"'{key}' is missing or is not text")
        return value

    def number(self, row: dict, key: str) -> int | float:
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            self.fail(f"'{key}' is missing or is not a positive number")
        return value

    def integer(self, row: dict, key: str) -> int:
        if not isinstance(self.number(row, key), int):
            self.fail(f"'{key}' is not a whole number")
        return row[key]

    def one_of(self, row: dict, key: str, allowed: tuple[str, ...]) -> str:
        if row.get(key) not in allowed:
            self.fail(f"'{key}' is {row.get(key)!r}, not one of {', '.join(allowed)}")
        return row[key]

    def names(self, row: dict, key: str, allowed, star: bool = False) -> tuple[str, ...]:
        value = row.get(key)
        if not isinstance(value, list) or not value:
            self.fail(f"'{key}' is missing or is not a list of names")
        if star and value == ["*"]:
            return ("*",)
        for name in value:
            if not isinstance(name, str) or name == "*" or (allowed is not None and name not in allowed):
                self.fail(f"unknown {key[:-1]} {name!r}")
        return tuple(value)

    def rows(self, data: dict, key: str) -> list[dict]:
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            self.fail(f"'{key}' is not written as [[{key}]]")
        return value

    def table(self, row: dict, key: str) -> dict:
        value = row.get(key, {})
        if not isinstance(value, dict):
            self.fail(f"'{key}' is not a table")
        return value

    def evaluate(self, formula: str) -> float:
        """The value of a formula of numbers, + - * / and parentheses."""
        def value(node) -> float:
            if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
                return _OPERATORS[type(node.op)](value(node.left), value(node.right))
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                return node.value
            raise ValueError

        try:
            return value(ast.parse(formula, mode="eval").body)
        except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
            self.fail(f"'{formula}' is not a formula of numbers")
