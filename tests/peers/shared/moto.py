"""An S3 that is not ours (moto) in this process, boto3 at it, and floe against it with a home of its own."""
import contextlib
import logging
import os
import socket
import subprocess
import tempfile

import boto3
from moto.server import ThreadedMotoServer

FLOE = os.environ["FLOE_BIN"]
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}


class Moto:
    def __init__(self, endpoint, home):
        self.endpoint, self.home = endpoint, home
        self.s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def floe(self, *args, code=0):
        """What it printed; it has to end with this exit code."""
        env = {"PATH": os.environ["PATH"], "HOME": self.home, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", **KEYS}
        command = [FLOE, "--endpoint-url", self.endpoint, "--state-dir", f"{self.home}/state", *args]
        done = subprocess.run(command, env=env, cwd=self.home, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextlib.contextmanager
def moto():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as home:
            yield Moto(f"http://127.0.0.1:{port}", home)
    finally:
        server.stop()
