"""Generates text: lines of words, some often, most rarely. text.py LINES"""
import sys

# A generator of its own: the same numbers under any version of Python.
state = 1


def below(bound):
    global state
    state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
    return (state >> 33) % bound


syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
words = ["".join(syllables[below(60)] for _ in range(1 + below(4))) for _ in range(20000)]
for _ in range(int(sys.argv[1])):
    # The lesser of several is how the first words come to be frequent.
    print(*(words[min(below(20000), below(20000), below(20000))] for _ in range(10)))
