def order(root):
    done, seen, stack = [], set(), [root]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            done.append(node)
            stack.extend(node.parents)
    return done[::-1]
