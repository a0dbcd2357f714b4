"""Dictionaries, objects and strings that come and go. dicts.py ROUNDS"""
import sys


class Node:
    def __init__(self, key, children):
        self.key = key
        self.children = children


def tree(depth, key):
    return Node(f"node{key}", [tree(depth - 1, 3 * key + n) for n in range(3)] if depth else [])


def count(node):
    return 1 + sum(map(count, node.children))


for turn in range(int(sys.argv[1])):
    table = {}
    for n in range(30000):
        table[f"key {n}"] = (n, [n] * (n % 7), {"turn": turn})
    for n in range(0, 30000, 2):
        del table[f"key {n}"]
    for n in range(30000, 45000):
        table[f"key {n}"] = str(n) * 3
    assert len(table) == 30000
    assert count(tree(8, 1)) == 9841
