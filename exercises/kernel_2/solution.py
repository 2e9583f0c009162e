def answers():
    """Where a thread stands, and where a number lies."""
    T, H, K = 3, 4, 8  # and B = 2, which no index needs
    blocks = -(-1000 // 128)  # rounded up
    return {
        "element": 3 * 64 + 5,
        "blocks": blocks,
        "idle": blocks * 128 - 1000,
        "flat": 2 * 6 + 3,
        "back": [17 // 6, 17 % 6],
        "four": ((1 * T + 2) * H + 0) * K + 5,
        "step": H * K,
        "sectors": [8 * 4 // 32, 8],
    }
