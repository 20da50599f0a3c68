"""Make the bucket of MLflow's artifacts, unless it is there: ``make_bucket.py NAME``."""

import os
import sys
from typing import Any

import boto3
from botocore.exceptions import ClientError


def make_bucket(store: Any, name: str) -> bool:
    """Make a bucket; tell whether it was not there."""
    try:
        store.create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            return False
        raise
    return True


if __name__ == "__main__":
    is_new = make_bucket(
        boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"]), sys.argv[1]
    )
    print(f"bucket {sys.argv[1]}: {'made' if is_new else 'was there'}")
