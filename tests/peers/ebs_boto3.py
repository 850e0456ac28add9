#!/usr/bin/env python3
"""boto3 against the embedded AWS: python3 ebs_boto3.py ENDPOINT

Lists, starts, puts, completes, reads back and diffs with AWS's own Python client, and checks the documented errors.
Keys come from the sandbox itself (GET /_sandbox/profiles).
"""
import base64
import hashlib
import json
import sys
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BLOCK = 512 * 1024


def main(endpoint):
    with urllib.request.urlopen(endpoint + "/_sandbox/profiles") as answer:
        profiles = json.load(answer)
    ebs, region = client(endpoint, profiles[0])
    print(f"   {profiles[0]['name']} in {region}")
    parent = write_and_read_back(ebs)
    child = diff(ebs, parent)
    wrong_tokens(ebs, parent, child)
    wrong_blocks(ebs)
    wrong_completions(ebs)
    wrong_starts(ebs, parent)
    unrelated(ebs, parent)
    if len(profiles) > 1:
        stranger, _ = client(endpoint, {**profiles[1], "region": region})
        refused(404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", stranger.list_snapshot_blocks, SnapshotId=parent)
    forger, _ = client(endpoint, {**profiles[0], "secret": "not the secret"})
    refused(403, "InvalidSignatureException", None, forger.list_snapshot_blocks, SnapshotId=parent)
    print("   all as documented")


def client(endpoint, profile):
    ebs = boto3.client(
        "ebs",
        endpoint_url=endpoint,
        region_name=profile["region"],
        aws_access_key_id=profile["access_key_id"],
        aws_secret_access_key=profile["secret"],
        aws_session_token=profile.get("session_token"),
        config=Config(retries={"max_attempts": 0}),
    )
    return ebs, profile["region"]


def digest(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


def block(n):
    return bytes((n * 31 + i) % 256 for i in range(1024)) * (BLOCK // 1024)


def put(ebs, snapshot, index, data, checksum=None):
    return ebs.put_snapshot_block(
        SnapshotId=snapshot,
        BlockIndex=index,
        BlockData=data,
        DataLength=BLOCK,
        Checksum=checksum or b64(digest(data)),
        ChecksumAlgorithm="SHA256",
    )


def complete(ebs, snapshot, blocks):
    """Completes with the LINEAR checksum over {index: data}, and waits until it is readable."""
    linear = digest(b"".join(digest(data) for _, data in sorted(blocks.items())))
    answer = ebs.complete_snapshot(
        SnapshotId=snapshot,
        ChangedBlocksCount=len(blocks),
        Checksum=b64(linear),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202 and answer["Status"] in ("pending", "completed"), answer
    deadline = time.monotonic() + 20
    while True:
        try:
            ebs.list_snapshot_blocks(SnapshotId=snapshot)
            return
        except ClientError:
            assert time.monotonic() < deadline, "the snapshot was never completed"
            time.sleep(0.05)


def pages(call, key, **arguments):
    """Every entry of a listing; pages may be short or empty, only a missing NextToken ends it."""
    entries, token = [], None
    while True:
        page = call(**arguments, **({"NextToken": token} if token else {}))
        assert page["BlockSize"] == BLOCK and page["ExpiryTime"].timestamp() > time.time() + 6 * 24 * 3600, page
        entries += page.get(key, [])
        token = page.get("NextToken")
        if not token:
            return entries


def read(ebs, snapshot, index, token):
    answer = ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=index, BlockToken=token)
    data = answer["BlockData"].read()
    assert answer["DataLength"] == len(data) == BLOCK and answer["ChecksumAlgorithm"] == "SHA256"
    assert answer["Checksum"] == b64(digest(data)), "the checksum header is the body's"
    return data


def write_and_read_back(ebs):
    started = ebs.start_snapshot(VolumeSize=1, Description="boto3", Timeout=60, Tags=[{"Key": "Name", "Value": "b"}])
    assert started["Status"] == "pending" and started["BlockSize"] == BLOCK and started["VolumeSize"] == 1, started
    snapshot = started["SnapshotId"]
    blocks = {0: block(1), 5: bytes(BLOCK), 2047: block(3)}
    for index, data in blocks.items():
        answer = put(ebs, snapshot, index, data)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201 and answer["Checksum"] == b64(digest(data)), answer
    put(ebs, snapshot, 0, blocks[0])
    complete(ebs, snapshot, blocks)
    listed = pages(ebs.list_snapshot_blocks, "Blocks", SnapshotId=snapshot)
    assert [entry["BlockIndex"] for entry in listed] == [0, 5, 2047], listed
    for entry in listed:
        assert read(ebs, snapshot, entry["BlockIndex"], entry["BlockToken"]) == blocks[entry["BlockIndex"]]
    late = pages(ebs.list_snapshot_blocks, "Blocks", SnapshotId=snapshot, StartingBlockIndex=5, MaxResults=100)
    assert [entry["BlockIndex"] for entry in late] == [5, 2047], late
    return snapshot


def diff(ebs, parent):
    child = ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent)["SnapshotId"]
    blocks = {5: block(9), 6: block(10)}
    for index, data in blocks.items():
        put(ebs, child, index, data)
    complete(ebs, child, blocks)
    arguments = {"FirstSnapshotId": parent, "SecondSnapshotId": child}
    changed = pages(ebs.list_changed_blocks, "ChangedBlocks", **arguments)
    assert [entry["BlockIndex"] for entry in changed] == [5, 6], changed
    assert "FirstBlockToken" in changed[0] and "FirstBlockToken" not in changed[1], changed
    assert read(ebs, parent, 5, changed[0]["FirstBlockToken"]) == bytes(BLOCK)
    assert read(ebs, child, 5, changed[0]["SecondBlockToken"]) == blocks[5]
    whole = pages(ebs.list_snapshot_blocks, "Blocks", SnapshotId=child)
    assert [entry["BlockIndex"] for entry in whole] == [0, 5, 6, 2047], whole
    assert read(ebs, child, 2047, whole[3]["BlockToken"]) == block(3), "what was not written is the parent's"
    return child


def refused(status, code, reason, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        got = error.response
        assert got["ResponseMetadata"]["HTTPStatusCode"] == status, got
        assert got["Error"]["Code"] == code, got
        assert reason is None or got.get("Reason") == reason, got
        return
    raise AssertionError(f"{call.__name__} was not refused: {arguments.keys()}")


def wrong_tokens(ebs, parent, child):
    mine = ebs.list_snapshot_blocks(SnapshotId=parent)
    while not mine.get("Blocks"):
        mine = ebs.list_snapshot_blocks(SnapshotId=parent, NextToken=mine["NextToken"])
    token = mine["Blocks"][0]["BlockToken"]
    wrong = (400, "ValidationException", "INVALID_BLOCK_TOKEN", ebs.get_snapshot_block)
    refused(*wrong, SnapshotId=parent, BlockIndex=5, BlockToken=token)
    refused(*wrong, SnapshotId=child, BlockIndex=0, BlockToken=token)
    refused(*wrong, SnapshotId=parent, BlockIndex=0, BlockToken="AAAA")
    page = (400, "ValidationException", "INVALID_PAGE_TOKEN", ebs.list_snapshot_blocks)
    refused(*page, SnapshotId=parent, NextToken=token)
    unknown = (404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", ebs.list_snapshot_blocks)
    refused(*unknown, SnapshotId="snap-0123456789abcdef0")


def wrong_blocks(ebs):
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    wrong = (400, "ValidationException", "INVALID_PARAMETER_VALUE")
    refused(*wrong, lambda **_: put(ebs, snapshot, 0, block(1), checksum=b64(digest(b"other"))))
    refused(*wrong, lambda **_: put(ebs, snapshot, 0, b"short"))
    refused(400, "ValidationException", "INVALID_BLOCK", lambda **_: put(ebs, snapshot, 2048, block(1)))
    complete(ebs, snapshot, {})
    refused(400, "ValidationException", "INVALID_SNAPSHOT_ID", lambda **_: put(ebs, snapshot, 0, block(1)))


def wrong_completions(ebs):
    for arguments in (
        {"ChangedBlocksCount": 2},
        {
            "ChangedBlocksCount": 1,
            "Checksum": b64(digest(b"other")),
            "ChecksumAlgorithm": "SHA256",
            "ChecksumAggregationMethod": "LINEAR",
        },
    ):
        snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        put(ebs, snapshot, 0, block(1))
        wrong = (400, "ValidationException", "INVALID_PARAMETER_VALUE", ebs.complete_snapshot)
        refused(*wrong, SnapshotId=snapshot, **arguments)


def wrong_starts(ebs, parent):
    wrong = (400, "ValidationException", "INVALID_PARAMETER_VALUE", ebs.start_snapshot)
    refused(*wrong, VolumeSize=1, ParentSnapshotId=parent, Encrypted=True)
    token = f"boto3-{time.time_ns()}"
    first = ebs.start_snapshot(VolumeSize=1, ClientToken=token)["SnapshotId"]
    assert ebs.start_snapshot(VolumeSize=1, ClientToken=token)["SnapshotId"] == first, "one token, one snapshot"
    refused(409, "ConflictException", None, ebs.start_snapshot, VolumeSize=2, ClientToken=token)
    complete(ebs, first, {})


def unrelated(ebs, parent):
    other = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    complete(ebs, other, {})
    wrong = (400, "ValidationException", "UNRELATED_SNAPSHOTS", ebs.list_changed_blocks)
    refused(*wrong, FirstSnapshotId=parent, SecondSnapshotId=other)


if __name__ == "__main__":
    main(sys.argv[1])
