#!/usr/bin/env bash
# floe against moto, an AWS that is not ours: lists name what boto3 lists; a snapshot of the sandbox goes into moto's S3
# and comes back the same.
# Usage: moto.sh SANDBOX_ENDPOINT, with PATH holding the venv of tests/peers/run and FLOE_BIN naming floe.
set -euo pipefail
sandbox=$1
python=$(command -v python)

work=$(mktemp -d)
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
moto_server -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
moto=$!
trap 'kill "$moto" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
  "$python" -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/moto-api/')" 2>/dev/null && break
  kill -0 "$moto" || { cat "$work/moto.log" >&2; exit 1; }
  sleep 0.1
done

export AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ENDPOINT_URL="http://127.0.0.1:$port"
floe() { "$FLOE_BIN" "$@" --state-dir "$work/state"; }

"$python" - "$work" <<'PY'
import os
import sys

import boto3

work = sys.argv[1]
ec2 = boto3.client("ec2")
volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
for nth in range(3):
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": f"disk <{nth}> & more"}]}]
    ec2.create_snapshot(VolumeId=volume, Description=f"number {nth}", TagSpecifications=tags)
for name, pages, key in [
    ("snapshots", ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"]), "SnapshotId"),
    ("volumes", ec2.get_paginator("describe_volumes").paginate(), "VolumeId"),
]:
    ids = sorted(row[key] for page in pages for row in page[name.capitalize()])
    open(os.path.join(work, name), "w").write("".join(f"{id}\n" for id in ids))
boto3.client("s3").create_bucket(Bucket="vault")
PY
for kind in snapshots volumes; do
  floe ls "$kind" -o ids | sort | cmp - "$work/$kind"
done

# A snapshot of the sandbox into moto's S3, and back as an image: the same as read straight from the snapshot.
eval "$("$python" - "$sandbox" <<'PY'
import json
import shlex
import sys
import urllib.request

profiles = json.load(urllib.request.urlopen(sys.argv[1] + "/_sandbox/profiles", timeout=10))
prod = next(profile for profile in profiles if profile["name"] == "prod")
print("export AWS_ACCESS_KEY_ID=" + shlex.quote(prod["access_key_id"]))
print("export AWS_SECRET_ACCESS_KEY=" + shlex.quote(prod["secret"]))
if prod["session_token"]:
    print("export AWS_SESSION_TOKEN=" + shlex.quote(prod["session_token"]))
PY
)"
export AWS_ENDPOINT_URL=$sandbox AWS_ENDPOINT_URL_S3="http://127.0.0.1:$port"
boot=snap-0feed000000b00701
floe copy "us-east-1:$boot" s3://vault/ebs/ "$work/straight.img" --yes --foreground -q
floe copy "s3://vault/ebs/$boot/" "$work/restored.img" --yes --foreground -q
cmp "$work/straight.img" "$work/restored.img"
echo "   lists are the same; a snapshot came back from its S3 byte for byte"
