#!/usr/bin/env python3
"""floe against coldsnap on the same loopback server: python3 benches/race.py [--pairs 7] [--rows NAME...]

Both move the same snapshot of random blocks, in turn, in one run. Wall time, CPU and peak memory come from the
operating system (wait4), the results are compared with what a third reader gets (its own HTTP and signing, below).
What counts is the median of each pair's ratio: single figures drift with the machine.

Needs release builds: FLOE_BIN (default target/release/floe) and COLDSNAP_BIN (default: coldsnap on the PATH).
Files lie in --dir (default /dev/shm, so that no disk is measured; --disk-dir for the rows that want one).
"""
import argparse
import base64
import concurrent.futures
import datetime
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BLOCK = 512 * 1024
REGION = "us-east-1"
SNAPSHOTS = {1: "snap-00000000000000b01", 4: "snap-00000000000000b04"}


class Server:
    """The sandbox in a process of its own, with its keys."""

    def __init__(self, floe, state, tls=None):
        scenario = os.path.join(ROOT, "assets/scenarios/bench.toml")
        command = [floe, "sandbox", "--listen", "127.0.0.1:0", "--state-dir", state, "--scenario", scenario]
        if tls:
            command += ["--tls-certificate", tls[0], "--tls-key", tls[1]]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found = {}
        wanted = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} | ({"AWS_CA_BUNDLE"} if tls else set())
        while not wanted <= found.keys():
            line = self.process.stdout.readline()
            if not line:
                sys.exit("the sandbox did not say where it listens")
            found.update(re.findall(r"(AWS_\w+)=(\S+)", line))
        threading.Thread(target=lambda: [None for _ in self.process.stdout], daemon=True).start()
        self.endpoint, self.keys = found["AWS_ENDPOINT_URL"].rstrip("/"), found
        self.trust = ssl.create_default_context(cafile=found["AWS_CA_BUNDLE"]) if tls else None

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.endpoint + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30, context=self.trust) as answer:
            return json.loads(answer.read() or b"null")

    def faults(self, latency_ms=0, per_second=0):
        rules = [{"fault": {"delay": {"ms": latency_ms}}}] if latency_ms else []
        limits = [
            {"api": api, "of": "snapshot", "per_second": per_second}
            for api in ("GetSnapshotBlock", "PutSnapshotBlock")
            if per_second
        ]
        self.ask("/_sandbox/faults", {"rules": rules, "limits": limits})

    def throttles(self, api):
        """Requests and throttled requests of one operation so far."""
        stats = self.ask("/_sandbox/stats")["apis"].get(api, {"requests": 0, "outcomes": {}})
        throttled = sum(n for outcome, n in stats["outcomes"].items() if "Throttl" in outcome)
        return stats["requests"], throttled

    def stop(self):
        self.process.kill()
        self.process.wait()


