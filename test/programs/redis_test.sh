#!/bin/bash
# redis-server, under load from redis-benchmark and redis-cli, with a background
# save, over a Unix socket.
source test/programs/common.sh
need redis-server redis-cli redis-benchmark

seq 30000 |
  sed 's/.*/SET key:& value-&\nHSET hash:& field & other &&\nRPUSH list &/' \
    >"$TEST_TMPDIR/commands"

# await TEXT: reads the server's log up to a line that contains TEXT.
await() {
  local line
  while read -r -u "${server[0]}" line; do
    echo "$line" >>log
    [[ $line != *"$1"* ]] || return 0
  done
  cat log
  echo "the server ended before it said '$1'"
  return 1
}

cli() {
  redis-cli -s socket "$@" # The path of a socket has to be short.
}

session() {
  coproc server {
    exec redis-server --port 0 --unixsocket socket --save '' \
      --enable-debug-command yes --daemonize no 2>&1
  }
  # shellcheck disable=SC2154
  pid=$server_PID
  trap 'kill "$pid" 2>/dev/null || :' EXIT
  await 'eady to accept connections' # redis 7.2 begins it with a capital.
  cli INFO server | grep -E '^(redis_version|redis_mode|tcp_port):'
  redis-benchmark -s socket -n 20000 -c 20 -P 4 -d 200 --csv \
    -t set,get,incr,lpush,lpop,sadd,hset,spop,zadd,lrange_100,mset |
    cut -d, -f1
  cli FLUSHALL
  cli --pipe <"$TEST_TMPDIR/commands"
  cli BGSAVE
  await 'Background saving terminated with success'
  cli DBSIZE
  cli DEBUG DIGEST
  cli EVAL 'local n = 0
    for i = 1, 1000 do n = n + #redis.call("GET", "key:" .. i) end
    return n' 0
  cli SORT list LIMIT 0 5 DESC
  cli DEBUG RELOAD
  cli DEBUG DIGEST
  cli NO SUCH COMMAND
  cli INFO keyspace
  cli INFO memory | grep -cE '^used_memory:[1-9]'
  cli SHUTDOWN NOSAVE
  wait "$pid"
  echo "the server returned $?"
  rm log dump.rdb # They hold times.
}

assert_served redis-server --version
assert_served redis-benchmark --version
run_both redis session
