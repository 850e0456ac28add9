#!/usr/bin/env python3
"""boto3's CopySnapshot, CopyImage and DescribeKey against the embedded AWS: python3 copies_boto3.py ENDPOINT"""
import json
import sys
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

WEB = "snap-0feed0000000da7a3"


def main(endpoint):
    with urllib.request.urlopen(endpoint + "/_sandbox/profiles") as answer:
        profile = json.load(answer)[0]
    east, west = (client(endpoint, profile, "ec2", region) for region in ("us-east-1", "us-west-2"))
    snapshots(west)
    images(east, west)
    keys(client(endpoint, profile, "kms", "us-east-1"), east)
    print("   all as documented")


def client(endpoint, profile, service, region):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=profile["access_key_id"],
        aws_secret_access_key=profile["secret"],
        aws_session_token=profile.get("session_token"),
        config=Config(retries={"max_attempts": 0}),
    )


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response["Error"]
        return
    raise AssertionError(f"not refused: {code}")


def settled(ec2, snapshot):
    for _ in range(600):
        row = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
        if row["State"] != "pending":
            return row
        time.sleep(0.02)
    raise AssertionError(f"{snapshot} is pending for ever")


def snapshots(west):
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "by", "Value": "boto3"}]}]
    copy = west.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=WEB, TagSpecifications=tags)
    assert copy["Tags"] == tags[0]["Tags"], copy
    row = settled(west, copy["SnapshotId"])
    assert (row["State"], row["Progress"], row["VolumeId"]) == ("completed", "100%", "vol-ffffffff"), row
    assert row["FullSnapshotSizeInBytes"] == 1500 * 524288
    wrong = west.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=WEB, Encrypted=True, KmsKeyId="alias/none")
    row = settled(west, wrong["SnapshotId"])
    assert (row["State"], row["StateMessage"]) == ("error", "Given key ID is not accessible"), row
    copy = west.copy_snapshot
    refused("InvalidSnapshot.NotFound", copy, SourceRegion="eu-west-1", SourceSnapshotId=WEB)
    refused("InvalidParameterCombination", copy, SourceRegion="us-east-1", SourceSnapshotId=WEB, KmsKeyId="alias/x")
    refused("InvalidParameterValue", copy, SourceRegion="us-east-1", SourceSnapshotId=WEB, CompletionDurationMinutes=7)


def images(east, west):
    source = east.describe_images(Owners=["self"])["Images"][0]
    made = west.copy_image(SourceRegion="us-east-1", SourceImageId=source["ImageId"], Name="by boto3", ClientToken="t")
    again = west.copy_image(SourceRegion="us-east-1", SourceImageId=source["ImageId"], Name="by boto3", ClientToken="t")
    assert made["ImageId"] == again["ImageId"]
    image = west.describe_images(ImageIds=[made["ImageId"]])["Images"][0]
    for mapping in image["BlockDeviceMappings"]:
        settled(west, mapping["Ebs"]["SnapshotId"])
    image = west.describe_images(ImageIds=[made["ImageId"]])["Images"][0]
    assert (image["State"], image["Name"]) == ("available", "by boto3"), image
    assert image["UsageOperation"] == source["UsageOperation"]
    copy = dict(SourceRegion="us-east-1", SourceImageId=source["ImageId"])
    refused("IdempotentParameterMismatch", west.copy_image, Name="other", ClientToken="t", **copy)
    refused("InvalidAMIName.Duplicate", west.copy_image, Name="by boto3", ClientToken="u", **copy)
    refused("InvalidAMIName.Malformed", west.copy_image, Name="a*b", **copy)
    refused("DryRunOperation", west.copy_image, Name="dry", DryRun=True, **copy)
    wrong = west.copy_image(Name="wrong key", Encrypted=True, KmsKeyId="alias/none", **copy)["ImageId"]
    image = west.describe_images(ImageIds=[wrong])["Images"][0]
    held = [mapping["Ebs"]["SnapshotId"] for mapping in image["BlockDeviceMappings"]]
    for snapshot in held:
        settled(west, snapshot)
    image = west.describe_images(ImageIds=[wrong])["Images"][0]
    assert (image["State"], image["StateReason"]["Message"]) == ("failed", "Given key ID is not accessible"), image
    refused("InvalidSnapshot.InUse", west.delete_snapshot, SnapshotId=held[0])
    west.deregister_image(ImageId=wrong)
    refused("InvalidAMIID.NotFound", west.describe_images, ImageIds=[wrong])
    for snapshot in held:
        west.delete_snapshot(SnapshotId=snapshot)
    gone = west.deregister_image(ImageId=made["ImageId"], DeleteAssociatedSnapshots=True)
    assert all(row["ReturnCode"] == "success" for row in gone["DeleteSnapshotResults"]), gone


def keys(kms, east):
    managed = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
    assert (managed["KeyManager"], managed["KeyState"]) == ("AWS", "Enabled"), managed
    default = east.get_ebs_default_kms_key_id()["KmsKeyId"]
    own = kms.describe_key(KeyId=default)["KeyMetadata"]
    assert (own["Arn"], own["KeyManager"]) == (default, "CUSTOMER"), own
    assert kms.describe_key(KeyId=own["KeyId"])["KeyMetadata"]["Arn"] == default
    refused("NotFoundException", kms.describe_key, KeyId="alias/no-such-key")
    refused("InvalidArnException", kms.describe_key, KeyId="arn:aws:kms")


if __name__ == "__main__":
    main(sys.argv[1])
