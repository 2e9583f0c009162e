"""Pictures are well-formed, hold every number they were given, and no two labels lie on each other."""

import cmath
import math
import re
import xml.etree.ElementTree as ET

import pytest

from minilinear.svg import COLOURS, heat_maps, line_chart, planes, spread, tracks, width

SVG = "{http://www.w3.org/2000/svg}"
NAN = float("nan")


def parsed(picture):
    """The picture's root; every number in it is one, and nothing lies outside."""
    root = ET.fromstring(picture)
    _, _, across, down = map(float, root.get("viewBox").split())
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not re.search(r"\b(nan|inf)\b", value.lower()), (element.tag, name, value)
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("x"):
            x, y, w, h = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
            assert x >= 0 and x + w <= across + 0.5 and y >= 0 and y + h <= down + 0.5
    return root


def boxes(root, found=None, shift=(0.0, 0.0), turned=False):
    """Where each text lies, roughly: (left, top, right, bottom, words)."""
    found = [] if found is None else found
    for element in root:
        if element.tag == f"{SVG}g":
            x, y, turn = re.fullmatch(r"translate\((\S+) (\S+)\) rotate\((\S+)\)", element.get("transform")).groups()
            assert float(turn) == -90
            boxes(element, found, (float(x), float(y)), True)
        elif element.tag == f"{SVG}text":
            size, words = float(element.get("font-size")), element.text or ""
            long = width(words, int(size), bold=element.get("font-weight") == "bold")
            begin = {"start": 0, "middle": -long / 2, "end": -long}[element.get("text-anchor")]
            x, y = float(element.get("x")), float(element.get("y"))
            if turned:  # right becomes up
                left, bottom = shift[0] + y - 0.75 * size, shift[1] - x - begin
                found.append((left, bottom - long, left + size, bottom, words))
            else:
                found.append((x + begin, y - 0.75 * size, x + begin + long, y + 0.2 * size, words))
    return found


def check_labels(root):
    _, _, across, down = map(float, root.get("viewBox").split())
    every = boxes(root)
    for box in every:
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= across + 1 and box[3] <= down, box
    for i, a in enumerate(every):
        for b in every[:i]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart, (a, b)


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


# Heat maps.

COLUMNS = ["<bos>", "(1 2 3)", "a&b", "e", "x"]


def heat(rows, columns=COLUMNS, **panels):
    return heat_maps({"head 1": rows, **panels}, columns=columns, title="t < u", x="tokens", y="entries")


def cells(root):
    return [r for r in root.iter(f"{SVG}rect") if r.get("fill", "").startswith("#") and r.get("height") is not None]


def test_a_heat_map_has_a_cell_for_each_number_and_one_scale_for_all():
    root = parsed(heat([[1.0, -2.0, 0.0, 0.5, NAN], [0, 0, 0, 0, 1]], other=[[-4.0, 0, 0, 0, 0]]))
    drawn = [r for r in root.iter(f"{SVG}rect") if "." in (r.get("x") or "") and r.get("width") != "14"]
    shades = [r.get("fill") for r in drawn[:15]]
    mixed = lambda part, end: (
        "#" + "".join(f"{round(255 + part * (int(end[i : i + 2], 16) - 255)):02x}" for i in (1, 3, 5))
    )
    blue, orange = COLOURS[:2]
    assert shades[:5] == [mixed(0.25, orange), mixed(0.5, blue), "#ffffff", mixed(0.125, orange), "#bbbbbb"]
    assert shades[10] == blue
    xs = [float(r.get("x")) for r in drawn[:5]]
    assert xs == sorted(xs) and len(set(xs)) == 5
    assert len({r.get("y") for r in drawn[:15]}) == 3
    assert {"4", "0", "-4", "head 1", "other", "tokens", "entries", "t < u", *COLUMNS} <= set(texts(root))


def test_a_heat_map_of_lengths_begins_at_zero():
    assert "-2" not in texts(parsed(heat([[0.0, 1, 2, 1, 0]])))


@pytest.mark.parametrize("rows", [1, 4, 16, 64, 300])
@pytest.mark.parametrize("T", [1, 5, 24, 100])
def test_labels_of_a_heat_map_do_not_overlap(rows, T):
    columns = [COLUMNS[t % 5] * (1 + t % 3) for t in range(T)]
    panels = {f"head {h}": [[math.sin(t * i + h) for t in range(T)] for i in range(rows)] for h in range(3)}
    check_labels(parsed(heat_maps(panels, columns=columns, title="title", x="tokens", y="lengths of the rows of S")))
    one = {"head 1": panels["head 1"]}
    check_labels(parsed(heat_maps(one, columns=columns, title="title", x="tokens", y="lengths of the rows of S")))


@pytest.mark.parametrize("rows", [[], [[]], [[0.0] * 5], [[NAN] * 5]])
def test_empty_heat_maps_are_pictures_too(rows):
    parsed(heat(rows, columns=[] if rows in ([], [[]]) else COLUMNS))


# Tracks.


