"""Wrong solutions of the kinds that students write: what each changes in the model solution, what it must lose, and a
word of the feedback that would help.

{exercise id: {what the student did: (((old, new), …), {the checks that fail}, part of the feedback)}}
"""
from course.wrong import lesson_01, lesson_02, lesson_03, lesson_04, lesson_05, lesson_09

WRONG = {**lesson_01.WRONG, **lesson_02.WRONG, **lesson_03.WRONG, **lesson_04.WRONG, **lesson_05.WRONG,
         **lesson_09.WRONG}
