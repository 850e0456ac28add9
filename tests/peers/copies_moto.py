#!/usr/bin/env python3
"""An S3 that is not ours (moto) has floe copy its objects: python3 copies_moto.py ENDPOINT (unused)

boto3 writes objects and looks at what became of them: bytes, properties, tags, unfinished uploads. moto knows less than
S3 (no checksum of the whole of an upload): then floe has to call a copy claimed, not checked.
"""
import json
import random

from shared.moto import moto

MIB = 1 << 20


def main():
    with moto() as there:
        copies(there)
    print("   what was copied there is what boto3 wrote")


def copies(server):
    s3 = server.s3
    s3.create_bucket(Bucket="vault")
    s3.create_bucket(Bucket="other")

    def floe(*args, code=0):
        return json.loads(server.floe("-o", "json", *args, code=code).splitlines()[-1])

    def copy(*args, code=0):
        return floe("copy", "--yes", "--foreground", *args, code=code)

    # One request: bytes, headers, metadata and tags.
    noise = random.Random(7)
    small = noise.randbytes(100_000)
    s3.put_object(
        Bucket="vault",
        Key="a/backup.tar",
        Body=small,
        ContentType="application/x-tar",
        CacheControl="no-store",
        Metadata={"owner": "web"},
        Tagging="team=disks",
    )
    copy("s3://vault/a/backup.tar", "s3://other/b/backup.tar")
    same(s3, ("vault", "a/backup.tar"), ("other", "b/backup.tar"), small)
    again = copy("s3://vault/a/backup.tar", "s3://other/b/backup.tar")
    assert again["destinations"][0]["objects"]["skipped"] == 1, again

    # In parts.
    large = noise.randbytes(12 * MIB + 345)
    s3.put_object(Bucket="vault", Key="large.raw", Body=large, ContentType="image/raw", Metadata={"a": "b"})
    done = copy("--part-size", "5MiB", "s3://vault/large.raw", "s3://other/large.raw")
    same(s3, ("vault", "large.raw"), ("other", "large.raw"), large)
    parts = s3.head_object(Bucket="other", Key="large.raw")["ETag"].strip('"').split("-")
    assert parts[1:] == ["3"], parts
    evidence = done["destinations"][0]["evidence"]
    sums = [checksums(s3, bucket, "large.raw") for bucket in ("vault", "other")]
    known = any(value == sums[1].get(name) for name, value in sums[0].items())
    assert evidence == ("service" if known else "claimed"), (evidence, sums)
    read = copy("--part-size", "6MiB", "--verify", "full", "s3://vault/large.raw", "s3://other/read.raw")
    assert read["destinations"][0]["evidence"] == "re-read", read

    # Below a prefix, with one that is another object there.
    names = [f"tree/{n:03}.txt" for n in range(40)] + ["tree/ü b+c.txt", "tree/deep/er/x.log"]
    for name in names:
        s3.put_object(Bucket="vault", Key=name, Body=name.encode())
    s3.put_object(Bucket="other", Key="to/007.txt", Body=b"mine")
    done = copy("--recursive", "--exclude", "*.log", "s3://vault/tree/", "s3://other/to/", code=3)
    counted = done["destinations"][0]["objects"]
    assert counted == {"copied": 40, "set": 0, "skipped": 0, "failed": 1}, counted
    assert "007.txt" in done["destinations"][0]["error"], done
    there = [found["Key"] for found in s3.list_objects_v2(Bucket="other", Prefix="to/")["Contents"]]
    assert sorted(there) == sorted("to/" + name[5:] for name in names if not name.endswith(".log")), there
    assert s3.get_object(Bucket="other", Key="to/007.txt")["Body"].read() == b"mine"
    copy("--recursive", "--force", "--exclude", "*.log", "s3://vault/tree/", "s3://other/to/")
    assert s3.get_object(Bucket="other", Key="to/007.txt")["Body"].read() == b"tree/007.txt"
    for bucket in ("vault", "other"):
        assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads"), bucket


def checksums(s3, bucket, key):
    """What this S3 says of the whole of an object, by algorithm: not what it says of its parts."""
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    names = ("ChecksumCRC64NVME", "ChecksumCRC32C", "ChecksumCRC32", "ChecksumSHA256", "ChecksumSHA1")
    return {name: head[name] for name in names if head.get(name) and "-" not in head[name]}


def same(s3, source, copied, bytes_):
    """Whether a copy is its source, as boto3 sees both."""
    (from_bucket, from_key), (bucket, key) = source, copied
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == bytes_
    a, b = s3.head_object(Bucket=from_bucket, Key=from_key), s3.head_object(Bucket=bucket, Key=key)
    for what in ("ContentLength", "ContentType", "CacheControl", "Metadata"):
        assert a.get(what) == b.get(what), (what, a.get(what), b.get(what))
    tags = [s3.get_object_tagging(Bucket=bu, Key=k)["TagSet"] for bu, k in (source, copied)]
    assert tags[0] == tags[1], tags


if __name__ == "__main__":
    main()
