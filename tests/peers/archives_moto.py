#!/usr/bin/env python3
"""An S3 that is not ours (moto) under floe's archives and raw images: python3 archives_moto.py ENDPOINT (unused)

An image goes into an archive there and comes back; boto3 lists what `floe ls archives` lists, and the zstandard
package reads every segment, knowing nothing but zstd and the layout of the header.
"""
import hashlib
import json
import random
import struct

import zstandard

from shared.moto import moto

BLOCK = 524288


def main():
    with moto() as there:
        archives(there)
    print("   what was archived there came back the same")


def archives(there):
    s3, floe, home = there.s3, there.floe, there.home
    s3.create_bucket(Bucket="vault")
    image = disk(f"{home}/disk.img")
    floe("copy", "./disk.img", "s3://vault/ebs/", "--yes", "--foreground", "--verify", "full")
    rows = json.loads(floe("ls", "archives", "s3://vault/ebs/", "-o", "json"))
    folders = [found["Prefix"] for found in s3.list_objects_v2(Bucket="vault", Prefix="ebs/", Delimiter="/")["CommonPrefixes"]]
    assert [row["address"] for row in rows] == [f"s3://vault/{folder}" for folder in folders], (rows, folders)
    read_by_another(s3, folders[0], image)
    floe("copy", rows[0]["address"], "./back.img", "--yes", "--foreground")
    with open(f"{home}/back.img", "rb") as back:
        assert back.read() == image

    # As a raw image: this S3 keeps no checksum of the whole, so floe has to read it back before it calls it done.
    said = floe("copy", "./disk.img", "s3://vault/raw/disk.img", "--yes", "--foreground", "-o", "json", "-q")
    done = json.loads(said.splitlines()[-1])
    assert [to["evidence"] for to in done["destinations"]] == ["re-read"], done
    assert s3.get_object(Bucket="vault", Key="raw/disk.img")["Body"].read() == image
    assert not s3.list_multipart_uploads(Bucket="vault").get("Uploads"), "an upload is left"


def disk(path):
    """Noise, text and holes, and a tail that is no whole block."""
    noise, blocks = random.Random(7), []
    for index in range(40):
        kind = index % 4
        blocks.append(noise.randbytes(BLOCK) if kind == 0 else bytes(BLOCK) if kind == 1 else (b"line %d\n" % index * BLOCK)[:BLOCK])
    image = b"".join(blocks) + b"tail" * 100
    with open(path, "wb") as file:
        file.write(image)
    return image


def read_by_another(s3, root, image):
    segments = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="vault", Prefix=root):
        for key in (found["Key"] for found in page["Contents"]):
            if not key.endswith(".zst") or key.endswith("index.zst"):
                continue
            segments += 1
            data = s3.get_object(Bucket="vault", Key=key)["Body"].read()
            magic, length, name, count = struct.unpack_from("<II8sI", data)
            assert (magic, name) == (0x184D2A5F, b"floeseg1") and length + 8 == 24 + 40 * count
            at = length + 8
            for nth in range(count):
                index, frame, digest = struct.unpack_from("<II32s", data, 20 + 40 * nth)
                block = zstandard.ZstdDecompressor().decompress(data[at : at + frame], max_output_size=BLOCK)
                at += frame
                assert hashlib.sha256(block).digest() == digest, f"{key}: block {index}"
                assert block == image[index * BLOCK : (index + 1) * BLOCK].ljust(BLOCK, b"\0")
            assert at == len(data)
    assert segments > 0


if __name__ == "__main__":
    main()
