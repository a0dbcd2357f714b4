#!/bin/bash
# gcc and g++: the same warnings and the same files; the linked program runs.
source test/programs/common.sh
need gcc g++

session() {
  gcc -O2 -g -Wall -c "$helpers/fork_storm.c" -o fork_storm.o
  g++ -std=c++17 -g -Wall -c "$helpers/compile_me.cc" -o compile_me.o
  g++ compile_me.o -o compile_me
  ./compile_me
  sha256sum fork_storm.o compile_me.o compile_me
  echo 'int main() { return undeclared; }' >broken.cc
  g++ -c broken.cc || echo "g++ returned $?"
}

assert_served gcc -c "$helpers/fork_storm.c" -o /dev/null
run_both compiler session
