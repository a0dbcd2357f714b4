"""Does a little of what Python is used for, for python_test."""

import concurrent.futures
import ctypes
import decimal
import hashlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import zlib


def digest(value):
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def job(n):
    return n, digest([{"i": i, "text": "x" * (i % 100)} for i in range(n)])[:16]


if __name__ == "__main__":
    data = [{"id": i, "name": f"name {i}", "tags": list("tags" * (i % 10))}
            for i in range(20000)]
    text = json.dumps(data)
    assert json.loads(text) == data
    print("json", digest(data))
    print("zlib", zlib.crc32(zlib.compress(text.encode(), 6)))
    print("regex", len(re.findall(r"name (\d+)7\b", text)))
    root = decimal.Context(prec=5000).sqrt(decimal.Decimal(2))
    print("decimal", digest(str(root)))
    print("integer", digest(hex(7**20000)))

    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(job(n * 500)))
               for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("threads", sorted(results))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print("futures", list(pool.map(job, range(20))))
    # The pool's semaphores are files there.
    shared = os.access("/dev/shm", os.W_OK)
    for method in ("fork", "spawn") if shared else ():
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(job, range(0, 3000, 300)))
    for n in range(10):
        program = f"print('y' * {n}); raise SystemExit({n})"
        child = subprocess.run([sys.executable, "-S", "-c", program],
                               capture_output=True)
        print("subprocess", child.returncode, child.stdout)

    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    for size in range(0, 100000, 97):
        libc.free(libc.malloc(size))
    raise SystemExit(4)
