#!/usr/bin/env python3
"""boto3's S3 against the embedded AWS: python3 s3_boto3.py ENDPOINT

Puts, reads in ranges, writes under conditions, uploads in parts, copies and lists with AWS's own Python client, in
path style and with the bucket in the host's name, and checks the documented refusals.
"""
import base64
import hashlib
import json
import socket
import sys
import urllib.error
import urllib.request
import zlib

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

VAULT = "floe-vault-us-east-1"
MIB = 1 << 20


def main(endpoint):
    with urllib.request.urlopen(endpoint + "/_sandbox/profiles") as answer:
        profile = json.load(answer)[0]
    s3 = client(endpoint, profile, "us-east-1")
    objects(s3)
    conditions(s3)
    wrong_checksums(s3)
    parts(s3)
    copies(s3)
    listing(s3)
    regions(endpoint, profile, s3)
    hosts(endpoint, profile)
    frames(endpoint, profile)
    forger = client(endpoint, {**profile, "secret": "not the secret"}, "us-east-1")
    refused(403, "SignatureDoesNotMatch", forger.list_buckets)
    print("   all as documented")


def client(endpoint, profile, region, **s3):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=profile["access_key_id"],
        aws_secret_access_key=profile["secret"],
        aws_session_token=profile.get("session_token"),
        config=Config(retries={"max_attempts": 0}, s3=s3 or {"addressing_style": "path"}),
    )


