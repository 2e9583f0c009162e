def token(bit):
    """q, k, v and beta of one bit: the delta rule then counts the ones modulo 2."""
    return 0.5, 1.0, 1.0, 2.0 * bit
