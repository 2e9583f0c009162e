def backward(root):
    """The gradient of root with respect to every value it was made from: {value: number}."""
    grads = {root: 1.0}
    for node in reversed(order(root)):
        for parent, slope in zip(node.parents, node.slopes):
            grads[parent] = grads.get(parent, 0.0) + slope * grads[node]
    return grads