def test_tracks_go_through_their_numbers():
    picture = tracks(
        {"alpha": {"head 1": [0.0, 1.0, 0.5], "head 2": [1, NAN, 0]}, "beta": {"head 1": [0, 2, 1]}},
        columns=["a", "b", "c"], title="gates", x="tokens", y_ranges={"alpha": (0, 1), "beta": (0, 2)},
    )  # fmt: skip
    root = parsed(picture)
    paths = [p for p in root.iter(f"{SVG}path") if p.get("fill") == "none"]
    assert [p.get("stroke") for p in paths] == [COLOURS[0], COLOURS[1], COLOURS[0]]
    points = [[tuple(map(float, point.split())) for point in p.get("d")[1:].split("L")] for p in paths]
    (x0, y0), (x1, y1), (x2, y2) = points[0]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 > y2 > y1  # up is more
    assert y2 == pytest.approx((y0 + y1) / 2, abs=0.2)
    assert len(points[1]) == 2  # what is not finite is left out
    assert points[2][1][1] > max(y for _, y in points[0])  # the second panel lies below
    grid = [float(p.get("d").split()[1].split("H")[0]) for p in root.iter(f"{SVG}path") if p.get("stroke") == "#dddddd"]
    assert y0 in grid and y1 in grid
    assert {"alpha", "beta", "head 1", "head 2", "a", "tokens", "2", "1"} <= set(texts(root))
    check_labels(root)


def test_many_names_have_a_legend_in_lines():
    lines = {f"a rather long name {i}": [0.1 * i, 0.2] for i in range(8)}
    root = parsed(tracks({"g": lines}, columns=["a", "b"], title="t", x="x", y_ranges={"g": (-1, 1)}))
    check_labels(root)
    assert set(lines) <= set(texts(root))


# Planes.


def circles(root):
    return [[float(c.get(name)) for name in ("cx", "cy", "r")] + [c.get("fill")] for c in root.iter(f"{SVG}circle")]


def test_points_lie_where_they_are_in_the_plane():
    root = parsed(planes({"head 1": {"0": [1 + 0j, 1.001 + 0j, 0.5j], "1": [-1 + 0j, complex(NAN, 0)]}}, title="t"))
    unit, *points = circles(root)
    cx, cy, r = unit[:3]
    assert unit[3] == "none" and len(points) == 3
    largest, *rest = points  # the largest lies below
    assert largest[2] > rest[0][2] == rest[1][2]
    assert largest[:2] == pytest.approx([cx + r, cy], abs=0.2) and largest[3] == COLOURS[0]
    assert sorted([x, y, fill] for x, y, _, fill in rest) == [
        [pytest.approx(cx - r, abs=0.2), pytest.approx(cy, abs=0.2), COLOURS[1]],
        [pytest.approx(cx, abs=0.2), pytest.approx(cy - 0.5 * r, abs=0.2), COLOURS[0]],
    ]
    assert {"0", "1", "head 1", "real part", "imaginary part", "-1i", "1i", "-1"} <= set(texts(root))


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 5, 8])
def test_labels_of_planes_do_not_overlap_and_all_points_are_inside(heads):
    group = {f"token {i}": [cmath.rect(1.5, i + t) for t in range(6)] for i in range(7)}
    root = parsed(planes({f"head {h}": group for h in range(heads)}, title="a title"))
    check_labels(root)
    _, _, across, down = map(float, root.get("viewBox").split())
    every = circles(root)
    assert len([c for c in every if c[3] == "none"]) == heads
    assert all(r <= x <= across - r and r <= y <= down - r for x, y, r, _ in every)


def test_a_plane_is_as_large_as_its_points():
    root = parsed(planes({"head 1": {"a": [2 + 0j]}}, title="t"))
    (cx, _, r, _), (x, *_) = circles(root)
    (axes,) = [p.get("d") for p in root.iter(f"{SVG}path")]
    assert x == pytest.approx(cx + 2 * r, abs=0.2)
    assert x < cx + float(re.search(r"h([\d.]+)", axes)[1]) / 2


def test_planes_without_points():
    parsed(planes({"head 1": {}}, title=""))
    parsed(planes({}, title=""))


# Line charts.


def test_labels_at_the_ends_of_curves_keep_apart():
    lines = {f"curve {i}": [(1.0, 0.2 * i), (2.0, 0.5 + 0.001 * i)] for i in range(6)}
    root = parsed(line_chart(lines, title="t", x="x", y="a name of the axis", y_range=(0, 1)))
    check_labels(root)
    shown = [words for words in texts(root) if words.startswith("curve")]
    assert sorted(shown) == sorted(lines)


def test_long_names_and_long_numbers_have_room():
    lines = {"gated_delta_product": [(1, 4.8125), (2, 4.67)], "guessing": [(1, 4.75), (2, 4.7)]}
    check_labels(parsed(line_chart(lines, title="t", x="position", y="bits per character")))


def test_what_is_not_finite_is_left_out():
    root = parsed(line_chart({"loss": [(1, 2.0), (2, NAN), (3, 1.0)], "b": [(1, NAN)]}, title="", x="", y=""))
    (path,) = [p for p in root.iter(f"{SVG}path") if p.get("fill") == "none"]
    assert path.get("d").count("L") == 1


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([10.0, 50.0], [10.0, 50.0]),
        ([50.0, 10.0], [50.0, 10.0]),
        ([10.0, 10.0], [2.5, 17.5]),
        ([10.0, 12.0, 11.0], [-4.0, 26.0, 11.0]),
        ([0.0, 1.0, 30.0, 15.0], [-11.0, 4.0, 34.0, 19.0]),
    ],
)
def test_spread(places, wanted):
    assert spread(places) == pytest.approx(wanted)
