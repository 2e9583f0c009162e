"""The machine of the course: it grades the learner's own file, in a process where the answer does not exist.

course, exercise, stub, inputs     what is asked, and the file that a learner opens
isolated/, host                    the process that the learner's file runs in
judge, attempt, predict            the stages: shape, example, edges, value, laws, gradient, memory, work
check_course                       the proof that every exercise can be passed, and not by accident
"""

from .course import Course
from .exercise import Exercise
from .host import Spare
from .judge import Judge, Result, score

__all__ = ["Course", "Exercise", "Judge", "Result", "Spare", "score"]
