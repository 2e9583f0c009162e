"""The groups are groups, the words' targets are their products, and a wrong table is named where it is wrong."""

import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from minilinear.errors import ConfigError, ShapeError
from minilinear.randomness import stream
from minilinear.tasks import GroupWords, accuracy, from_file, from_table, group, task, task_from_config
from minilinear.tasks.groups import EXAMPLES, alternating, cyclic, dihedral, symmetric

SMALL = ["s1", "s2", "s3", "s4", "a1", "a2", "a3", "a4", "z1", "z2", "z7", "d1", "d2", "d3", "d4", "d5"]
ORDERS = {"s1": 1, "s2": 2, "s3": 6, "s4": 24, "s5": 120, "s6": 720}
ORDERS |= {"a1": 1, "a2": 1, "a3": 3, "a4": 12, "a5": 60, "a6": 360}
ORDERS |= {"z1": 1, "z60": 60, "z1000": 1000, "d1": 2, "d4": 8, "d500": 1000}
KLEIN = [[a ^ b for b in range(4)] for a in range(4)]


@pytest.mark.parametrize("name", SMALL)
def test_the_axioms_hold_for_every_triple(name):
    t, n = group(name).table.tolist(), group(name).order
    every = range(n)
    assert all(0 <= t[a][b] < n for a in every for b in every)
    assert all(t[t[a][b]][c] == t[a][t[b][c]] for a in every for b in every for c in every)
    e = group(name).identity
    assert all(t[e][a] == t[a][e] == a for a in every)
    assert all(any(t[a][b] == t[b][a] == e for b in every) for a in every)


@pytest.mark.parametrize("name", [*EXAMPLES, "a6", "z60", "d30"])
def test_the_larger_ones_pass_the_check_for_given_tables(name):
    assert (from_table(group(name).table).table == group(name).table).all()


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_the_orders_are_known(name, order):
    made = group(name)
    assert (made.order, made.table.shape, len(set(made.labels))) == (order, (order, order), order)
    assert made.identity == 0


def element_orders(g) -> dict[int, int]:
    """How many elements return to the identity after so many steps."""
    counts = {}
    for a in range(g.order):
        p, steps = a, 1
        while p != g.identity:
            p, steps = g.table[p, a], steps + 1
        counts[steps] = counts.get(steps, 0) + 1
    return counts


def test_their_elements_have_the_known_orders():
    assert element_orders(symmetric(3)) == element_orders(dihedral(3)) == {1: 1, 2: 3, 3: 2}
    assert element_orders(symmetric(4)) == {1: 1, 2: 9, 3: 8, 4: 6}
    assert element_orders(alternating(5)) == {1: 1, 2: 15, 3: 20, 5: 24}
    assert element_orders(dihedral(4)) == {1: 1, 2: 5, 4: 2}
    assert element_orders(cyclic(6)) == {1: 1, 2: 1, 3: 2, 6: 2}


def isomorphic(g, h) -> bool:
    return any((np.array(f)[g.table] == h.table[np.ix_(f, f)]).all() for f in itertools.permutations(range(h.order)))


def test_a_triangle_has_all_permutations_of_its_corners_and_a_hexagonal_count_does_not():
    assert isomorphic(dihedral(3), symmetric(3))
    assert isomorphic(alternating(3), cyclic(3))
    assert isomorphic(dihedral(2), from_table(KLEIN))
    assert not isomorphic(cyclic(6), symmetric(3))


def images(label: str, n: int) -> list[int]:
    """Where a permutation in cycle notation takes 0 .. n-1."""
    to = list(range(n))
    for cycle in re.findall(r"\(([\d ]+)\)", label):
        letters = [int(letter) - 1 for letter in cycle.split()]
        for i, j in zip(letters, letters[1:] + letters[:1]):
            to[i] = j
    return to


def test_a_product_of_permutations_is_first_the_left_one_then_the_right_one():
    g = symmetric(4)
    to = [images(label, 4) for label in g.labels]
    for a, b in itertools.product(range(24), repeat=2):
        assert to[g.table[a, b]] == [to[b][to[a][i]] for i in range(4)]


