def order(root):
    done, seen = [root], {root}
    for node in done:
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                done.append(parent)
    return done[::-1]
