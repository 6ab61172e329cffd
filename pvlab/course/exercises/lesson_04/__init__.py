"""Exercises of lesson 04: decode a DIAGNOSE, count requests, swap PSWs, and write a code."""
from pvlab.course.exercises.lesson_04 import code, compare, requests, swap
from pvlab.course.exercises.model import Sheet

SHEET = Sheet(4, "ex04_diagnose", "DIAGNOSE", """
You take the part of the control program: decode what the guest asks, count what its requests cost, deliver an
interruption, and give the guest a hypercall of your own. Your functions work on plain data, and the checks put them
into a running CP.
""", (code.EXERCISE, requests.EXERCISE, swap.EXERCISE, compare.EXERCISE))
