def backward(root):
    grads, queue = {root: 1.0}, [root]
    for node in queue:
        for parent, slope in zip(node.parents, node.slopes):
            grads[parent] = grads.get(parent, 0.0) + slope * grads[node]
            if parent not in queue:
                queue.append(parent)
    return grads
