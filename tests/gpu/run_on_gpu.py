"""Everything that is worth knowing of the kernels on one GPU, in one run and one JSON file.

    python tests/gpu/run_on_gpu.py --out docs/data/gpu.json [--only correct,time] [--max-seconds 540] [--resume]
    python tests/gpu/run_on_gpu.py --backend cpucuda --out /tmp/try.json      without a GPU: shows that it runs

The file is rewritten after every item, so a run that is cut keeps what it has, and --resume goes on with it. Exit code
0: all was done and every check passed; 1: a check failed; 2: wrong usage; 3: time ran out.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

if __name__ == "__main__":  # as a script, from anywhere
    sys.path.insert(0, str(Path(__file__).parents[2]))

from minilinear.errors import BackendError, ConfigError, explain, nearest
from tests.gpu.on_gpu import ceilings, compiled, correct, machine, timed, trained
from tests.gpu.on_gpu.places import PLACES, Processor
from tests.gpu.on_gpu.record import Item, Record

SECTIONS: dict[str, Callable[[Processor, Record], Iterable[Item]]] = {
    "machine": lambda place, record: machine.items(place),
    "ceilings": lambda place, record: ceilings.items(place),
    "compile": lambda place, record: compiled.items(place),
    "correct": lambda place, record: correct.items(place),
    "time": lambda place, record: timed.items(place, record.data["sections"].get("ceilings", {})),
    "train": lambda place, record: trained.items(place, record.data["sections"]),
}


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=tuple(PLACES), default="cupy")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections: " + ", ".join(SECTIONS))
    parser.add_argument("--max-seconds", type=float, default=math.inf, help="begin nothing after so many seconds")
    parser.add_argument("--resume", action="store_true", help="go on with the file that is there")
    return parser.parse_args(words)


def chosen(only: str) -> list[str]:
    """The sections to run, in their order."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in SECTIONS:
            rule = f"--only is a list of {', '.join(SECTIONS)}."
            raise ConfigError(explain(rule, got=name, fix=nearest(name, SECTIONS)))
    if not names:
        raise ConfigError(explain("--only names a section at least.", got=repr(only), fix=", ".join(SECTIONS)))
    return [name for name in SECTIONS if name in names]


def main(words: list[str]) -> int:
    given = arguments(words)
    try:
        sections = chosen(given.only)
        if math.isnan(given.max_seconds):
            raise ConfigError(explain("--max-seconds is a number of seconds.", got=given.max_seconds))
        if not given.out.parent.is_dir() or given.out.is_dir():
            raise ConfigError(explain("--out names a file in a folder that is there.", got=given.out))
        place = PLACES[given.backend]()
        code = machine.code() | {"place": given.backend, "device": place.which()}
        record = Record(given.out, code, resume=given.resume, until=time.monotonic() + given.max_seconds)
    except (BackendError, ConfigError) as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 2
    states = record.data.setdefault("states", [])
    for section in sections:
        states.append({"before": section, "state": place.state()})
        record.run(section, SECTIONS[section](place, record))
        states.append({"after": section, "state": place.state()})
    status = record.close(SECTIONS)
    for name in record.failed():
        print(f"failed: {name}", file=sys.stderr)
    print(f"{given.out}: " + {0: "all done, all right", 1: "some checks failed", 3: "out of time: --resume"}[status])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
