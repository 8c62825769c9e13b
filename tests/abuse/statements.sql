-- Statements that ask for more than there is: memory, time, or both. One a line; a comment names the next.
-- lists of lists
SELECT array_length(array_repeat(array_repeat(range(0,999999),16),1000000))
-- lists of lists, smaller
SELECT array_length(array_repeat(array_repeat(range(0,999999),16),40))
-- three levels of a thousand
SELECT array_length(array_repeat(array_repeat(array_repeat(1,1000),1000),1000))
-- a list of the same list
SELECT array_length(make_array(c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c,c)) FROM (SELECT range(0,999999) c)
-- a list doubled eight times
SELECT array_length(array_concat(h,h)) FROM (SELECT array_concat(g,g) h FROM (SELECT array_concat(f,f) g FROM (SELECT array_concat(e,e) f FROM (SELECT array_concat(d,d) e FROM (SELECT make_array(range(0,999999)) d)))))
-- every pair of two lists, planned
SELECT array_has_all(range(0,999999), range(0,999999))
-- every pair of two lists, run
SELECT array_has_all(range(0,cast(n as bigint)), range(0,cast(n as bigint))) FROM big
-- a pattern that looks at each text again from each place, planned
SELECT regexp_count(repeat('A',400000), '.*[^A-Z]|[A-Z]')
-- the same, run
SELECT sum(regexp_count(repeat('A',200000+cast(value as int)), '.*[^A-Z]|[A-Z]')) FROM generate_series(1,8)
-- a pattern with many states
SELECT sum(regexp_count(repeat('a',160000+value), '(a{0,300}){0,80}b')) FROM generate_series(1,2)
-- distances of long texts
SELECT sum(levenshtein(repeat('a',16000), repeat(cast(value as varchar),4000))) FROM generate_series(1,64)
-- a long format
SELECT max(length(to_char(date '2026-01-01' + cast(value as integer), repeat('%c',60000)))) FROM generate_series(1,8192)
-- a wide row times eight thousand
SELECT sum(length(x)) FROM (SELECT arrow_cast(repeat(cast(value as varchar),1000000),'LargeUtf8') x FROM generate_series(1,2)) a CROSS JOIN generate_series(1,8192) b
-- the same beyond the offsets of a text
SELECT sum(length(x)) FROM (SELECT arrow_cast(repeat(cast(value as varchar),1000000),'Utf8') x FROM generate_series(1,2)) a CROSS JOIN generate_series(1,8192) b
-- a long text beside a long list
SELECT max(length(s)) FROM (SELECT unnest(r) u, s FROM (SELECT range(0,100000) r, arrow_cast(repeat(cast(value as varchar),20000),'LargeUtf8') s FROM generate_series(1,1)))
-- a recursion that carries a text
WITH RECURSIVE r AS (SELECT 1 n, repeat('a',1000000) s UNION ALL SELECT n+1, s FROM r WHERE n<100000) SELECT max(n), max(length(s)) FROM r
-- a recursion that triples
WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n+1 FROM r, generate_series(1,3) g WHERE n<30) SELECT count(*) FROM r
-- a window over all of a large product
SELECT max(c+l) FROM (SELECT sum(a.value) OVER () c, b.value l FROM generate_series(1,1000000) a, generate_series(1,60) b)
-- a window over eight million rows
SELECT max(c) FROM (SELECT sum(a.value) OVER (ORDER BY b.value) c FROM generate_series(1,1000000) a, generate_series(1,8) b)
-- a row from far behind
SELECT max(length(l)) FROM (SELECT lag(x,500000) OVER (ORDER BY v) l FROM (SELECT value v, repeat(cast(value as varchar),40) x FROM generate_series(1,1000000)))
-- all texts in one list
SELECT array_length(array_agg(repeat(cast(value as varchar),2000))) FROM generate_series(1,1000000)
-- all texts in one text
SELECT length(string_agg(repeat(cast(value as varchar),2000),',')) FROM generate_series(1,1000000)
-- different texts
SELECT count(DISTINCT repeat(cast(value as varchar),300)) FROM generate_series(1,1000000)
-- sorted texts
SELECT max(y) FROM (SELECT repeat(cast(value as varchar),300) y FROM generate_series(1,1000000) ORDER BY y DESC OFFSET 10)
-- many medians
SELECT median(value), median(value*2), median(value*3), median(value*4), median(value*5), median(value*6), median(value*7), median(value*8) FROM generate_series(1,3000000)
-- a large result
SELECT repeat('a',15000000) x FROM generate_series(1,2)
-- a larger one
SELECT repeat('a',16000000) x FROM generate_series(1,16)
-- a long one
SELECT value, repeat('a',3000) FROM generate_series(1,1000000)
-- a join of everything with everything
SELECT count(*) FROM generate_series(1,1000000) a JOIN generate_series(1,1000000) b ON a.value % 7 = b.value % 7
