def answers():
    """What a 2 x 2 state holds after two writes, and what it gives back."""
    return {
        "after_one": [[2, 3], [0, 0]],
        "after_two": [[2, 3], [4, 5]],
        "read_first": [2, 3],
        "read_both": [3, 4],
        "size": 4,
    }
