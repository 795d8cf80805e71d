"""A compressed trie of token sequences.

Edges hold runs of tokens, so a prompt shared by many requests is stored once and compared by slices. Nodes carry two
marks that the prefix gate needs: `warm` (the engine has this in its cache) and the requests that are prefilling it
now. Marks always cover whole edges; inserting a sequence splits an edge where the sequence ends.
"""

from __future__ import annotations

from collections.abc import Iterator

Ids = tuple[int, ...]


class Node:
    """One edge and what follows it."""

    __slots__ = ("children", "edge", "parent", "pending", "used", "warm")

    def __init__(self, edge: Ids, parent: Node | None) -> None:
        self.edge = edge
        self.parent = parent
        self.children: dict[int, Node] = {}
        self.warm = False
        self.pending: dict[object, None] = {}
        self.used = 0


class PrefixTrie:
    """Sequences of token ids by their prefixes. `tokens` counts distinct ones."""

    def __init__(self) -> None:
        self.root = Node((), None)
        self.root.warm = True
        self.tokens = 0

    def insert(self, ids: Ids) -> list[Node]:
        """Make sure that `ids` ends at a node; the nodes from the root's child to there."""
        path: list[Node] = []
        node, at = self.root, 0
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
            path.append(child)
            node, at = child, at + len(child.edge)
        return path

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

    def remove_leaf(self, leaf: Node) -> Node | None:
        """Take away a node without children; its parent."""
        parent = leaf.parent
        assert parent is not None and not leaf.children
        del parent.children[leaf.edge[0]]
        self.tokens -= len(leaf.edge)
        return parent

    def leaves(self) -> Iterator[Node]:
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            if node.children:
                stack.extend(node.children.values())
            else:
                yield node

    @staticmethod
    def _split(node: Node, at: int) -> Node:
        """Divide a node's edge; the new upper half, which inherits its marks."""
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