class Reader:
    """A third client: lists and reads blocks with nothing but the standard library."""

    def __init__(self, server):
        self.host, self.keys = server.endpoint.removeprefix("http://"), server.keys
        self.local = threading.local()

    def get(self, path, query):
        query = "&".join(f"{k}={urllib.parse.quote(str(v), safe='-_.~')}" for k, v in sorted(query.items()))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{now[:8]}/{REGION}/ebs/aws4_request"
        empty = hashlib.sha256(b"").hexdigest()
        canonical = f"GET\n{path}\n{query}\nhost:{self.host}\nx-amz-date:{now}\n\nhost;x-amz-date\n{empty}"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = ("AWS4" + self.keys["AWS_SECRET_ACCESS_KEY"]).encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        credential = f"{self.keys['AWS_ACCESS_KEY_ID']}/{scope}"
        auth = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature={signature}"
        headers = {"x-amz-date": now, "authorization": auth}
        for last in (False, True):
            if not hasattr(self.local, "http"):
                self.local.http = http.client.HTTPConnection(self.host, timeout=60)
            try:
                self.local.http.request("GET", f"{path}?{query}", headers=headers)
                answer = self.local.http.getresponse()
                body = answer.read()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError):
                # A connection that was idle for long is closed by the server.
                del self.local.http
                if last:
                    raise
        if answer.status != 200:
            sys.exit(f"the third reader: {path}: {answer.status} {body[:200]!r}")
        return body

    def blocks(self, snapshot):
        page = {"maxResults": 10000}
        while True:
            found = json.loads(self.get(f"/snapshots/{snapshot}/blocks", page))
            yield from ((b["BlockIndex"], b["BlockToken"]) for b in found["Blocks"])
            if not found.get("NextToken"):
                return
            page["pageToken"] = found["NextToken"]

    def same(self, snapshot, image):
        """Whether every listed block equals the file's, and every block that is not listed is zeros there."""
        file = os.open(image, os.O_RDONLY)
        time.sleep(1)  # an upload is readable a moment after it was completed
        listed = dict(self.blocks(snapshot))
        whole = os.fstat(file).st_size

        def equal(index):
            here = os.pread(file, BLOCK, index * BLOCK)
            if index not in listed:
                return not here.strip(b"\0")
            there = self.get(f"/snapshots/{snapshot}/blocks/{index}", {"blockToken": listed[index]})
            return here == there

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            good = all(pool.map(equal, range(whole // BLOCK)))
        os.close(file)
        return good and whole == (max(listed, default=-1) + 1) * BLOCK


class Run:
    """One finished run of one program."""

    def __init__(self, command, env, watch=None):
        began = time.monotonic()
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = {}
        readers = [
            threading.Thread(target=lambda n=n, p=p: said.update({n: p.read()}))
            for n, p in (("out", process.stdout), ("err", process.stderr))
        ]
        for reader in readers:
            reader.start()
        timer = None
        if watch:
            timer = threading.Timer(*watch)
            timer.daemon = True
            timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        for reader in readers:
            reader.join()
        if timer:
            timer.cancel()
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss / 1024
        self.output = said["out"] + said["err"]
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{self.output[-2000:]}")

    def snapshot(self):
        return re.findall(r"snap-[0-9a-f]+", self.output)[-1]


class Race:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.server = Server(options.floe, os.path.join(work, "server"))
        self.reader = Reader(self.server)
        self.env = {
            "HOME": work,
            "PATH": os.environ.get("PATH", ""),
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **{k: v for k, v in self.server.keys.items() if k != "AWS_ENDPOINT_URL"},
        }

    def floe(self, *addresses, watch=None):
        state = os.path.join(self.work, "state")
        where = ["--endpoint-url", self.server.endpoint, "--region", REGION, "--state-dir", state]
        how = ["--yes", "--foreground", "-o", "json", "-q", *self.options.floe_args]
        return Run([self.options.floe, "copy", *addresses, *how, *where], self.env, watch)

    def coldsnap(self, workers, *args, watch=None):
        where = ["--endpoint", self.server.endpoint, "--region", REGION]
        command = [self.options.coldsnap, *where, args[0], "--workers", str(workers), *args[1:]]
        return Run(command, self.env, watch)

    def download(self, who, gib, directory, watch=None):
        image = os.path.join(directory, f"{who}.img")
        if os.path.exists(image):
            os.remove(image)
        if who == "floe":
            return self.floe(f"{REGION}:{SNAPSHOTS[gib]}", image, watch=watch), image
        return self.coldsnap(who, "download", "--no-progress", SNAPSHOTS[gib], image, watch=watch), image

    def upload(self, who, image, watch=None):
        if who == "floe":
            return self.floe(image, f"{REGION}:", watch=watch)
        # Without --wait: it polls in long steps, and floe, which does wait, should win nothing by that.
        return self.coldsnap(who, "upload", "--no-progress", image, watch=watch)

    def source(self, gib, directory):
        """The image that is uploaded: made once by the first download."""
        image = os.path.join(directory, f"source-{gib}.img")
        if not os.path.exists(image):
            self.server.faults()
            _, made = self.download("floe", gib, directory)
            os.rename(made, image)
        return image

    def row(self, verb, latency_ms, directory, label):
        """Runs one row's rounds: floe, coldsnap with each number of workers, floe, …"""
        gib, runs = self.options.gib, {}
        image = self.source(gib, directory) if verb == "upload" else None
        try:
            for turn in range(self.options.pairs):
                for who in ["floe", *self.options.workers]:
                    self.server.faults(latency_ms)
                    os.sync()
                    if verb == "download":
                        run, result = self.download(who, gib, directory)
                    else:
                        run, result = self.upload(who, image), image
                    runs.setdefault(who, []).append(run)
                    if turn == 0:
                        self.check(verb, f"{label}, {who}", gib, run, result)
                    if verb == "download":
                        os.remove(result)
        finally:
            # What was measured until an interruption is worth something, too.
            if len(runs) > len(self.options.workers):
                self.table(label, gib, runs)

    def check(self, verb, what, gib, run, image):
        self.server.faults()
        snapshot = SNAPSHOTS[gib] if verb == "download" else run.snapshot()
        if not self.reader.same(snapshot, image):
            sys.exit(f"{what}: the result is not the source")

    def table(self, label, gib, runs):
        ours, pairs = runs["floe"], len(runs["floe"])
        for who, theirs in runs.items():
            rate = statistics.median(gib * 1024 / run.wall for run in theirs)
            cpu = statistics.median(run.cpu / gib for run in theirs)
            peak = statistics.median(run.peak for run in theirs)
            text = f"| {f'{label} ({pairs})':<24} | {who if who == 'floe' else f'coldsnap {who}':<12} | {rate:>6.0f} | {cpu:>9.2f} | {peak:>8.0f} |"
            if who == "floe":
                text += "         |      |"
            else:
                faster = statistics.median(t.wall / o.wall for o, t in zip(ours, theirs))
                work = statistics.median(o.cpu / t.cpu for o, t in zip(ours, theirs))
                text += f" {faster:>6.2f}x | {work:>4.2f} |"
            print(text, flush=True)

    def limited(self, verb, per_second, gib, directory, both):
        """At a limit of so many blocks a second: how much of it is used, and what is refused."""
        api = "GetSnapshotBlock" if verb == "download" else "PutSnapshotBlock"
        image = self.source(gib, directory) if verb == "upload" else None
        blocks = gib << 11
        for who in ["floe", *(self.options.workers[:1] if both else [])]:
            self.server.faults(per_second=per_second)
            began, later = self.server.throttles(api), []
            watch = (20, lambda: later.append(self.server.throttles(api)))
            if verb == "download":
                run, result = self.download(who, gib, directory, watch)
            else:
                run, result = self.upload(who, image, watch), image
            end = self.server.throttles(api)
            middle = later[0] if later else end
            after = (end[1] - middle[1]) / max(end[0] - middle[0], 1)
            used = blocks / per_second / run.wall
            self.check(verb, f"{verb} at {per_second}/s, {who}", gib, run, result)
            name = who if who == "floe" else f"coldsnap {who}"
            print(
                f"| {verb + f' at {per_second}/s':<22} | {name:<12} | {run.wall:>6.1f} | {used:>8.1%} |"
                f" {end[0] - began[0]:>8} | {end[1] - began[1]:>9} | {after:>15.2%} |",
                flush=True,
            )
            if verb == "download":
                os.remove(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser.add_argument("--floe", default=os.environ.get("FLOE_BIN", os.path.join(target, "release/floe")))
    parser.add_argument("--coldsnap", default=os.environ.get("COLDSNAP_BIN", shutil.which("coldsnap")))
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--gib", type=int, default=4, choices=SNAPSHOTS)
    parser.add_argument("--workers", nargs="*", type=int, default=[64, 256], help="coldsnap's; none: floe alone")
    parser.add_argument("--latency", nargs="*", type=int, default=[0, 100], help="milliseconds")
    parser.add_argument("--rows", nargs="*", default=["download", "upload", "limits"], help="also: disk")
    parser.add_argument("--dir", default="/dev/shm")
    parser.add_argument("--disk-dir", default=tempfile.gettempdir())
    parser.add_argument("--floe-args", nargs="*", default=[])
    options = parser.parse_args()
    if not options.coldsnap and options.workers:
        sys.exit("no coldsnap: `cargo install coldsnap --version 0.12.0 --locked`, or name it with COLDSNAP_BIN")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = tempfile.mkdtemp(prefix="floe-race-", dir=options.dir)
    disk = tempfile.mkdtemp(prefix="floe-race-", dir=options.disk_dir)
    race = None
    try:
        race = Race(options, work)
        if set(options.rows) & {"download", "upload", "disk"}:
            print(f"| {f'{options.gib} GiB (runs)':<24} | {'who':<12} |  MiB/s | CPU s/GiB | peak MiB | faster  |  CPU |")
            print("|--------------------------|--------------|-------:|----------:|---------:|--------:|-----:|", flush=True)
        for verb in ("download", "upload"):
            for latency in options.latency if verb in options.rows else []:
                race.row(verb, latency, work, f"{verb}, {latency} ms")
        if "disk" in options.rows:
            race.row("download", 0, disk, "download to disk")
            race.row("upload", 0, disk, "upload from disk")
        if "limits" in options.rows:
            print(f"\n| {'limit per snapshot':<22} | {'who':<12} | wall s | of limit | requests | throttled | of them after 20 s |")
            print("|------------------------|--------------|-------:|---------:|---------:|----------:|----------------:|", flush=True)
            for verb in ("download", "upload"):
                race.limited(verb, 200, 4, work, both=bool(options.workers))
            race.limited("download", 20, 1, work, both=False)
    finally:
        if race:
            race.server.stop()
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)


if __name__ == "__main__":
    main()
