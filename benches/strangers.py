#!/usr/bin/env python3
"""What a stranger's connections cost those who have credentials.

    cargo build --release && python3 benches/strangers.py target/release/siltdb

Starts a server on a temporary folder and lets clients write and query, each request after the answer to the one
before, in turns: alone, and beside a stranger without credentials who wants many connections. He says nothing on half
of them, begins a write on the others, and opens again what the server closed. Prints the requests a second of both,
and their ratio. The stranger is a process of the lowest priority, for a real one has a machine of his own.
"""

import argparse
import asyncio
import base64
import multiprocessing
import os
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import time

CREDENTIALS = base64.b64encode(b"root:").decode()
BEGUN = b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nm"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def hold(port, wanted):
    held = []
    while True:
        for _ in range(min(wanted - len(held), 500)):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                break
            if len(held) % 2:
                writer.write(BEGUN)
            held.append((reader, writer))
        await asyncio.sleep(0.1)
        kept = []
        for reader, writer in held:
            if reader.at_eof() or writer.is_closing() or reader.exception():
                writer.close()
            else:
                kept.append((reader, writer))
        held = kept


def stranger(port, wanted):
    raise_limit()
    os.nice(19)
    asyncio.run(hold(port, wanted))


async def request(reader, writer, target, body):
    head = (
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {CREDENTIALS}\r\n"
        f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    headers = answer.lower()
    if b"content-length: " in headers:
        await reader.readexactly(int(headers.split(b"content-length: ")[1].split(b"\r\n")[0]))
    elif b"transfer-encoding: chunked" in headers:
        while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    return int(answer.split(b" ", 2)[1])


async def client(port, number, until, counts):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = 0
    while time.monotonic() < until:
        turn += 1
        if turn % 4:
            lines = "".join(f"air,station=s{number} value={turn} {turn * 1000 + line}\n" for line in range(100))
            status = await request(reader, writer, "/api/v1/write?db=public", lines.encode())
        else:
            query = f"SELECT count(*), max(value) FROM air WHERE station = 's{number}'"
            status = await request(reader, writer, "/api/v1/sql?db=public", query.encode())
        counts[status] = counts.get(status, 0) + 1
    writer.close()


async def round_of(port, clients, seconds):
    counts, until = {}, time.monotonic() + seconds
    began = time.monotonic()
    await asyncio.gather(*(client(port, number, until, counts) for number in range(clients)))
    return counts.get(200, 0) / (time.monotonic() - began), {status: n for status, n in counts.items() if status != 200}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--connections", type=int, default=4000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    raise_limit()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [options.binary, "serve", "--store", f"{folder}/store", "--listen", f"127.0.0.1:{port}"]
        server = subprocess.Popen([*command, "--log", "error"], stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            measure(port, options)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def measure(port, options):
    asyncio.run(round_of(port, options.clients, 2))
    alone, beside = [], []
    for _ in range(options.rounds):
        rate, others = asyncio.run(round_of(port, options.clients, options.seconds))
        alone.append(rate)
        holder = multiprocessing.Process(target=stranger, args=(port, options.connections), daemon=True)
        holder.start()
        time.sleep(3)
        rate, refused = asyncio.run(round_of(port, options.clients, options.seconds))
        beside.append(rate)
        with open(f"/proc/{holder.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        busy = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        holder.kill()
        holder.join()
        print(f"alone {alone[-1]:7.1f}/s {others or ''}  beside {beside[-1]:7.1f}/s {refused or ''}"
              f"  stranger's own processor time {busy:.1f} s", flush=True)
        time.sleep(1)
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"median alone {statistics.median(alone):.1f}/s, beside {options.connections} connections "
          f"{statistics.median(beside):.1f}/s, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
