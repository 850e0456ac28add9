#!/usr/bin/env python3
"""What floe tells scripts, read by others: its events by JSON Schema, its figures by Prometheus' own parser."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import jsonschema
from prometheus_client.parser import text_string_to_metric_families

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLOE, ENDPOINT = os.path.realpath(os.environ["FLOE_BIN"]), sys.argv[1]
SNAPSHOT = "snap-0feed0000000da7a3"
BLOCKS = 1500


def environment(home):
    profiles = json.load(urllib.request.urlopen(ENDPOINT + "/_sandbox/profiles", timeout=10))
    prod = next(p for p in profiles if p["name"] == "prod")
    return {
        "HOME": home,
        "PATH": os.environ["PATH"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_ACCESS_KEY_ID": prod["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": prod["secret"],
    }


def floe(home, *args):
    command = [FLOE, *args, "--state-dir", os.path.join(home, "state")]
    return subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=120)


def events(home):
    """A copy's lines: all but the last are events by the schema, in an order that makes sense."""
    done = floe(home, "copy", f"us-east-1:{SNAPSHOT}", "null:", "--yes", "--foreground", "-o", "json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    result, told = lines[-1], lines[:-1]
    assert "event" not in result and result["state"] == "done" and result["blocks"] == BLOCKS, result
    with open(os.path.join(ROOT, "assets/events.schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for line in told:
        validator.validate(line)
    assert told[0]["event"] in ("state", "note"), told[0]
    states = [line["state"] for line in told if line["event"] == "state"]
    assert states[-1] == "done" and "running" in states, states
    progress = [line for line in told if line["event"] == "progress"]
    done_blocks = [line["blocks_done"] for line in progress]
    assert done_blocks == sorted(done_blocks) and done_blocks[-1] == BLOCKS, done_blocks
    assert progress[-1]["requests"]["get"] >= BLOCKS
    # A line that is not one of these is refused: the schema says something.
    for broken in ({**told[0], "v": 2}, {k: v for k, v in progress[-1].items() if k != "lanes"}):
        assert list(validator.iter_errors(broken)), broken
    quiet = floe(home, "copy", f"us-east-1:{SNAPSHOT}", "null:", "--yes", "--foreground", "-o", "json", "-q")
    assert len(quiet.stdout.splitlines()) == 1, quiet.stdout
    print(f"{len(told)} events by the schema")


def figures(home):
    """What `floe engine --metrics` serves is what the parser of Prometheus takes, and it is true."""
    command = [FLOE, "engine", "--metrics", "127.0.0.1:0", "--state-dir", os.path.join(home, "state")]
    engine = subprocess.Popen(command, env=environment(home), stderr=subprocess.PIPE, text=True)
    try:
        address = None
        while address is None:
            line = engine.stderr.readline()
            assert line, "the engine did not say where its figures are"
            address = re.search(r"http://127\.0\.0\.1:\d+/metrics", line)
        address = address.group(0)
        done = floe(home, "copy", f"us-east-1:{SNAPSHOT}", "null:", "--yes", "-q", "-o", "json")
        assert done.returncode == 0, done.stderr
        job = str(json.loads(done.stdout)["job"])
        samples, until = {}, time.monotonic() + 20
        while not samples.get(("floe_job_state", job, "done")) and time.monotonic() < until:
            page = urllib.request.urlopen(address, timeout=10)
            assert page.headers["content-type"].startswith("text/plain; version=0.0.4"), page.headers
            families = list(text_string_to_metric_families(page.read().decode()))
            for family in families:
                assert family.documentation and family.type in ("gauge", "counter"), family
                for sample in family.samples:
                    rest = [value for key, value in sorted(sample.labels.items()) if key != "job"]
                    samples[(sample.name, sample.labels.get("job"), *rest)] = sample.value
        assert samples[("floe_job_state", job, "done")] == 1 and samples[("floe_job_state", job, "running")] == 0
        assert samples[("floe_job_blocks_done", job)] == BLOCKS
        assert samples[("floe_job_blocks", job, "exact")] == BLOCKS
        assert samples[("floe_job_read_bytes_total", job)] == BLOCKS * 512 * 1024
        assert samples[("floe_job_requests_total", job, "get")] >= BLOCKS
        assert samples[("floe_jobs", None, "done")] >= 1
        assert samples[("floe_resident_memory_bytes", None)] > 1 << 20
        for path, code in (("/", 404), ("/metrics/", 404)):
            try:
                urllib.request.urlopen(address.replace("/metrics", path), timeout=10)
                raise AssertionError(f"{path} was answered")
            except urllib.error.HTTPError as error:
                assert error.code == code, error
        try:
            urllib.request.urlopen(urllib.request.Request(address, data=b"x", method="POST"), timeout=10)
            raise AssertionError("a POST was taken")
        except urllib.error.HTTPError as error:
            assert error.code == 405, error
        print(f"{len(samples)} figures by Prometheus' parser")
    finally:
        engine.terminate()
        engine.wait(timeout=30)


def main():
    home = tempfile.mkdtemp()
    try:
        events(home)
        figures(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


main()
