"""What runs in the learner's process. It imports NumPy and the standard library, and nothing of minilinear.

The folder is put on that process's path and imported there as a package of its own, `isolated`: the library, its
references and the exercises are not on the path. Nothing in here knows a right answer.
"""
