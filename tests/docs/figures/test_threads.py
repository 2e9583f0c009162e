import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.threads import racing, steps, thread_grid

SVG = "{http://www.w3.org/2000/svg}"


def shift(cuda, x, y):  # y_t = x_{t-1} within the block
    s, i = cuda.shared("s", 4), cuda.threadIdx.x
    s[i] = x[i]
    yield
    y[i] = s[i - 1] if i else 0.0


def hurried(cuda, x, y):
    s, i = cuda.shared("s", 4), cuda.threadIdx.x
    s[i] = x[i]
    y[i] = s[i - 1] if i else 0.0


def wrote_before_all_had_read(cuda, x, y):
    s, i = cuda.shared("s", 4), cuda.threadIdx.x
    s[i] = x[i]
    yield
    s[i] += s[(i + 1) % 4]
    yield
    y[i] = s[i]


KERNELS = (shift, hurried, wrote_before_all_had_read)


def last_wins(cuda, x, y):
    y[0] = x[cuda.threadIdx.x]


def arrays():
    return [np.arange(1, 5, dtype=np.float32), np.zeros(4, np.float32)]


def test_the_log_is_what_the_kernel_says():
    done, findings = steps(shift, 1, 4, arrays())
    assert findings == []
    assert [(s.phase, s.verb, s.array, s.element) for s in done if s.thread == 2] == [
        (0, "read", "x", 2),
        (0, "write", "s", 2),
        (1, "read", "s", 1),
        (1, "write", "y", 2),
    ]


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_the_log_calls_a_race_the_simulator_reports(kernel):
    done, findings = steps(kernel, 1, 4, arrays())
    assert bool(racing(done)) == ("race-in-block" in findings) == (kernel is not shift)


def test_the_races_are_all_there_are():
    races = racing(steps(hurried, 1, 4, arrays())[0])
    assert sorted(races) == [(0, "s", 0), (0, "s", 1), (0, "s", 2)]  # s[3] is its writer's alone
    assert sorted(racing(steps(last_wins, 1, 4, arrays())[0])) == [(0, "y", 0)]  # all of them write
    assert sorted(racing(steps(wrote_before_all_had_read, 1, 4, arrays())[0])) == [(1, "s", i) for i in range(4)]


def test_the_arrays_are_not_written():
    x, y = arrays()
    thread_grid(shift, 1, 4, [x, y])
    assert not y.any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_finding_is_that_of_the_data_and_a_race_is_seen_without_colour(kernel):
    picture = thread_grid(kernel, 1, 4, arrays())
    drawing = ET.fromstring(picture.svg)
    done, _ = steps(kernel, 1, 4, arrays())
    races = racing(done)
    hurt = {(s.phase, s.thread) for there in races.values() for s in there}
    assert f"{len(done)} accesses" in picture.alt
    if races:
        assert f"{len({t for _, t in hurt})} threads race for {len(races)} element" in picture.alt
    else:
        assert "no race" in picture.alt
    hatched = [r for r in drawing.iter(f"{SVG}rect") if r.get("fill", "").startswith("url(#")]
    assert len(hatched) == len(hurt)
    words = [t.text or "" for t in drawing.iter(f"{SVG}text")]
    assert bool(races) == any(w.endswith(" !") for w in words)
    assert words.count("barrier") == max(s.phase for s in done)
    shown = re.findall(r"url\(#(.*?)\)", picture.svg)
    assert set(shown) <= {p.get("id") for p in drawing.iter(f"{SVG}pattern")}