def test_as_matrices_the_newest_letter_stands_on_the_left():
    g = symmetric(3)
    matrix = np.eye(3)[[images(label, 3) for label in g.labels]].transpose(0, 2, 1)  # matrix[a] e_i = e_a(i)
    word = stream(0, "word").integers(6, size=20)
    state = np.eye(3)
    for letter, product in zip(word, g.running_product(word[None])[0]):
        state = matrix[letter] @ state
        assert (state == matrix[product]).all()


def test_the_labels_can_be_read():
    assert symmetric(3).labels == ("e", "(2 3)", "(1 2)", "(1 2 3)", "(1 3 2)", "(1 3)")
    assert "(1 2)(3 4)" in alternating(4).labels
    assert cyclic(3).labels == ("0", "1", "2")
    assert dihedral(2).labels == ("r^0", "r^1", "s r^0", "s r^1")
    d, at = dihedral(5), dihedral(5).labels.index
    assert d.table[at("s r^0"), at("r^2")] == at("s r^2")
    assert d.table[at("r^2"), at("s r^0")] == at("s r^3")


@pytest.mark.parametrize("name", ["s3", "d4", "z2", "a5"])
def test_the_targets_are_the_products_of_the_letters_so_far(name):
    words = GroupWords(group(name))
    inputs, targets = words.evaluation(stream(0, "words"), 40, 5)
    assert inputs.shape == targets.shape == (5, 41)
    assert inputs.dtype == targets.dtype == np.int64
    assert (inputs[:, 0] == words.vocabulary.index("<bos>")).all()
    assert (targets[:, 0] == -1).all()
    for row in range(5):
        p = words.group.identity
        for t in range(1, 41):
            p = words.group.table[p, inputs[row, t]]
            assert targets[row, t] == p


def test_parity_is_the_words_of_z2():
    inputs, targets = task("z2").batch(stream(0, "words"), 64)
    assert (targets[:, 1:] == np.cumsum(inputs[:, 1:], axis=1) % 2).all()


def test_an_identity_that_is_not_the_first_element_begins_the_product():
    shifted = [[(a + b + 1) % 3 for b in range(3)] for a in range(3)]  # Z_3 with 2 as the identity
    words = GroupWords(from_table(shifted))
    assert words.group.identity == 2
    inputs, targets = words.evaluation(stream(0, "words"), 6, 4)
    assert (inputs[:, 1] == targets[:, 1]).all()


def test_lengths_are_drawn_from_the_shortest_to_the_longest_both_included():
    words = task("s3", lengths=(3, 6))
    assert {words.batch(stream(0, "batch", step), 2)[0].shape[1] - 1 for step in range(60)} == {3, 4, 5, 6}
    assert task("s3", lengths=[4, 4]).batch(stream(0, "batch"), 2)[0].shape == (2, 5)


def test_letters_and_products_are_equally_frequent():
    inputs, targets = task("s3").evaluation(stream(0, "words"), 50, 2000)
    for tokens in (inputs[:, 1:], targets[:, 1:]):
        assert np.allclose(np.bincount(tokens.ravel(), minlength=6) / tokens.size, task("s3").chance, atol=0.005)


def test_another_process_draws_the_same_batch():
    code = (
        "from minilinear.tasks import task; from minilinear.randomness import stream;"
        "x, y = task('a5').batch(stream(1, 'batch', 9), 8); print(x.tolist(), y.tolist(), sep='\\n')"
    )
    environment = os.environ | {"PYTHONHASHSEED": "5"}
    drawn = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment)
    inputs, targets = task("a5").batch(stream(1, "batch", 9), 8)
    assert drawn.stdout.splitlines() == [str(inputs.tolist()), str(targets.tolist())]


def test_the_table_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        group("s3").table[0, 0] = 1


# Accuracy.


def test_accuracy_counts_what_has_a_target():
    targets = np.array([[-1, 1, 2, 3], [-1, 1, 1, -1], [-1, -1, -1, -1]])
    predictions = np.array([[-1, 1, 0, 3], [0, 1, 0, -1], [-1, 0, 0, 0]])
    assert accuracy(predictions, targets) == {"mean": 3 / 5, "last": 1 / 2}
    assert accuracy(targets, targets) == {"mean": 1.0, "last": 1.0}


