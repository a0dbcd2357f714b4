"""Writes and reads JSON. json_loop.py ROUNDS"""
import json
import sys

data = [{"id": n, "name": f"name {n}", "tags": [f"tag{n % k}" for k in range(1, 9)],
         "position": {"x": n / 7, "y": n / 11}, "text": "x" * (n % 300)}
        for n in range(5000)]
for _ in range(int(sys.argv[1])):
    assert json.loads(json.dumps(data)) == data
