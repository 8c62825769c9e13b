"""Asks DuckDB for the flushed rows of a table, without SiltDB: they are ordinary Parquet.

usage: python3 duckdb_over_the_bucket.py STORE TABLE
       STORE is a folder, or s3://bucket/prefix after DuckDB's `CREATE SECRET (TYPE s3, PROVIDER credential_chain)`.

Points that were not flushed yet are not there, and files that a merge has replaced stay for an hour beside the new
ones: `siltdb maintain --grace 0s` flushes everything and deletes these.
"""

import sys

import duckdb

store, table = sys.argv[1:]
files = f"{store}/t/*/d/*/data/{table}~*/*/*.parquet"
rows = duckdb.execute(
    "SELECT station, temperature FROM read_parquet(?, union_by_name = true) ORDER BY time, station", [files]
)
for row in rows.fetchall():
    print(*row)
