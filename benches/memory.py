#!/usr/bin/env python3
"""Predicted against measured memory: python3 benches/memory.py [--gib 1 4 16] [--rows NAME...] [--csv FILE]

Each kind of job (download, upload, copy, three destinations, an archive written, an archive read back) at 8, 64 and 256 lanes under budgets of 64 MiB,
256 MiB and 1 GiB, at 100 ms latency, with the sandbox in another process and nothing pre-touched. Lanes are shown full:
the sandbox says how many requests were in flight at most. What is printed: what the plan said, the highest resident size
that the operating system saw (wait4), their ratio, and a mark where it was more than said or less than 70 % of it.
What is moved, and up to two copies of it, have to have room in --dir (what the sandbox is put of its own blocks takes none).

Needs a release build: FLOE_BIN (default target/release/floe). Files lie in --dir (default /dev/shm).
"""
import argparse
import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile

from race import REGION, Server

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SNAPSHOTS = {1: "snap-00000000000000b01", 4: "snap-00000000000000b04", 16: "snap-00000000000000b10"}
LANES = (8, 64, 256)
BUDGETS = ("64MiB", "256MiB", "1GiB")
LATENCY_MS = 100
BUCKET = "vault"
# What is run for the sake of another kind.
NEEDED = {"download": "upload", "archive": "restore"}
# What runs on one server.
GROUPS = (["download"], ["upload"], ["copy"], ["three"], ["archive", "restore"])
OTHER = "other.img"
# How many times what is moved lies in --dir meanwhile; the image of a download stays for all of them.
ROOM = {"download": 0, "upload": 0, "copy": 0, "three": 1, "archive": 1, "restore": 2}
LEAST = 0.70


def run(floe, server, state, args):
    """One job: its outcome, and the peak of its resident size in bytes."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": state,
        "AWS_ACCESS_KEY_ID": server.keys["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": server.keys["AWS_SECRET_ACCESS_KEY"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if "AWS_CA_BUNDLE" in server.keys:
        environment["AWS_CA_BUNDLE"] = server.keys["AWS_CA_BUNDLE"]
    command = [floe, "copy", *args, "--yes", "--foreground", "-q", "-o", "json", "--region", REGION]
    command += ["--endpoint-url", server.endpoint, "--state-dir", os.path.join(state, "state")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}\n{err.decode()}")
    return json.loads(out.decode().strip().splitlines()[-1]), usage.ru_maxrss * 1024


def jobs(gib, directory):
    """The kinds of jobs, by name: their addresses. What another one needs comes before it: the image that is uploaded,
    the archive that is read back."""
    source, image = f"{REGION}:{SNAPSHOTS[gib]}", os.path.join(directory, f"disk-{gib}.img")
    other = os.path.join(directory, OTHER)
    return {
        "download": [source, image, "--force"],
        "upload": [image, f"{REGION}:"],
        "copy": [source, "eu-west-1:"],
        "three": [source, "eu-west-1:", f"{REGION}:", other, "--force"],
        "archive": [source, f"s3://{BUCKET}/bench/"],
        "restore": [f"s3://{BUCKET}/bench/{SNAPSHOTS[gib]}/", other, "--force"],
    }


def wanted(name, rows):
    """Whether a kind is run: asked for, or needed by one that is."""
    return name in rows or (NEEDED.get(name) in rows)


def certificate(work):
    """One that vouches for this machine, and its key: made by openssl."""
    made = os.path.join(work, "own.pem"), os.path.join(work, "own.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-out", made[0], "-keyout", made[1], "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return made


def measure(floe, work, some, row, latency, tls):
    """The jobs of a group, on a server of their own: what it was given is gone with it, or it would fill the machine."""
    home = os.path.join(work, "server")
    server = Server(floe, home, tls)
    try:
        return [one(floe, server, work, (name, *row), addresses, latency) for name, addresses in some.items()]
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
        if os.path.exists(os.path.join(work, OTHER)):
            os.remove(os.path.join(work, OTHER))


def one(floe, server, work, row, addresses, latency):
    """One job: it is run, printed, and answered as it is written to the file."""
    name, gib, lanes, budget = row
    server.faults(latency_ms=latency)
    server.ask("/_sandbox/stats", method="DELETE")
    state = os.path.join(work, "home")
    os.makedirs(state, exist_ok=True)
    outcome, was = run(floe, server, state, [*addresses, "--concurrency", str(lanes), "--memory", budget])
    full = server.ask("/_sandbox/stats")["max_in_flight"]
    said = outcome["predicted"]["memory_bytes"]
    ratio = was / said
    mark = " MORE" if was > said else "" if ratio >= LEAST else " low"
    print(
        f"{name:<9} {gib:>3} {lanes:>5} {budget:>7} {full:>5} {said >> 20:>9} {was >> 20:>8} {ratio:>6.0%}{mark}",
        flush=True,
    )
    shutil.rmtree(os.path.join(state, "state"), ignore_errors=True)
    return [name, gib, lanes, budget, full, said >> 20, was >> 20, round(ratio, 3)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=int, nargs="+", default=[1, 4], choices=sorted(SNAPSHOTS))
    parser.add_argument("--rows", nargs="+", default=["download", "upload", "copy", "three", "archive", "restore"])
    parser.add_argument("--lanes", type=int, nargs="+", default=list(LANES))
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS))
    parser.add_argument("--latency", type=int, default=LATENCY_MS, help="milliseconds")
    parser.add_argument("--tls", action="store_true", help="over TLS, as AWS is asked")
    parser.add_argument("--dir", default="/dev/shm")
    parser.add_argument("--csv", help="write the rows to this file as well")
    args = parser.parse_args()
    floe = os.environ.get("FLOE_BIN", os.path.join(ROOT, "target/release/floe"))
    # A full disk would be waited for without an end.
    times = any(wanted(name, args.rows) for name in ("download", "upload")) + max(ROOM[name] for name in args.rows)
    need, free = (times * max(args.gib) + 2) << 30, shutil.disk_usage(args.dir).free
    if free < need:
        sys.exit(f"{args.dir} has {free >> 30} GiB free, {need >> 30} GiB are needed: choose another one with --dir")
    work = tempfile.mkdtemp(prefix="floe-memory-", dir=args.dir)
    rows, bad = [], 0
    tls = certificate(work) if args.tls else None
    try:
        print(f"{'job':<9} {'GiB':>3} {'lanes':>5} {'budget':>7} {'full':>5} {'said MiB':>9} {'was MiB':>8} {'ratio':>6}")
        for row in itertools.product(args.gib, args.lanes, args.budgets):
            for group in GROUPS:
                some = {name: to for name, to in jobs(row[0], work).items() if name in group and wanted(name, args.rows)}
                measured = measure(floe, work, some, row, args.latency, tls) if some else []
                rows += measured
                bad += sum(row[-1] > 1 for row in measured)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if args.csv:
        with open(args.csv, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["job", "gib", "lanes", "budget", "in_flight", "said_mib", "was_mib", "ratio"])
            writer.writerows(rows)
    ratios = [row[-1] for row in rows]
    within = sum(LEAST <= ratio <= 1 for ratio in ratios)
    print(f"\n{within} of {len(rows)} within 70 to 100 % of what was said; {bad} above it")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