def refused(status, code, call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as error:
        told = (error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"])
        assert told == (status, code), f"{told} instead of {(status, code)}"
        assert error.response["ResponseMetadata"]["RequestId"], "every answer has a request id"
        return error.response
    raise AssertionError(f"not refused: {status} {code}")


def data(length, salt=0):
    return bytes((n * 7 + salt) % 251 for n in range(4096)) * (length // 4096) + b"t" * (length % 4096)


def objects(s3):
    body = data(3 * MIB + 9)
    put = s3.put_object(Bucket=VAULT, Key="peers/a b.raw", Body=body, Metadata={"who": "boto3"}, Tagging="a=1&b=2")
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', put["ETag"]
    got = s3.get_object(Bucket=VAULT, Key="peers/a b.raw", ChecksumMode="ENABLED")
    assert got["Body"].read() == body and got["Metadata"] == {"who": "boto3"} and got["TagCount"] == 2
    assert got["ChecksumCRC32"] == base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    for asked, expected in [("bytes=0-0", body[:1]), ("bytes=-5", body[-5:]), ("bytes=3145728-", body[3145728:])]:
        part = s3.get_object(Bucket=VAULT, Key="peers/a b.raw", Range=asked)
        assert part["Body"].read() == expected and part["ResponseMetadata"]["HTTPStatusCode"] == 206, asked
    refused(416, "InvalidRange", s3.get_object, Bucket=VAULT, Key="peers/a b.raw", Range="bytes=99999999-")
    refused(404, "NoSuchKey", s3.get_object, Bucket=VAULT, Key="peers/none")
    refused(404, "404", s3.head_object, Bucket=VAULT, Key="peers/none")
    refused(404, "NoSuchBucket", s3.get_object, Bucket="floe-no-such-bucket", Key="x")
    tags = s3.get_object_tagging(Bucket=VAULT, Key="peers/a b.raw")["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}], tags
    kms = s3.put_object(Bucket=VAULT, Key="peers/kms", Body=b"x", ServerSideEncryption="aws:kms")
    assert kms["SSEKMSKeyId"].startswith("arn:aws:kms:us-east-1:") and kms["ETag"] != f'"{hashlib.md5(b"x").hexdigest()}"'
    refused(403, "InvalidObjectState", s3.get_object, Bucket=VAULT, Key="images/retired-2019.raw")
    refused(400, "InvalidStorageClass", s3.put_object, Bucket=VAULT, Key="peers/x", Body=b"", StorageClass="COLD")
    gone = s3.delete_objects(Bucket=VAULT, Delete={"Objects": [{"Key": "peers/kms"}, {"Key": "peers/never"}]})
    assert len(gone["Deleted"]) == 2, gone


def conditions(s3):
    key = {"Bucket": VAULT, "Key": "peers/once"}
    first = s3.put_object(**key, Body=b"1", IfNoneMatch="*")
    refused(412, "PreconditionFailed", s3.put_object, **key, Body=b"2", IfNoneMatch="*")
    refused(412, "PreconditionFailed", s3.put_object, **key, Body=b"2", IfMatch='"0"')
    refused(404, "NoSuchKey", s3.put_object, Bucket=VAULT, Key="peers/never", Body=b"2", IfMatch='"0"')
    s3.put_object(**key, Body=b"2", IfMatch=first["ETag"])
    refused(412, "PreconditionFailed", s3.get_object, **key, IfMatch=first["ETag"])
    now = s3.head_object(**key)
    refused(304, "304", s3.head_object, **key, IfNoneMatch=now["ETag"])
    refused(304, "304", s3.head_object, **key, IfModifiedSince=now["LastModified"])
    refused(412, "PreconditionFailed", s3.get_object, **key, IfUnmodifiedSince=now["LastModified"].replace(year=2020))


def wrong_checksums(s3):
    key = {"Bucket": VAULT, "Key": "peers/wrong", "Body": b"hello"}
    refused(400, "BadDigest", s3.put_object, **key, ContentMD5=base64.b64encode(hashlib.md5(b"x").digest()).decode())
    refused(400, "BadDigest", s3.put_object, **key, ChecksumSHA256=base64.b64encode(bytes(32)).decode())
    refused(400, "BadDigest", s3.put_object, **key, ChecksumCRC64NVME=base64.b64encode(bytes(8)).decode())
    refused(400, "InvalidRequest", s3.put_object, **key, ChecksumCRC32="AA==")
    refused(404, "NoSuchKey", s3.get_object, Bucket=VAULT, Key="peers/wrong")
    right = s3.put_object(**key, ChecksumSHA1=base64.b64encode(hashlib.sha1(b"hello").digest()).decode())
    assert right["ChecksumType"] == "FULL_OBJECT"


def parts(s3):
    key = {"Bucket": VAULT, "Key": "peers/parts"}
    made = s3.create_multipart_upload(**key, ChecksumAlgorithm="SHA256")
    assert made["ChecksumType"] == "COMPOSITE", made
    upload = {**key, "UploadId": made["UploadId"]}
    bodies = {1: data(5 * MIB, 1), 2: data(5 * MIB, 2), 3: b"the end"}
    listed = []
    for number, body in bodies.items():
        part = s3.upload_part(**upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        listed.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    seen = s3.list_parts(**upload)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in seen] == [(n, len(b)) for n, b in bodies.items()]
    complete = s3.complete_multipart_upload
    refused(400, "InvalidPartOrder", complete, **upload, MultipartUpload={"Parts": listed[::-1]})
    refused(400, "InvalidPart", complete, **upload, MultipartUpload={"Parts": [{**listed[0], "ETag": '"0"'}]})
    refused(400, "InvalidPart", complete, **upload, MultipartUpload={"Parts": [{**listed[0], "PartNumber": 9}]})
    bare = [{name: part[name] for name in ("PartNumber", "ETag")} for part in listed]
    refused(400, "InvalidRequest", complete, **upload, MultipartUpload={"Parts": bare})
    done = complete(**upload, MultipartUpload={"Parts": listed})
    whole = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies.values())).hexdigest()
    assert done["ETag"] == f'"{whole}-3"', done["ETag"]
    sums = hashlib.sha256(b"".join(hashlib.sha256(body).digest() for body in bodies.values())).digest()
    assert done["ChecksumSHA256"] == base64.b64encode(sums).decode() + "-3", done["ChecksumSHA256"]
    got = s3.get_object(**key, ChecksumMode="ENABLED")
    assert got["Body"].read() == b"".join(bodies.values())
    refused(404, "NoSuchUpload", s3.abort_multipart_upload, **upload)
    few = s3.create_multipart_upload(**key)
    few = {**key, "UploadId": few["UploadId"]}
    tags = [s3.upload_part(**few, PartNumber=n, Body=b"few")["ETag"] for n in (1, 2)]
    small = [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]
    refused(400, "EntityTooSmall", complete, **few, MultipartUpload={"Parts": small})
    assert [up["UploadId"] for up in s3.list_multipart_uploads(Bucket=VAULT)["Uploads"]] == [few["UploadId"]]
    s3.abort_multipart_upload(**few)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=VAULT)


def copies(s3):
    source = {"Bucket": VAULT, "Key": "peers/parts"}
    s3.copy_object(Bucket=VAULT, Key="peers/copy", CopySource=source)
    assert s3.head_object(Bucket=VAULT, Key="peers/copy")["ContentLength"] == 10 * MIB + 7
    refused(400, "InvalidRequest", s3.copy_object, Bucket=VAULT, Key="peers/parts", CopySource=source)
    refused(412, "PreconditionFailed", s3.copy_object, Bucket=VAULT, Key="x", CopySource=source, CopySourceIfMatch='"0"')
    key = {"Bucket": VAULT, "Key": "peers/joined"}
    upload = {**key, "UploadId": s3.create_multipart_upload(**key)["UploadId"]}
    joined = []
    for number, (first, last) in enumerate([(0, 6 * MIB - 1), (6 * MIB, 10 * MIB + 6)], 1):
        copied = s3.upload_part_copy(
            **upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={first}-{last}"
        )
        joined.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    past = "bytes=0-99999999"
    refused(400, "InvalidArgument", s3.upload_part_copy, **upload, PartNumber=3, CopySource=source, CopySourceRange=past)
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": joined})
    read = lambda name: s3.get_object(Bucket=VAULT, Key=name)["Body"].read()
    assert read("peers/joined") == read("peers/parts") == read("peers/copy")


def listing(s3):
    for name in ("l/a", "l/b/1", "l/b/2", "l/c+d", "l/é"):
        s3.put_object(Bucket=VAULT, Key=name, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=VAULT, Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": 2})
    keys, prefixes = [], []
    for page in pages:
        keys += [row["Key"] for row in page.get("Contents", [])]
        prefixes += [row["Prefix"] for row in page.get("CommonPrefixes", [])]
    assert (keys, prefixes) == (["l/a", "l/c+d", "l/é"], ["l/b/"]), (keys, prefixes)
    after = s3.list_objects_v2(Bucket=VAULT, Prefix="l/", StartAfter="l/b/1")
    assert [row["Key"] for row in after["Contents"]] == ["l/b/2", "l/c+d", "l/é"]
    refused(400, "InvalidArgument", s3.list_objects_v2, Bucket=VAULT, ContinuationToken="nonsense")
    assert VAULT in [row["Name"] for row in s3.list_buckets()["Buckets"]]


def regions(endpoint, profile, s3):
    west = client(endpoint, profile, "us-west-2")
    # boto3 follows a redirect to another region by itself, by the header that S3 sends with it.
    assert west.head_bucket(Bucket=VAULT)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="floe-vault-eu-west-1")["LocationConstraint"] == "eu-west-1"
    assert s3.get_bucket_location(Bucket=VAULT)["LocationConstraint"] is None
    refused(400, "IllegalLocationConstraintException", west.create_bucket, Bucket="floe-peers")
    made = west.create_bucket(Bucket="floe-peers", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    assert made["Location"]
    west.put_object(Bucket="floe-peers", Key="k", Body=b"")
    refused(409, "BucketNotEmpty", west.delete_bucket, Bucket="floe-peers")
    west.delete_object(Bucket="floe-peers", Key="k")
    west.delete_bucket(Bucket="floe-peers")
    refused(400, "InvalidBucketName", west.create_bucket, Bucket="Not_a_name")


def hosts(endpoint, profile):
    """The bucket in the host's name: every name under .localhost is this machine."""
    plain = socket.getaddrinfo
    local = lambda host, *rest, **more: plain("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **more)
    socket.getaddrinfo = local
    try:
        by_name = endpoint.replace("127.0.0.1", "localhost")
        s3 = client(by_name, profile, "us-east-1", addressing_style="virtual")
        seen = []
        s3.meta.events.register("before-send.s3", lambda request, **_: seen.append(request.url))
        assert s3.get_object(Bucket=VAULT, Key="peers/a b.raw", Range="bytes=0-3")["Body"].read() == data(4096)[:4]
        assert f"//{VAULT}.localhost" in seen[0], seen
    finally:
        socket.getaddrinfo = plain


def frames(endpoint, profile):
    """Bodies in signed chunks, as boto3 does not send them: signed here by the published rules."""
    keys = Credentials(profile["access_key_id"], profile["secret"], profile.get("session_token"))
    body = data(70_000, 8)

    def send(tamper):
        request = AWSRequest("PUT", f"{endpoint}/{VAULT}/peers/chunked", headers={
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": str(len(body)),
        })
        signer = Streaming(keys, "s3", "us-east-1")
        signer.add_auth(request)
        framed = signer.frame(request, [body[:65536], body[65536:], b""])
        if tamper:
            framed = framed.replace(body[:100], body[1:101], 1)
        plain = urllib.request.Request(request.url, framed, dict(request.headers), method="PUT")
        try:
            with urllib.request.urlopen(plain) as answer:
                return answer.status, b""
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    status, text = send(False)
    assert status == 200, text
    status, text = send(True)
    assert status == 403 and b"SignatureDoesNotMatch" in text, (status, text)


class Streaming(S3SigV4Auth):
    def payload(self, request):
        return "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

    def frame(self, request, chunks):
        before = request.headers["Authorization"].rsplit("Signature=", 1)[1]
        out = b""
        for chunk in chunks:
            to_sign = "\n".join([
                "AWS4-HMAC-SHA256-PAYLOAD",
                request.context["timestamp"],
                self.credential_scope(request),
                before,
                hashlib.sha256(b"").hexdigest(),
                hashlib.sha256(chunk).hexdigest(),
            ])
            before = self.signature(to_sign, request)
            out += f"{len(chunk):x};chunk-signature={before}\r\n".encode() + chunk + b"\r\n"
        return out


if __name__ == "__main__":
    main(sys.argv[1])
