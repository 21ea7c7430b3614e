"""S3 for a benchmark: moto in a process of its own, on an address that the fleet's hosts reach."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

BUCKET = "revisions"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address=sys.argv[1], port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def s3_process(address: str) -> Iterator[str]:
    """The endpoint, for as long as the block; also sets AWS's environment variables of this process."""
    command = [sys.executable, "-c", SERVER, address]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin and server.stdout
        endpoint = f"http://{address}:{int(server.stdout.readline())}"
        os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=endpoint)
        client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        try:
            yield endpoint
        finally:
            server.stdin.close()
            time.sleep(0)
            server.terminate()


def client() -> Any:
    """A boto3 client of S3, by the environment."""
    import boto3

    return boto3.client("s3")


def put(key: str, data: bytes) -> str:
    """Keeps an object; its presigned URL."""
    s3 = client()
    s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    return str(s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=3600))
