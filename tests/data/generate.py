#!/usr/bin/env python3
"""Writes the million points of README.md: CPU load of hosts as line protocol, the same points every time.

    python3 tests/data/generate.py --points 1000000 --directory DIR
    for part in DIR/*.lp; do
        curl -sS --fail -u root: --data-binary @"$part" 'http://127.0.0.1:8902/api/v1/write?db=public'
    done

One table, `cpu`, like that of TSBS's cpu-only case: every 10 seconds each of 100 hosts reports ten
whole numbers from 0 to 100, which walk by small steps; ten tags say which host it is. The seed is
fixed: point i is the same for every number of points. Files hold 10,000 lines each.

Facts to check an answer against, for --points 1000000: 1,000,000 rows, 100 hosts, 10,000 times from
2026-01-01T00:00:00 to 2026-01-02T03:46:30.
"""

import argparse
import pathlib
import random

SEED = 20260101
FIRST_TIME = 1_767_225_600  # 2026-01-01T00:00:00Z, in seconds
INTERVAL = 10
LINES_A_FILE = 10_000
FIELDS = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
]
REGIONS = ["ap-northeast-1", "ap-southeast-2", "eu-central-1", "eu-west-1", "sa-east-1", "us-east-1", "us-west-2"]


def series(chance, number):
    """Table and tags of a host, as a line begins."""
    region = chance.choice(REGIONS)
    tags = {
        "arch": chance.choice(["x64", "x86"]),
        "datacenter": region + chance.choice("abc"),
        "hostname": f"host_{number}",
        "os": chance.choice(["Ubuntu15.10", "Ubuntu16.04LTS", "Ubuntu16.10"]),
        "rack": chance.randrange(100),
        "region": region,
        "service": chance.randrange(20),
        "service_environment": chance.choice(["production", "staging", "test"]),
        "service_version": chance.randrange(2),
        "team": chance.choice(["CHI", "LON", "NYC", "SF"]),
    }
    return "cpu," + ",".join(f"{key}={value}" for key, value in tags.items())


def lines(points, hosts):
    """Every line in order of time, then host."""
    chance = random.Random(SEED)
    starts = [series(chance, number) for number in range(hosts)]
    loads = [[chance.randrange(101) for _ in FIELDS] for _ in range(hosts)]
    names = [f"{name}=" for name in FIELDS]
    written = 0
    tick = 0
    while True:
        time = (FIRST_TIME + tick * INTERVAL) * 1_000_000_000
        for start, load in zip(starts, loads):
            if written == points:
                return
            # One draw of 40 bits for ten steps of -1, 0 or 1.
            steps = chance.getrandbits(40)
            fields = []
            for at, name in enumerate(names):
                step = (0, 0, 1, -1)[steps >> (4 * at) & 3]
                value = load[at] + step
                if 0 <= value <= 100:
                    load[at] = value
                fields.append(f"{name}{load[at]}i")
            yield f"{start} {','.join(fields)} {time}\n"
            written += 1
        tick += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    batch = []
    files = 0

    def save():
        nonlocal files
        (arguments.directory / f"{files:05}.lp").write_text("".join(batch))
        files += 1
        batch.clear()

    for line in lines(arguments.points, arguments.hosts):
        batch.append(line)
        if len(batch) == LINES_A_FILE:
            save()
    if batch:
        save()
    print(f"{arguments.points} points in {files} files of {arguments.directory}")


if __name__ == "__main__":
    main()
