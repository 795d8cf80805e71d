"""A compressed trie of token sequences.

Edges hold runs of tokens, so a prompt shared by many requests is stored once and compared by slices. A sequence is
walked once: whoever needs it again keeps the node where it ends, and goes up from there. Nodes carry marks that the
prefix gate needs: `warm` (the engine has this in its cache), the requests that are prefilling it now, and how many
`users` keep the node. Marks always cover whole edges; inserting a sequence splits an edge where the sequence ends.
"""

from __future__ import annotations

from collections.abc import Iterator

Ids = tuple[int, ...]


class Node:
    """One edge and what follows it. `depth`: tokens from the root to its end."""

    __slots__ = ("children", "depth", "edge", "parent", "pending", "used", "users", "warm")

    def __init__(self, edge: Ids, parent: Node | None) -> None:
        self.edge = edge
        self.parent = parent
        self.depth: int = len(edge) + (parent.depth if parent is not None else 0)
        self.children: dict[int, Node] = {}
        self.warm = False
        self.pending: dict[object, None] = {}
        self.users = 0
        self.used = 0


class PrefixTrie:
    """Sequences of token ids by their prefixes. `tokens` counts distinct ones."""

    def __init__(self) -> None:
        self.root = Node((), None)
        self.root.warm = True
        self.tokens = 0

    def insert(self, ids: Ids, below: Node | None = None) -> Node:
        """The node at which `ids` ends, counted from the node `below` (the root); made if need be."""
        node, at = below or self.root, 0
        while at < len(ids):
            child = node.children.get(ids[at])
            if child is None:
                child = Node(ids[at:], node)
                node.children[ids[at]] = child
                self.tokens += len(child.edge)
            else:
                common = shared_length(child.edge, ids, at)
                if common < len(child.edge):
                    child = self._split(child, common)
            node, at = child, at + len(child.edge)
        return node

    def match(self, ids: Ids) -> Iterator[tuple[Node, int]]:
        """Nodes along `ids`, each with how many tokens of it match; only the last may match in part."""
        node, at = self.root, 0
        while at < len(ids):
            child = node.children.get(ids[at])
            if child is None:
                return
            common = shared_length(child.edge, ids, at)
            yield child, common
            if common < len(child.edge):
                return
            node, at = child, at + common

    def remove_leaf(self, leaf: Node) -> Node:
        """Take away a node without children; its parent, which was used whenever it was."""
        parent = leaf.parent
        assert parent is not None and not leaf.children
        del parent.children[leaf.edge[0]]
        parent.used = max(parent.used, leaf.used)
        self.tokens -= len(leaf.edge)
        return parent

    def nodes(self) -> Iterator[Node]:
        """Every node but the root, each after its parent."""
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    @staticmethod
    def _split(node: Node, at: int) -> Node:
        """Divide a node's edge; the new upper half, which inherits its marks. Who keeps the node still means its
        end.
        """
        parent = node.parent
        assert parent is not None
        upper = Node(node.edge[:at], parent)
        upper.warm, upper.used, upper.pending = node.warm, node.used, dict(node.pending)
        parent.children[upper.edge[0]] = upper
        node.edge, node.parent = node.edge[at:], upper
        upper.children[node.edge[0]] = node
        return upper


def shared_length(edge: Ids, ids: Ids, at: int) -> int:
    """How many tokens of `edge` equal those of `ids` from `at` on. Slices are compared, not single tokens."""
    most = min(len(edge), len(ids) - at)
    if edge[:most] == ids[at : at + most]:
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if edge[low:middle] == ids[at + low : at + middle]:
            low = middle
        else:
            high = middle
    return low
