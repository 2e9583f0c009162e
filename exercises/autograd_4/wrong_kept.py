def backward(root):
    root.grad = 1.0
    for node in reversed(order(root)):
        for parent, slope in zip(node.parents, node.slopes):
            parent.grad = getattr(parent, "grad", 0.0) + slope * node.grad
    return {node: node.grad for node in order(root)}
