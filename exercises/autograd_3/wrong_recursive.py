def order(root):
    done, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for parent in node.parents:
                visit(parent)
            done.append(node)

    visit(root)
    return done
