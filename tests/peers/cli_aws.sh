#!/usr/bin/env bash
# Asks the sandbox with the aws CLI: lists, filters, --query, waiters' shapes, errors and their exit codes.
# Usage: cli_aws.sh ENDPOINT, which serves the default scenario.
set -euo pipefail
endpoint=$1

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export HOME=$home AWS_EC2_METADATA_DISABLED=true AWS_PAGER= AWS_MAX_ATTEMPTS=1 AWS_ENDPOINT_URL=$endpoint
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION || true
mkdir -p "$home/.aws"
python3 - "$endpoint" "$home/.aws" <<'PY'
import json, sys, urllib.request
endpoint, home = sys.argv[1:]
with open(home + "/config", "w") as config, open(home + "/credentials", "w") as keys:
    for p in json.load(urllib.request.urlopen(endpoint + "/_sandbox/profiles", timeout=10)):
        config.write(f"[profile {p['name']}]\nregion = {p['region']}\n")
        keys.write(f"[{p['name']}]\naws_access_key_id = {p['access_key_id']}\naws_secret_access_key = {p['secret']}\n")
        if p["session_token"]:
            keys.write(f"aws_session_token = {p['session_token']}\n")
PY

# is WANTED COMMAND...: its output, with one space between words, is WANTED.
is() {
  local wanted=$1 got
  shift
  got=$("$@" | tr -s '[:space:]' ' ' | sed 's/ $//')
  [ "$got" = "$wanted" ] || { echo "FAILED: $*: '$got' instead of '$wanted'" >&2; exit 1; }
}

# refuses CODE COMMAND...: it fails and says CODE.
refuses() {
  local code=$1 said
  shift
  if said=$("$@" 2>&1); then echo "FAILED: $* was not refused" >&2; exit 1; fi
  grep -q "($code)" <<<"$said" || { echo "FAILED: $*: $said instead of $code" >&2; exit 1; }
}

prod=(aws --profile prod --output text)
db=snap-01c55a9e07b3d2f48

is "123456789012 arn:aws:iam::123456789012:user/ops" "${prod[@]}" sts get-caller-identity --query '[Account,Arn]'
is "998877665544" aws --profile dr --output text sts get-caller-identity --query Account
is "16384 completed 16419947806720" "${prod[@]}" ec2 describe-snapshots --snapshot-ids $db \
  --query 'Snapshots[0].[VolumeSize,State,FullSnapshotSizeInBytes]'
is "4" "${prod[@]}" ec2 describe-snapshots --owner-ids self --filters 'Name=tag:Name,Values=db-data' --query 'length(Snapshots)'

# Pages of 5, put together by the CLI, are the whole list.
whole=$("${prod[@]}" ec2 describe-snapshots --owner-ids self --no-paginate --query 'Snapshots[].SnapshotId' | tr '\t' '\n')
paged=$("${prod[@]}" ec2 describe-snapshots --owner-ids self --page-size 5 --query 'Snapshots[].SnapshotId' | tr '\t' '\n' | grep -v None)
[ "$whole" = "$paged" ] || { echo "FAILED: pages differ from the whole" >&2; exit 1; }

is "ami-0c1d4e8855b0f77a2" "${prod[@]}" ec2 describe-images --owners self --include-disabled \
  --filters "Name=block-device-mapping.snapshot-id,Values=$db" --query 'Images[].ImageId'
is "6" "${prod[@]}" ec2 describe-regions --query 'length(Regions)'
is "not-opted-in not-opted-in" "${prod[@]}" ec2 describe-regions --all-regions \
  --filters Name=opt-in-status,Values=not-opted-in --query 'Regions[].OptInStatus'
is "True" "${prod[@]}" ec2 get-ebs-encryption-by-default --query EbsEncryptionByDefault
is "5000.0" "${prod[@]}" service-quotas get-service-quota --service-code ebs --quota-code L-AFAE1BE8 --query Quota.Value

refuses InvalidSnapshot.NotFound "${prod[@]}" ec2 describe-snapshots --snapshot-ids snap-00000000
refuses DryRunOperation "${prod[@]}" ec2 delete-snapshot --snapshot-id $db --dry-run
refuses InvalidSnapshot.InUse "${prod[@]}" ec2 delete-snapshot --snapshot-id $db
refuses InvalidParameterValue "${prod[@]}" ec2 describe-snapshots --filters Name=colour,Values=red
refuses InvalidAction "${prod[@]}" ec2 describe-vpcs
refuses AuthFailure "${prod[@]}" ec2 describe-snapshots --region af-south-1
refuses NoSuchResourceException "${prod[@]}" service-quotas get-service-quota --service-code ebs --quota-code L-00000000

"${prod[@]}" ec2 create-tags --resources snap-0feed000000b00701 --tags Key=via,Value=cli
is "snap-0feed000000b00701" "${prod[@]}" ec2 describe-snapshots --filters Name=tag:via,Values=cli --query 'Snapshots[].SnapshotId'
echo "cli_aws: all as at AWS"
