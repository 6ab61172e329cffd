"""Exercises of lesson 03: probe, classify, follow two flags, scan, and paravirtualize."""
from pvlab.course.exercises.lesson_03 import classify, flags, probe, scan, section
from pvlab.course.exercises.model import Sheet

SHEET = Sheet(3, "ex03_where_x86_breaks", "Where x86 breaks", """
Some instructions look at the machine or change it, and do not trap. Here you tell them from the others, by
experiment and in a listing; you work out what a kernel believes that uses them; and at the end you take them out of
a kernel's function, so that it runs without a single exit.
""", (probe.EXERCISE, classify.EXERCISE, flags.EXERCISE, scan.EXERCISE, section.EXERCISE))
