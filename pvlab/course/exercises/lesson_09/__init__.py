"""Exercises of lesson 09: when to notify, what to choose, and the device side of a virtqueue."""
from pvlab.course.exercises.lesson_09 import budget, chains, event, request
from pvlab.course.exercises.model import Sheet

SHEET = Sheet(9, "ex09_paravirtual_io", "Paravirtual I/O", """
A virtqueue is an agreement about memory, and you write the other side of it: first the one comparison on which all
suppression rests, then the parameters that meet a budget of exits, and then the device itself, on whose answers the
kernel reads and writes its disk.
""", (event.EXERCISE, budget.EXERCISE, request.EXERCISE, chains.EXERCISE))
