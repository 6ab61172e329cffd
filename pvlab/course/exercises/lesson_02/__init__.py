"""Exercises of lesson 02: predict exits, tell workloads by them, and write four pieces of the monitor."""
from pvlab.course.exercises.lesson_02 import decode, emulate, predict, reflect, shadow, which
from pvlab.course.exercises.model import Sheet

SHEET = Sheet(2, "ex02_trap_and_emulate", "Trap and emulate", """
First you read a kernel and a trace as a monitor does. Then you write the monitor's own work, piece by piece: decode
what trapped, emulate it, reflect a system call, fill a shadow page table. Your functions work on plain data, and the
checks put them into a running monitor, where each exit of a real guest is answered by your code.
""", (predict.EXERCISE, which.EXERCISE, decode.EXERCISE, emulate.EXERCISE, reflect.EXERCISE, shadow.EXERCISE))
