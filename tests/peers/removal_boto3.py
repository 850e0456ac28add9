"""Deletes with floe, and asks with boto3 what is gone, what is still there, and what the Recycle Bin keeps.

Usage: removal_boto3.py ENDPOINT, which serves the default scenario; FLOE_BIN is the floe to run.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
FLOE = os.environ["FLOE_BIN"]
REGION = "us-west-2"

with urllib.request.urlopen(ENDPOINT + "/_sandbox/profiles", timeout=10) as answer:
    KEYS = {profile["name"]: profile for profile in json.load(answer)}["prod"]


def client(service):
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=ENDPOINT,
        aws_access_key_id=KEYS["access_key_id"],
        aws_secret_access_key=KEYS["secret"],
        aws_session_token=KEYS["session_token"],
        config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30),
    )


def floe(home, *arguments):
    env = {
        "HOME": home,
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": KEYS["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secret"],
        "AWS_REGION": REGION,
    }
    if KEYS["session_token"]:
        env["AWS_SESSION_TOKEN"] = KEYS["session_token"]
    command = [FLOE, "--endpoint-url", ENDPOINT, *arguments, "-o", "json"]
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError(f"{call.__name__}({arguments}) was not refused")


def rules(rbin):
    made = rbin.create_rule(
        ResourceType="EBS_SNAPSHOT",
        RetentionPeriod={"RetentionPeriodValue": 7, "RetentionPeriodUnit": "DAYS"},
        Description="what has keep=yes",
        ResourceTags=[{"ResourceTagKey": "keep", "ResourceTagValue": "yes"}],
    )
    listed = rbin.list_rules(ResourceType="EBS_SNAPSHOT")["Rules"]
    assert [rule["Identifier"] for rule in listed] == [made["Identifier"]], listed
    whole = rbin.get_rule(Identifier=made["Identifier"])
    assert whole["RetentionPeriod"]["RetentionPeriodValue"] == 7 and whole["Status"] == "available", whole
    assert code(rbin.get_rule, Identifier="AAAAAAAAAAA") == "ResourceNotFoundException"


def standing(ec2):
    """What is there, by kind."""
    return {
        "snapshots": {row["SnapshotId"] for row in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]},
        "volumes": {row["VolumeId"] for row in ec2.describe_volumes()["Volumes"]},
        "images": {
            row["ImageId"]
            for row in ec2.describe_images(Owners=["self"], IncludeDisabled=True, IncludeDeprecated=True)["Images"]
        },
    }


def whole(ec2, home, snapshot):
    """A snapshot, a volume and an image with its snapshots: the report against what boto3 finds."""
    before = standing(ec2)
    loose = [row["VolumeId"] for row in ec2.describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])["Volumes"]]
    images = sorted(before["images"])
    targets = [snapshot, *loose[:1], *images[:1]]
    status, plan, said = floe(home, "delete", *targets, "--with-snapshots", "--accept-unknown", "--frees", "--out", "whole.json")
    assert status == 0, said
    assert "List requests" in said, said
    assert standing(ec2) == before, "a plan deletes nothing"
    frees = plan["summary"]["frees"]
    assert sum(len(one["snapshots"]) for one in plan["together"]) <= plan["summary"]["snapshots"], plan["together"]
    assert frees["exact"] + frees["at_most"] >= 0
    status, report, said = floe(home, "delete", "--plan", "whole.json", "--confirm", plan["plan"])
    assert status in (0, 3), (report, said)
    after = standing(ec2)
    gone = set().union(*before.values()) - set().union(*after.values())
    removed = {row["id"] for row in report["items"] if row["outcome"] == "removed"}
    assert gone == removed and removed, (gone, removed)
    assert report["removed"] == len(removed)
    # Once more, it removes nothing: each thing is told as what the first run did.
    status, again, said = floe(home, "delete", "--plan", "whole.json", "--confirm", plan["plan"])
    assert standing(ec2) == after, said
    # What the bin keeps comes back, and the plan that removed it leaves it alone.
    binned = {row["SnapshotId"] for row in ec2.list_snapshots_in_recycle_bin()["Snapshots"]} & removed
    for back in sorted(binned):
        status, rows, said = floe(home, "restore", back)
        assert (status, rows[0]["outcome"]) == (0, "restored"), (rows, said)
    status, again, said = floe(home, "delete", "--plan", "whole.json", "--confirm", plan["plan"])
    assert binned <= standing(ec2)["snapshots"], "what was brought back stays"


def main():
    ec2, rbin = client("ec2"), client("rbin")
    rules(rbin)
    of_images = {
        mapping["Ebs"]["SnapshotId"]
        for image in ec2.describe_images(Owners=["self"], IncludeDisabled=True)["Images"]
        for mapping in image["BlockDeviceMappings"]
    }
    rows = [
        row
        for row in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        if row["State"] == "completed"
        and row["SnapshotId"] not in of_images
        and not any(tag["Key"].startswith(("aws:", "dlm", "velero")) for tag in row.get("Tags", []))
    ]
    assert len(rows) >= 3, [row["SnapshotId"] for row in rows]
    kept, final, other = (row["SnapshotId"] for row in rows[:3])
    ec2.create_tags(Resources=[kept, other], Tags=[{"Key": "keep", "Value": "yes"}])
    with tempfile.TemporaryDirectory() as home:
        ids = ["delete", kept, final, "--accept-unknown", "--out", "plan.json"]
        status, plan, said = floe(home, *ids)
        assert status == 0, said
        backs = {item["target"]: item["back"]["back"] for item in plan["items"]}
        assert backs == {kept: "bin", final: "final"}, backs
        there = {row["SnapshotId"] for row in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
        assert {kept, final, other} <= there, "a plan deletes nothing"

        status, report, said = floe(home, "delete", "--plan", "plan.json", "--confirm", plan["plan"])
        assert (status, report["removed"]) == (0, 2), (report, said)
        after = {row["SnapshotId"] for row in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
        assert there - after == {kept, final}, there - after
        assert code(ec2.describe_snapshots, SnapshotIds=[final]) == "InvalidSnapshot.NotFound"
        binned = [row["SnapshotId"] for row in ec2.list_snapshots_in_recycle_bin()["Snapshots"]]
        assert binned == [kept], binned

        status, rows, said = floe(home, "restore", kept)
        assert (status, rows[0]["outcome"]) == (0, "restored"), (rows, said)
        assert ec2.describe_snapshots(SnapshotIds=[kept])["Snapshots"][0]["State"] == "completed"
        status, lines, _ = floe(home, "audit")
        events = [(line["event"], line["call"]) for line in lines if line.get("id") == kept]
        assert events == [
            ("intent", "ec2:DeleteSnapshot"),
            ("done", "ec2:DeleteSnapshot"),
            ("intent", "ec2:RestoreSnapshotFromRecycleBin"),
            ("done", "ec2:RestoreSnapshotFromRecycleBin"),
        ], events
        whole(ec2, home, other)
    print("removals: what floe says is gone is gone, and nothing else")


main()
