"""Exercises of lesson 01: count, compare, reckon, and refute."""
from pvlab.course.exercises.lesson_01 import breakeven, count, detect, faithful
from pvlab.course.exercises.model import Sheet

SHEET = Sheet(1, "ex01_what_a_virtual_machine_is", "What a virtual machine is", """
The lesson measured three properties: equivalence, resource control, efficiency. Here you count before the machine
does, decide what *equivalent* means in code, say which exits a workload can afford, and write a guest that proves
this monitor to be no perfect duplicate.
""", (count.EXERCISE, faithful.EXERCISE, breakeven.EXERCISE, detect.EXERCISE))
