"""The machine of the course: it grades the learner's own file, in a process where the answer does not exist.

course, exercise, stub, inputs     what is asked, and the file that a learner opens
isolated/, host                    the process that the learner's file runs in
judge, attempt, predict, properties, kernels    the stages: shape, example, edges, value, laws, gradient, memory, work
check_course                       the proof that every exercise can be passed, and not by accident
workspace, progress                the learner's folder, and what has been done in it
watch, checking, show, debug       save, verdict; what is read on the screen; the debugger at a counter-example
notebook                           check(function), from a cell
"""

from .course import Course
from .exercise import Exercise
from .host import Spare
from .judge import Judge, Result, score
from .notebook import Verdict, check

__all__ = ["Course", "Exercise", "Judge", "Result", "Spare", "Verdict", "check", "score"]
