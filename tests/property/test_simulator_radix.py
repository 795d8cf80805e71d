"""The simulated prefix cache against a model that keeps plain tuples and looks through all of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.backends.simulator.radix import ID_BYTES, Node, RadixCache, packed

Ids = tuple[int, ...]

sequences = st.lists(st.sampled_from([1, 2, 300, 1 << 31]), max_size=12).map(tuple)
operations = st.lists(
    st.tuples(st.sampled_from(["match", "insert", "lock", "unlock", "evict"]), sequences), max_size=40
)


class Pages:
    """Every page that is kept, named by the sequence up to its end, with when it was last used."""

    def __init__(self, page: int) -> None:
        self.page = page
        self.kept: dict[Ids, int] = {}
        self.now = 0

    def pages(self, ids: Ids) -> list[Ids]:
        return [ids[:end] for end in range(self.page, len(ids) + 1, self.page)]

    def match(self, ids: Ids) -> int:
        self.now += 1
        found = 0
        for page in self.pages(ids):
            if page not in self.kept:
                break
            self.kept[page] = self.now
            found = len(page)
        return found

    def insert(self, ids: Ids) -> None:
        self.match(ids)
        for page in self.pages(ids):
            self.kept[page] = self.now

    def drop_to(self, present: set[Ids]) -> None:
        self.kept = {page: used for page, used in self.kept.items() if page in present}

    @property
    def size(self) -> int:
        return self.page * len(self.kept)


def present(cache: RadixCache, page: int) -> set[Ids]:
    """Every page in the tree, named by the sequence up to its end."""
    found: set[Ids] = set()
    queue: list[tuple[Node, bytes]] = [(cache.root, b"")]
    while queue:
        node, before = queue.pop()
        key = before + node.key
        whole = tuple(memoryview(key).cast("I"))
        assert len(whole) % page == 0
        found |= {whole[:end] for end in range(len(before) // ID_BYTES + page, len(whole) + 1, page)}
        queue += [(child, key) for child in node.children.values()]
    return found


@settings(max_examples=200)
@given(operations, st.sampled_from([1, 2, 3]), st.integers(1, 12))
def test_it_keeps_what_a_plain_set_of_pages_keeps(steps: list[tuple[str, Ids]], page: int, amount: int) -> None:
    cache, model = RadixCache(page), Pages(page)
    locked: list[tuple[Node, Ids]] = []
    for what, ids in steps:
        match what:
            case "match":
                _, found = cache.match(packed(ids))
                assert found == model.match(ids)
            case "insert":
                cache.insert(packed(ids))
                model.insert(ids)
            case "lock":
                node, found = cache.match(packed(ids))
                assert found == model.match(ids)
                cache.lock(node)
                locked.append((node, ids[:found]))
            case "unlock":
                if locked:
                    node, _ = locked.pop(len(ids) % len(locked))
                    cache.unlock(node)
            case "evict":
                check_eviction(cache, model, page, amount, [ids for _, ids in locked])
        held = {each for _, ids in locked for each in model.pages(ids)}
        assert present(cache, page) == set(model.kept)
        assert cache.size == model.size
        assert cache.evictable == model.size - page * len(held)


def check_eviction(cache: RadixCache, model: Pages, page: int, amount: int, locked: list[Ids]) -> None:
    before, size = set(model.kept), cache.size
    held = {each for ids in locked for each in model.pages(ids)}
    gone = cache.evict(amount)
    after = present(cache, page)
    assert after <= before and held <= after
    assert gone == size - cache.size == page * len(before - after)
    # As much as was asked for, or all that nobody stands on.
    assert gone >= amount or after == held
    # What is kept is kept from its beginning.
    assert all(each[:-page] in after for each in after if len(each) > page)
    # Leaves go least recently used first: nothing that could have gone was used before all that went.
    went = before - after
    if went:
        inner = {each[:-page] for each in after}
        leaves = after - held - inner
        assert min((model.kept[each] for each in leaves), default=model.now) >= max(model.kept[each] for each in went)
    model.drop_to(after)


def test_pages_of_a_long_shared_prefix_are_kept_once() -> None:
    cache = RadixCache()
    for tail in range(10):
        cache.insert(packed((*range(100), 1000 + tail)))
    assert cache.size == 110
    assert cache.match(packed((*range(100), 1003, 5)))[1] == 101
