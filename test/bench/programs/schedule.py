"""Generates a question for a solver: jobs on machines. schedule.py JOBS"""
import sys

jobs, machines = int(sys.argv[1]), 4
state = 7


def below(bound):
    global state
    state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
    return (state >> 33) % bound


length = [[1 + below(9) for _ in range(machines)] for _ in range(jobs)]
order = [sorted(range(machines), key=lambda _: below(1000)) for _ in range(jobs)]
print("(set-logic QF_LIA)\n(declare-fun end () Int)")
for j in range(jobs):
    for m in range(machines):
        print(f"(declare-fun s{j}_{m} () Int)\n(assert (>= s{j}_{m} 0))")
        print(f"(assert (<= (+ s{j}_{m} {length[j][m]}) end))")
    for a, b in zip(order[j], order[j][1:]):
        print(f"(assert (<= (+ s{j}_{a} {length[j][a]}) s{j}_{b}))")
for m in range(machines):
    for a in range(jobs):
        for b in range(a):
            print(f"(assert (or (<= (+ s{a}_{m} {length[a][m]}) s{b}_{m}) "
                  f"(<= (+ s{b}_{m} {length[b][m]}) s{a}_{m})))")
least = max(sum(length[j][m] for j in range(jobs)) for m in range(machines))
for slack in (12, 8, 4, 2, 1, 0):
    print(f"(push)\n(assert (<= end {least + slack}))\n(check-sat)\n(pop)")
