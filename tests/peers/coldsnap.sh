#!/usr/bin/env bash
# Drives the sandbox with coldsnap, AWS's own downloader and uploader of snapshots: down, up, and back through floe.
# Usage: coldsnap.sh ENDPOINT, which serves the default scenario. Runs only when coldsnap is there (on the PATH, or
# named by COLDSNAP_BIN) or asked for: FLOE_PEERS=coldsnap builds it from crates.io, which takes some minutes.
set -euo pipefail
endpoint=$1
version=0.12.0

coldsnap=${COLDSNAP_BIN:-$(command -v coldsnap || true)}
if [ -z "$coldsnap" ]; then
  if [[ " ${FLOE_PEERS:-} " != *" coldsnap "* ]]; then
    echo "coldsnap: skipped; FLOE_PEERS=coldsnap installs it"
    exit 0
  fi
  root=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/peers-coldsnap
  # What it asks of EC2 is one describe call: that crate need not be optimised, and it is most of the build.
  [ -x "$root/bin/coldsnap" ] || cargo --config 'profile.release.package.aws-sdk-ec2.opt-level=0' \
    install coldsnap --version "$version" --locked --root "$root" --target-dir "$root/build"
  coldsnap=$root/bin/coldsnap
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
floe=$(realpath "$FLOE_BIN")
export HOME=$work AWS_EC2_METADATA_DISABLED=true AWS_REGION=us-east-1
unset AWS_PROFILE AWS_ENDPOINT_URL || true
eval "$(python3 - "$endpoint" <<'PY'
import json, shlex, sys, urllib.request
profiles = json.load(urllib.request.urlopen(sys.argv[1] + "/_sandbox/profiles", timeout=10))
prod = next(p for p in profiles if p["name"] == "prod")
print("export AWS_ACCESS_KEY_ID=" + shlex.quote(prod["access_key_id"]))
print("export AWS_SECRET_ACCESS_KEY=" + shlex.quote(prod["secret"]))
if prod["session_token"]:
    print("export AWS_SESSION_TOKEN=" + shlex.quote(prod["session_token"]))
PY
)"
at=(--endpoint "$endpoint" --region us-east-1)
web=snap-0feed0000000da7a3

download() { # SNAPSHOT FILE, with floe
  "$floe" copy "us-east-1:$1" "$2" --yes --foreground -q --endpoint-url "$endpoint" --state-dir "$work/state"
}

"$coldsnap" "${at[@]}" download --no-progress $web "$work/theirs.img"
download $web "$work/ours.img"
cmp "$work/theirs.img" "$work/ours.img"

uploaded=$("$coldsnap" "${at[@]}" upload --no-progress --wait "$work/theirs.img" | grep -o 'snap-[0-9a-f]*' | tail -n1)
download "$uploaded" "$work/back.img"
cmp "$work/theirs.img" "$work/back.img"
echo "coldsnap: down and up as at AWS"
