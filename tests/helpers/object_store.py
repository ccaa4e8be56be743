"""An S3 store on this machine: moto's server, and what a process needs to find it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

BUCKET = "learnalign"


class Store:
    """A server that can be stopped and started again, with what was put into it."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.port = 0
        self.start()

    def start(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]

    def stop(self) -> None:
        self.server.stop()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> Any:
        """Another client than LearnAlign's: what the store itself says."""
        import boto3

        return boto3.client("s3", endpoint_url=self.endpoint)

    def keys(self, prefix: str = "") -> list[str]:
        """Every object below a prefix."""
        found = self.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found]

    def modified(self, key: str) -> datetime:
        """When an object was written, by the store's clock."""
        found: datetime = self.client().head_object(Bucket=BUCKET, Key=key)["LastModified"]
        return found

    def age(self, key: str, seconds: float) -> None:
        """Let an object have been written so long ago."""
        backend = s3_backends["123456789012"]["aws"]
        backend.head_object(BUCKET, key).last_modified -= timedelta(seconds=seconds)


@contextmanager
def object_store() -> Iterator[Store]:
    """A store with one bucket; this process and those it starts find it."""
    import s3fs

    with pytest.MonkeyPatch.context() as patch:
        store = Store()
        for name, value in store.environment().items():
            patch.setenv(name, value)
        # What was connected to another server is forgotten.
        s3fs.S3FileSystem.clear_instance_cache()
        store.client().create_bucket(Bucket=BUCKET)
        try:
            yield store
        finally:
            store.stop()
            s3fs.S3FileSystem.clear_instance_cache()
