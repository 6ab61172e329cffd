"""Exercises of lesson 05: the exits that are left, where units end, the guest's own state, a translator's rules."""
from pvlab.course.exercises.lesson_05 import exits, rule, state, units
from pvlab.course.exercises.model import Sheet

SHEET = Sheet(5, "ex05_binary_translation", "Binary translation", """
You predict what is left of trap and emulate's exits, cut a kernel into units, and give a guest its own registers back
when it is interrupted in the middle of a sequence. Then you write the translator's rules for the four instructions on
which lesson 03's kernel broke, and your translations run.
""", (exits.EXERCISE, units.EXERCISE, state.EXERCISE, rule.EXERCISE))
