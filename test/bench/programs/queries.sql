-- A shop in memory. ROWS is replaced by a number.
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, price REAL, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS / 10)
INSERT INTO customer SELECT i, 'customer ' || i, 'city ' || (i * 7919 % 500) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
INSERT INTO purchase
SELECT i, i * 7907 % (ROWS / 10) + 1, 'item ' || (i * 31 % 1000), i % 997 / 10.0,
       substr('the quick brown fox jumps over the lazy dog', 1 + i % 20, i % 23)
FROM n;
COMMIT;
CREATE INDEX purchase_customer ON purchase(customer);
CREATE INDEX purchase_item ON purchase(item, price);
SELECT city, count(*), round(sum(price), 1), group_concat(DISTINCT item)
FROM customer JOIN purchase ON customer.id = purchase.customer GROUP BY city ORDER BY 3 DESC LIMIT 20;
UPDATE purchase SET note = note || ' ' || upper(item) WHERE id % 3 = 0;
SELECT count(*), sum(length(note)) FROM purchase WHERE note LIKE '%fox%';
SELECT item, json_group_array(json_object('id', id, 'price', price)) IS NOT NULL
FROM purchase GROUP BY item ORDER BY item LIMIT 5;
DELETE FROM purchase WHERE customer IN (SELECT id FROM customer WHERE city LIKE '%7');
SELECT count(*) FROM (SELECT customer, rank() OVER (PARTITION BY item ORDER BY price) FROM purchase);
VACUUM;
