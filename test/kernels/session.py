"""Threads that write and read JSON, for session."""

import json
import threading

found = []


def work(seed):
    data = {str(i): [i * seed, {"name": "x" * (i % 50)}] for i in range(3000)}
    found.append(sum(v[0] for v in json.loads(json.dumps(data)).values()))


threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(found))
