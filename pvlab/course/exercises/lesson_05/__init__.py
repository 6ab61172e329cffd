"""Exercises of lesson 05: which exits are left, where units end, a state that must not show, and a translator's rule."""
from pvlab.course.exercises.lesson_05 import exits, rule, state, units
from pvlab.course.exercises.model import Sheet

SHEET = Sheet(5, "ex05_binary_translation", "Binary translation", """
You predict what is left of trap and emulate's exits, cut a kernel into units, and give a guest its own registers back
when it is interrupted in the middle of a sequence. Then you write the translator's rules for the four instructions on
which lesson 03's kernel broke, and your translations run.
""", (exits.EXERCISE, units.EXERCISE, state.EXERCISE, rule.EXERCISE))
