"""Grading: the student's code in a limited process, everything that decides about points outside it.

    linux.py      the system calls that limit a process: namespaces, Landlock, seccomp, capabilities
    sandbox.py    what a student's process may do, and how it is held to that
    zygote.py     a process with everything imported and nothing secret, which forks the students' processes
    worker.py     in the student's process: executes solution cells, answers calls in JSON
    feedback.py   in the student's process: the public checks under nbval
    session.py    in the grader: starts, asks, times and ends a student's process; the `Student` of a hidden check
    submissions.py  finds, reads and judges submitted files, as plain JSON
    marking.py    one submission, marked: the record
    batch.py      many of them: the journal, resuming, processes or a Dask cluster
    reports.py    CSV, gradebooks, feedback pages, JSON

What the halves of the course say to each other: `exercises.sheet(n)` has the exercises; `exercises.handout` makes the
authoritative notebook of one student; in it the worker executes the code cells whose grade_id ends in "-given" and the
solution cells, in order, as plain Python (no magics), and nothing else. In the sandbox the folder
pvlab/course/exercises does not exist, so that a handout's cells may import pvlab, but not that.
"""
