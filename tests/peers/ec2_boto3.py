"""Asks the sandbox's EC2, STS and Service Quotas with boto3: pages, filters, shapes and refusals.

Usage: ec2_boto3.py ENDPOINT, which serves the default scenario.
"""

import json
import sys
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
DB = "snap-01c55a9e07b3d2f48"


def profiles():
    with urllib.request.urlopen(ENDPOINT + "/_sandbox/profiles", timeout=10) as answer:
        return {profile["name"]: profile for profile in json.load(answer)}


PROFILES = profiles()


def client(service, profile="prod", region="us-east-1"):
    keys = PROFILES[profile]
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=ENDPOINT,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret"],
        aws_session_token=keys["session_token"],
        config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30),
    )


def refused(call, **arguments):
    """The code and HTTP status of a call that must be refused."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["ResponseMetadata"].get("RequestId"), error.response
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError(f"{call.__name__}({arguments}) was not refused")


def pages_and_filters(ec2):
    whole = ec2.describe_snapshots(OwnerIds=["self"])
    assert "NextToken" not in whole
    ids = [row["SnapshotId"] for row in whole["Snapshots"]]
    assert len(ids) == len(set(ids)) > 100, len(ids)
    paginator = ec2.get_paginator("describe_snapshots")
    for size in (5, 33, 1000):
        pages = paginator.paginate(OwnerIds=["self"], PaginationConfig={"PageSize": size})
        assert [row["SnapshotId"] for page in pages for row in page["Snapshots"]] == ids, size

    def count(**filters):
        asked = [{"Name": name.replace("_", "-").replace("--", ":"), "Values": values} for name, values in filters.items()]
        return len(ec2.describe_snapshots(OwnerIds=["self"], Filters=asked)["Snapshots"])

    assert count(tag__Name=["db-data"]) == 4
    assert count(tag__Name=["db-*"], volume_size=["16384"]) == 4
    assert count(tag__Name=["web-d?ta", "boot*"]) == 4
    assert count(volume_id=["vol-0b77e1c2"], status=["completed"], encrypted=["true"]) == 4
    assert count(tag_key=["velero.io/backup"]) == 24
    assert count(tag__Name=["nothing"]) == 0


def shapes(ec2):
    row = ec2.describe_snapshots(SnapshotIds=[DB])["Snapshots"][0]
    assert row["FullSnapshotSizeInBytes"] == 31318565 * 524288
    assert (row["VolumeSize"], row["State"], row["Progress"]) == (16384, "completed", "100%")
    assert row["Encrypted"] is True and ":key/" in row["KmsKeyId"] and row["DataEncryptionKeyId"]
    assert row["StorageTier"] == "standard" and row["CompletionTime"] > row["StartTime"]
    assert {"Key": "Name", "Value": "db-data"} in row["Tags"]
    pending = client("ec2", region="us-west-2").describe_snapshots(SnapshotIds=["snap-0e07f5b8829ac3d16"])["Snapshots"][0]
    assert (pending["State"], pending["Progress"]) == ("pending", "63%")
    assert "FullSnapshotSizeInBytes" not in pending
    south = client("ec2", region="sa-east-1")
    archived = south.describe_snapshots(Filters=[{"Name": "storage-tier", "Values": ["archive"]}])["Snapshots"]
    assert [row["SnapshotId"] for row in archived] == ["snap-0a1132fe77d0c94b8"]
    failed = south.describe_snapshots(Filters=[{"Name": "status", "Values": ["error"]}])["Snapshots"]
    assert "KMS" in failed[0]["StateMessage"]

    volumes = ec2.describe_volumes(Filters=[{"Name": "status", "Values": ["in-use"]}])["Volumes"]
    instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    known = {instance["InstanceId"] for instance in instances}
    assert volumes and all(v["Attachments"][0]["InstanceId"] in known for v in volumes)
    assert all(i["State"]["Name"] == "running" and i["Placement"]["AvailabilityZone"] for i in instances)
    names = {image["Name"] for image in ec2.describe_images(Owners=["self"])["Images"]}
    more = {image["Name"] for image in ec2.describe_images(Owners=["self"], IncludeDisabled=True)["Images"]}
    assert more - names == {"db-golden"}
    held = ec2.describe_images(
        Owners=["self"], IncludeDisabled=True, Filters=[{"Name": "block-device-mapping.snapshot-id", "Values": [DB]}]
    )["Images"]
    assert held[0]["State"] == "disabled" and held[0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == DB
    assert len(ec2.describe_regions()["Regions"]) == 6
    assert len(ec2.describe_regions(AllRegions=True)["Regions"]) == 8
    assert ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneId"] == "use1-az1"
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert ":key/" in ec2.get_ebs_default_kms_key_id()["KmsKeyId"]


def refusals(ec2):
    snapshots = ec2.describe_snapshots
    assert refused(snapshots, SnapshotIds=["snap-00000000"]) == ("InvalidSnapshot.NotFound", 400)
    assert refused(snapshots, SnapshotIds=["snap-xyz"]) == ("InvalidSnapshotID.Malformed", 400)
    assert refused(snapshots, Filters=[{"Name": "colour", "Values": ["red"]}]) == ("InvalidParameterValue", 400)
    assert refused(snapshots, MaxResults=4) == ("InvalidParameterValue", 400)
    assert refused(snapshots, MaxResults=10, SnapshotIds=[DB]) == ("InvalidParameterCombination", 400)
    assert refused(snapshots, NextToken="made up") == ("InvalidParameterValue", 400)
    for call, arguments in [
        (snapshots, {}),
        (ec2.describe_volumes, {}),
        (ec2.describe_images, {}),
        (ec2.describe_regions, {}),
        (ec2.delete_snapshot, {"SnapshotId": "snap-0feed000000e00000"}),
        (ec2.create_tags, {"Resources": [DB], "Tags": [{"Key": "k", "Value": "v"}]}),
    ]:
        assert refused(call, DryRun=True, **arguments) == ("DryRunOperation", 412)
    assert refused(ec2.describe_vpcs) == ("InvalidAction", 400)
    assert refused(ec2.delete_snapshot, SnapshotId=DB) == ("InvalidSnapshot.InUse", 400)
    backup = snapshots(Filters=[{"Name": "tag-key", "Values": ["aws:backup:source-resource"]}])["Snapshots"][0]
    assert refused(ec2.delete_snapshot, SnapshotId=backup["SnapshotId"]) == ("InvalidParameterValue", 400)
    assert refused(client("ec2", region="me-south-1").describe_snapshots) == ("AuthFailure", 401)


def accounts():
    dr = client("ec2", "dr")
    assert refused(dr.describe_snapshots, SnapshotIds=[DB])[0] == "InvalidSnapshot.NotFound"
    shared = dr.describe_snapshots(OwnerIds=["123456789012"])["Snapshots"]
    assert [row["SnapshotId"] for row in shared] == ["snap-01b7e2d90c4418a3f"]
    owners = {row["OwnerId"] for row in client("ec2").describe_snapshots()["Snapshots"]}
    assert owners == {"123456789012", "137112412989"}, "without an owner the public ones come, too"
    assert client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:user/ops"
    assert client("sts", "dr").get_caller_identity()["Account"] == "998877665544"


def quotas():
    asked = client("service-quotas")
    assert asked.get_service_quota(ServiceCode="ebs", QuotaCode="L-AFAE1BE8")["Quota"]["Value"] == 5000.0
    default = asked.get_aws_default_service_quota(ServiceCode="ebs", QuotaCode="L-AFAE1BE8")
    assert default["Quota"]["Value"] == 1000.0
    missing = refused(asked.get_service_quota, ServiceCode="ebs", QuotaCode="L-00000000")
    assert missing == ("NoSuchResourceException", 400)
    pages = asked.get_paginator("list_service_quotas").paginate(ServiceCode="ebs", PaginationConfig={"PageSize": 5})
    codes = [quota["QuotaCode"] for page in pages for quota in page["Quotas"]]
    assert len(codes) == len(set(codes)) and "L-94D7AB7D" in codes


def changes(ec2):
    small = "snap-0feed000000e00000"
    ec2.create_tags(Resources=[small, "vol-04be9921d7c36f08a"], Tags=[{"Key": "note", "Value": "<a> & b"}])
    tagged = [{"Name": "tag:note", "Values": ["<a>*"]}]
    assert [row["SnapshotId"] for row in ec2.describe_snapshots(Filters=tagged)["Snapshots"]] == [small]
    assert len(ec2.describe_volumes(Filters=tagged)["Volumes"]) == 1
    reserved = refused(ec2.create_tags, Resources=[small], Tags=[{"Key": "aws:x", "Value": ""}])
    assert reserved == ("InvalidParameterValue", 400)
    ec2.delete_snapshot(SnapshotId=small)
    assert refused(ec2.describe_snapshots, SnapshotIds=[small])[0] == "InvalidSnapshot.NotFound"


def main():
    ec2 = client("ec2")
    pages_and_filters(ec2)
    shapes(ec2)
    refusals(ec2)
    accounts()
    quotas()
    changes(ec2)
    print("ec2_boto3: all as at AWS")


main()