def test_accuracy_refuses_logits_and_nothing_to_count():
    with pytest.raises(ShapeError, match=r"argmax\(-1\)"):
        accuracy(np.zeros((2, 3, 5)), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"\(2, 4\)"):
        accuracy(np.zeros((2, 4)), np.zeros((2, 3)))
    with pytest.raises(ConfigError, match="negative targets"):
        accuracy(np.zeros((2, 3)), -np.ones((2, 3)))


# Names and tables that are not groups.


@pytest.mark.parametrize("name", ["q8", "s", "3s", "s-3", "s3.5", "s٣", ""])
def test_an_unknown_name_lists_examples(name):
    with pytest.raises(ConfigError, match="s3, s4, s5, a4, a5, z2, z7, d4"):
        group(name)


@pytest.mark.parametrize("name", ["s7", "a7", "z1001", "d501", "s999999999"])
def test_too_large_a_group_is_refused_at_once(name):
    with pytest.raises(ConfigError, match=rf"at most 1000 elements(.|\n)*{name}"):
        group(name)


def test_the_number_zero_is_refused():
    with pytest.raises(ConfigError, match=r"1 or more(.|\n)*z0"):
        group("z0")


@pytest.mark.parametrize("lengths", [(5, 2), (0, 3), (3,), (1, 2, 3), 7, (1.0, 2), "35"])
def test_lengths_are_two_numbers_in_order(lengths):
    with pytest.raises(ConfigError, match="shortest and the longest"):
        GroupWords(group("s3"), lengths)


def test_a_word_has_a_letter():
    with pytest.raises(ConfigError, match="at least one letter"):
        task("s3").evaluation(stream(0, "words"), 0, 2)


def swapped(table: list[list[int]], row: int, i: int, j: int) -> list[list[int]]:
    """The table with two entries of one row exchanged: still closed, and no longer a group's."""
    table = [list(each) for each in table]
    table[row][i], table[row][j] = table[row][j], table[row][i]
    return table


S3 = symmetric(3).table.tolist()
LOOP = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]  # each is its own inverse


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0, 1], [1, 2]], r"one of the elements 0 .. 1(.|\n)*got: 1 \* 1 = 2"),
        ([[0, 1], [-1, 0]], r"got: 1 \* 0 = -1"),
        ([[0, 1], [1, 0.0]], r"got: 1 \* 1 = 0.0"),
        ([[0, 1], [1, True]], r"got: 1 \* 1 = True"),
        ([[0, 1], [1, "x"]], r"got: 1 \* 1 = 'x'"),
        ([[0, 1], [1]], r"2 rows have 2 products each(.|\n)*row 1: \[1\]"),
        ([[0, 1], 1], "row 1: 1"),
        ([], r"1 to 1000 rows(.|\n)*\[\]"),
        ({"table": KLEIN}, "1 to 1000 rows(.|\n)*'table'"),
        ([[0]] * 1001, "got: 1001 rows"),
        ([[0, 0], [1, 1]], r"e \* a = a \* e"),
        ([[0, 1], [0, 1]], r"e \* a = a \* e"),
        ([[1, 0], [1, 0]], r"e \* a = a \* e"),
        ([[0, 1], [1, 1]], "inverse(.|\n)*no inverse of 1"),
        ([[0, 1, 2], [1, 1, 0], [2, 2, 0]], "inverse(.|\n)*no inverse of 1"),  # 1 * 2 = 0, but 2 * 1 = 2
        (LOOP, r"\(1 \* 1\) \* 2 = 2 but 1 \* \(1 \* 2\) = 4"),
        (np.array(S3, dtype=float), "got: 0 . 0 = 0.0"),
    ],
)
def test_the_first_violation_of_a_table_is_named(table, message):
    with pytest.raises(ConfigError, match=message):
        from_table(table)


@pytest.mark.parametrize(("row", "i", "j"), [(r, i, j) for r in range(6) for i in range(6) for j in range(i)])
def test_two_products_exchanged_never_pass(row, i, j):
    with pytest.raises(ConfigError, match="In a group's table"):
        from_table(swapped(S3, row, i, j))


