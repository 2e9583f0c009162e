def derivative(y, x):
    """dy/dx: for every path from y down to x the product of its slopes, all added."""
    if y is x:
        return 1.0
    return sum(slope * derivative(parent, x) for parent, slope in zip(y.parents, y.slopes))
