"""The counters of check mode against counts by hand."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from minilinear.gpu import sim

CORRECT = (Path(__file__).parent / "correct.cu").read_text("utf-8")
NAMES = [
    "one_turn_or_two",
    "shared_vectors",
    "strided",
    "grid_stride",
    "two_sums",
    "warp_prefix",
    "histogram",
    "optional",
    "copy",
]
NAMES += [f"transpose<{tile}, {pad}>" for tile in (16, 32) for pad in (0, 1)]

f32, i32 = np.float32, np.int32


@pytest.fixture(scope="module", params=[c for c in ("g++", "clang++") if shutil.which(c)])
def launch(request):
    """Counters of one launch of a kernel of correct.cu."""
    program = sim.compile(CORRECT, NAMES, file="correct.cu", check=True, compiler=request.param)
    return lambda *given, **options: program.launch(*given, **options).counters


def floats(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(f32)


@pytest.mark.parametrize("stride", [1, 2, 8, 16])
def test_lanes_that_stand_apart_touch_more_sectors(launch, stride):
    blocks, threads = 2, 64
    n = blocks * threads
    counted = launch("strided", blocks, threads, [floats(n * stride), np.zeros(n, f32), i32(stride)])
    assert counted.global_reads == counted.global_writes == n
    assert counted.global_read_bytes == counted.global_write_bytes == 4 * n
    # 8 floats to a sector of 32 bytes; beyond a stride of 8 each has its own.
    assert counted.global_read_sectors == n * min(stride, 8) // 8
    assert counted.global_read_sectors_least == n // 8
    assert counted.global_write_sectors == counted.global_write_sectors_least == n // 8
    assert counted.coalescing == pytest.approx(2 / (1 + min(stride, 8)))


def test_all_lanes_read_one_element(launch):
    counted = launch("strided", 1, 32, [floats(1), np.zeros(32, f32), i32(0)])
    assert (counted.global_reads, counted.global_read_sectors, counted.global_read_sectors_least) == (32, 1, 1)


def test_vectors_are_one_access_of_16_bytes(launch):
    counted = launch("grid_stride", 2, 32, [floats(400), np.zeros(400, f32), i32(100)])
    assert (counted.global_reads, counted.global_read_bytes) == (100, 1600)
    assert (counted.global_writes, counted.global_write_bytes) == (100, 1600)
    # Block 0 makes 32 and then 32 more, block 1 makes 32 and then 4: 512 bytes to a full warp, 64 to the last.
    assert counted.global_read_sectors == counted.global_read_sectors_least == 3 * 16 + 2


def test_lanes_that_leave_a_loop_early_are_grouped_turn_by_turn(launch):
    counted = launch("grid_stride", 1, 64, [floats(400), np.zeros(400, f32), i32(100)])
    assert counted.global_read_sectors == 16 + 16 + 16 + 2
    assert counted.warps["global_read_sectors"] == [16 + 16, 16 + 2]
    counted = launch("one_turn_or_two", 1, 32, [floats(32), np.zeros(32, f32)])
    # All lanes read 4 sectors; then the odd ones read them again, half of each.
    assert (counted.global_read_sectors, counted.global_read_sectors_least) == (4 + 4, 4 + 2)


@pytest.mark.parametrize(
    ("tile", "pad", "writing", "reading"),
    [
        (32, 0, 0, 31),  # a column is 32 words, 32 apart: all in one bank
        (32, 1, 0, 0),  # 33 apart: each in its own
        (16, 0, 0, 7),  # a warp reads two columns of 16 words, 16 apart: each column 8 times in each of two banks
        (16, 1, 1, 1),  # two rows of 16 lie over 33 words; so do the banks of two columns: the first meets the last
    ],
)
def test_a_column_of_a_tile_lies_in_one_bank_unless_it_is_padded(launch, tile, pad, writing, reading):
    x, y = floats(32, 32), np.zeros((32, 32), f32)
    counted = launch(f"transpose<{tile}, {pad}>", (32 // tile, 32 // tile), (tile, tile), [x, y, i32(32)])
    np.testing.assert_array_equal(y, x.T)
    blocks, warps = (32 // tile) ** 2, tile * tile // 32
    assert counted.shared_accesses == 2 * warps * blocks
    assert counted.shared_replays == (writing + reading) * warps * blocks
    assert counted.shared_reads == counted.shared_writes == 1024
    assert counted.barriers == blocks


@pytest.mark.parametrize(("stride", "replays"), [(1, 0), (2, 1)])
def test_vectors_of_16_bytes_are_read_by_a_quarter_of_a_warp_at_a_time(launch, stride, replays):
    counted = launch("shared_vectors", 1, 32, [floats(128), np.zeros(128, f32), i32(stride)])
    # 8 lanes read 32 words: side by side in 32 banks, or with gaps between them in 16 banks, twice in each.
    assert (counted.shared_accesses, counted.shared_replays) == (3, 4 * replays)


def test_shuffles_and_barriers(launch):
    counted = launch("two_sums", 2, 128, [floats(128), np.zeros(256, f32)])
    # 2 blocks, 2 sums in each: 5 shuffles in each of 4 warps, 2 barriers.
    assert (counted.shuffles, counted.barriers, counted.warp_syncs) == (2 * 2 * 5 * 4, 2 * 2 * 2, 0)
    assert counted.warps["shuffles"] == [20, 20, 20, 20]
    assert counted.shared_writes == 2 * 2 * 4 and counted.shared_reads == 2 * 2 * 4 * 128
    assert counted.shared_replays == 0  # all lanes read one word: it is handed to all of them
    assert launch("warp_prefix", 1, 64, [floats(64), np.zeros(64, f32)]).warp_syncs == 2 * 6


def test_atomic_operations_count_by_themselves(launch):
    x = np.arange(200, dtype=i32) % 16
    y = np.zeros(16, i32)
    counted = launch("histogram", 2, 64, [x, y, i32(200)])
    assert y.sum() == 200
    assert (counted.shared_atomics, counted.global_atomics) == (200, 2 * 16)
    assert (counted.global_reads, counted.global_writes) == (200, 0)


def test_what_each_thread_and_each_warp_did_adds_up(launch):
    counted = launch("histogram", 2, 64, [np.arange(200, dtype=i32) % 16, np.zeros(16, i32), i32(200)])
    per_thread = dataclasses.asdict(counted)["threads"]
    assert all(len(rows) == 64 and sum(rows) == getattr(counted, name) for name, rows in per_thread.items())
    assert all(len(rows) == 2 and sum(rows) == getattr(counted, name) for name, rows in counted.warps.items())
    assert counted.threads["global_reads"] == [4 if i < 8 else 3 for i in range(64)]
    json.dumps(dataclasses.asdict(counted))


def test_the_order_of_the_lanes_changes_no_count(launch):
    counts = [
        launch("transpose<16, 1>", (2, 2), (16, 16), [floats(32, 32), np.zeros((32, 32), f32), i32(32)], seed=s)
        for s in (None, 1, 2)
    ]
    assert counts[0] == counts[1] == counts[2]


def test_nothing_is_counted_without_check_mode():
    program = sim.compile(CORRECT, ["copy"])
    assert program.launch("copy", 1, 32, [floats(32), np.zeros(32, f32), i32(32)]).counters.global_reads == 0