def test_the_named_triple_is_the_first_one():
    triples = itertools.product(range(5), repeat=3)
    first = next((a, b, c) for a, b, c in triples if LOOP[LOOP[a][b]][c] != LOOP[a][LOOP[b][c]])
    with pytest.raises(ConfigError, match=r"\({} \* {}\) \* {} =".format(*first)):
        from_table(LOOP)


def test_a_given_table_may_not_take_a_built_in_name():
    with pytest.raises(ConfigError, match="s3 is taken"):
        from_table(KLEIN, name="s3")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("klein.json", json.dumps(KLEIN).encode()),
        ("klein.json", b"\xef\xbb\xbf \n" + json.dumps(KLEIN, indent=1).encode()),
        ("klein.csv", b"0,1,2,3\n1,0,3,2\n2,3,0,1\n3,2,1,0\n"),
        ("klein.csv", b'\xef\xbb\xbf0, 1,2 ,3\r\n1,0,3,2\r\n"2","3",0,1\r\n\r\n3,2,1,0'),
    ],
)
def test_a_table_is_read_from_json_and_csv(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert from_file(tmp_path / name).table.tolist() == KLEIN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[[0, 1], [1, 0]", "text file, JSON or CSV(.|\n)*line 1"),
        (b"\xff\xfe0,1", "text file, JSON or CSV(.|\n)*utf-8"),
        (b"[" * 100_000, "text file, JSON or CSV"),
        (b"[[" + b"9" * 5000 + b"]]", "text file, JSON or CSV"),
        (b"", "1 to 1000 rows"),
        (b"0;1\n1;0\n", "row 0: .'0;1'."),
        (b"e,a\na,e\n", "0 . 0 = 'e'"),
    ],
)
def test_a_file_that_holds_no_table_says_why(tmp_path, content, message):
    (tmp_path / "table").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        from_file(tmp_path / "table")


def test_a_missing_table_and_a_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=rf"{re.escape(str(tmp_path))}.none.json"):
        from_file(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="text file, JSON or CSV"):
        from_file(tmp_path)


# The table of tasks.


def test_a_task_is_made_again_from_its_config(tmp_path):
    (tmp_path / "klein.json").write_text(json.dumps(KLEIN))
    for made in (task("s3", lengths=(3, 40)), task("Z12"), task("words", table=tmp_path / "klein.json")):
        config = json.loads(json.dumps(made.config()))
        (tmp_path / "klein.json").unlink(missing_ok=True)
        again = task_from_config(config)
        assert again.config() == config
        assert again.vocabulary == made.vocabulary
        for x, y in zip(made.batch(stream(0, "batch"), 4), again.batch(stream(0, "batch"), 4)):
            assert (x == y).all()


def test_a_task_that_is_no_longer_the_same_is_refused():
    config = task("s3").config() | {"table_sha256": "0" * 64}
    with pytest.raises(ConfigError, match=r"the one that the run began with(.|\n)*table_sha256"):
        task_from_config(config)


def test_an_unknown_task_or_option_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r's3, s4, s5, a4, a5, z2, z7, d4, words, text(.|\n)*"words" with table'):
        task("mnist")
    with pytest.raises(ConfigError, match=r"s3 takes: lengths(.|\n)*file"):
        task("s3", file="x")
    with pytest.raises(ConfigError, match=r"words takes: table, lengths(.|\n)*'table'"):
        task("words")


@pytest.mark.parametrize("name", [*EXAMPLES, "text"])
def test_every_task_names_its_preset_and_its_distinct_tokens(name):
    made = task(name)
    assert made.preset == ("language" if name == "text" else "state_tracking")
    assert len(set(made.vocabulary)) == len(made.vocabulary)
    for inputs, targets in (made.batch(stream(0, "batch"), 3), made.evaluation(stream(0, "test"), 20, 3)):
        assert inputs.shape == targets.shape
        assert inputs.min() >= 0
        assert max(inputs.max(), targets.max()) < len(made.vocabulary)
