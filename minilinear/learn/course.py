"""A course: a folder of exercises in an order, with the concepts that lead from one to the next.

course.toml says which exercises there are and in which order; each exercise is a folder beside it.

    title = "..."        version = "1"
    prerequisites = ["matrix product", ...]      known before the first exercise
    [[track]]
    id = "memory"   title = "A memory that is a matrix"   exercises = ["memory-1", "memory-2"]
    [[door]]
    id = "attention"   title = "I know attention"   tracks = ["start", "memory", ...]
"""

from __future__ import annotations

import importlib.resources
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ConfigError, explain, nearest
from .exercise import Exercise
from .variants import vary


class Course:
    """A course as its folder gives it; exercises are read when they are asked for.

    Args:
        folder: default: the course that comes with minilinear.
        variant: a student, whose conventions the exercises have that may be varied; "": those of everybody.

    Attributes:
        title, version: of course.toml. tracks: id -> its table, in order. doors: the ways in, in order.

    Raises:
        ConfigError: the folder holds no course, or course.toml names what is not there.
    """

    def __init__(self, folder: Path | str | None = None, variant: str = "") -> None:
        self.variant = variant
        self.folder = Path(folder) if folder else Path(str(importlib.resources.files("minilinear.exercises")))
        path = self.folder / "course.toml"
        try:
            spec: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        except OSError as reason:
            fix = "--course DIR names the folder of course.toml"
            raise ConfigError(explain("A course is a folder with course.toml.", got=str(reason), fix=fix)) from None
        except tomllib.TOMLDecodeError as reason:
            raise ConfigError(explain(f"{path} is TOML.", got=str(reason))) from None
        try:
            self.title, self.version = str(spec["title"]), str(spec["version"])
            self.prerequisites: list[str] = spec["prerequisites"]
            self.tracks: dict[str, dict[str, Any]] = {track["id"]: track for track in spec["track"]}
            self.doors: list[dict[str, Any]] = spec.get("door", [])
            self.ids: list[str] = [name for track in self.tracks.values() for name in track["exercises"]]
        except KeyError as missing:
            raise ConfigError(
                explain(f"{path} says title, version, prerequisites, track", got=f"no {missing}")
            ) from None
        self._read: dict[str, Exercise] = {}

    def __getitem__(self, name: str) -> Exercise:
        """The exercise of this id; "memory_3.py" is taken for memory-3."""
        name = name.rpartition("/")[2].split(".")[0].replace("_", "-").lower()
        if name not in self.ids:
            fix = f"{nearest(name, self.ids)} All of them: minilinear learn list"
            raise ConfigError(explain(f"The course has no exercise {name!r}.", fix=fix))
        if name not in self._read:
            folder = self.folder / name.replace("-", "_")
            exercise = Exercise(folder)
            if before := exercise.spec.get("builds_on"):
                exercise = Exercise(folder, self[before])
            self._read[name] = vary(exercise, self.variant) if self.variant else exercise
        return self._read[name]

    @cached_property
    def exercises(self) -> dict[str, Exercise]:
        """Every exercise, in order."""
        return {name: self[name] for name in self.ids}

    @property
    def routes(self) -> dict[str, list[str]]:
        """The ids of each route, in order: core is contained in all."""
        core = [name for name, exercise in self.exercises.items() if exercise.route == "core"]
        return {"core": core, "all": list(self.ids)}
