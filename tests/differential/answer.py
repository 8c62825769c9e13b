"""DuckDB on the other end of a pipe: one JSON request a line, one JSON answer a line.

{"load": [statements]}   a new database with these statements run      -> {"rows": []}
{"query": "SELECT ..."}                                                -> {"rows": [[cell, ...], ...]} or {"error": "..."}

A cell is null or a text that two engines agree on: a whole number in decimal (doubles that are whole, too),
another double by its bits, true or false, "s" and a string, "T", "D" and "t" with microseconds or days of
timestamps, dates and times of day.
"""

import datetime
import decimal
import json
import struct
import sys

import duckdb

EPOCH = datetime.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)


def number(value):
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == int(value) and abs(value) < 2**53:
        return str(int(value))
    return "x" + struct.pack(">d", value).hex()


def cell(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (float, decimal.Decimal)):
        return number(float(value))
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, datetime.datetime):
        return "T" + str((value.replace(tzinfo=None) - EPOCH) // MICROSECOND)
    if isinstance(value, datetime.date):
        return "D" + str((value - EPOCH.date()).days)
    if isinstance(value, datetime.time):
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return "t" + str(seconds * 1_000_000 + value.microsecond)
    return "?" + repr(value)


def main():
    database = duckdb.connect(":memory:")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "load" in request:
                database.close()
                database = duckdb.connect(":memory:")
                database.execute("SET threads = 1; SET TimeZone = 'UTC'")
                for statement in request["load"]:
                    database.execute(statement)
                answer = {"rows": []}
            else:
                rows = database.execute(request["query"]).fetchall()
                answer = {"rows": [[cell(value) for value in row] for row in rows]}
        except Exception as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
