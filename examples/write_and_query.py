"""Writes points and asks for them over HTTP, with nothing but Python's own library.

usage: python3 write_and_query.py http://127.0.0.1:8902
"""

import base64
import json
import sys
import urllib.request

HEADERS = {"Authorization": "Basic " + base64.b64encode(b"root:").decode(), "Accept": "application/json"}


def post(url, body):
    request = urllib.request.Request(url, body.encode(), HEADERS, method="POST")
    with urllib.request.urlopen(request) as answer:
        return answer.read()


server = sys.argv[1]
post(f"{server}/api/v1/write?db=public", "air,station=a temperature=21.5 1\nair,station=b temperature=19 1")
rows = json.loads(post(f"{server}/api/v1/sql?db=public", "SELECT station, temperature FROM air ORDER BY station"))
for row in rows:
    print(row["station"], row["temperature"])
