def answers():
    """Two pairs whose keys overlap, and what each key brings back."""
    return {"overlap": 0.6, "read_k1": [2, 3], "read_k2": [1.2, 5], "harmless": "b", "room": 3}
