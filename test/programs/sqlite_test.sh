#!/bin/bash
# sqlite3: 100,000 inserts, an index, queries; the data base is compared too.
source test/programs/common.sh
need sqlite3

{
  cat <<'END'
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
BEGIN;
END
  seq 100000 |
    sed "s/.*/INSERT INTO t VALUES(&, 'name &', & * 7919 % 10007);/"
  cat <<'END'
COMMIT;
CREATE INDEX t_value ON t(value, name);
SELECT count(*), sum(value), max(name) FROM t;
SELECT value, count(*), group_concat(id) FROM t
  WHERE value < 30 GROUP BY value ORDER BY value DESC;
SELECT count(*) FROM t AS a JOIN t AS b ON a.value = b.value AND a.id < b.id;
SELECT name FROM t ORDER BY substr(name, 9), name DESC LIMIT 20;
UPDATE t SET value = value + 1 WHERE id % 3 = 0;
DELETE FROM t WHERE id % 5 = 0;
SELECT json_group_array(name) FROM (SELECT name FROM t ORDER BY id LIMIT 1000);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
  SELECT sum(i * i) FROM n;
VACUUM;
PRAGMA integrity_check;
SELECT * FROM no_such_table;
END
} >"$TEST_TMPDIR/statements"

session() {
  sqlite3 base.sqlite <"$TEST_TMPDIR/statements"
}

assert_served sqlite3 :memory: 'SELECT 1'
expected_status=1 # There is no such table.
run_both sqlite session
