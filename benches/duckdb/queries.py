#!/usr/bin/env python3
"""Runs the benchmark's queries in DuckDB over one Parquet file.

In, on standard input: JSON {"parquet": file, "threads": n, "answers": folder,
"queries": [{"name": name, "statements": [text, …]}, …]}. The first statement of a query warms up, and
its answer is left as an Arrow IPC stream in `answers`/<name>.arrow; the others are timed.

Out, on standard output: JSON {"version": version, "queries": [{"name": name,
"runs": [{"cpu": seconds, "wall": seconds}, …]}, …]}.
"""

import json
import sys
import time
from pathlib import Path

import duckdb
import pyarrow


def write_answer(path, answer):
    with pyarrow.ipc.new_stream(str(path), answer.schema) as stream:
        stream.write_table(answer)


def timed(connection, statement):
    cpu, wall = time.process_time(), time.perf_counter()
    connection.sql(statement).to_arrow_table()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def main():
    order = json.load(sys.stdin)
    connection = duckdb.connect()
    connection.execute(f"SET threads = {int(order['threads'])}")
    file = order["parquet"].replace("'", "''")
    connection.execute(f"CREATE VIEW cpu AS SELECT * FROM read_parquet('{file}')")
    results = []
    for query in order["queries"]:
        print(f"  duckdb: {query['name']}", file=sys.stderr)
        first, *others = query["statements"]
        answer = connection.sql(first).to_arrow_table()
        write_answer(Path(order["answers"]) / f"{query['name']}.arrow", answer)
        del answer
        results.append({"name": query["name"], "runs": [timed(connection, each) for each in others]})
    json.dump({"version": duckdb.__version__, "queries": results}, sys.stdout)


if __name__ == "__main__":
    main()
