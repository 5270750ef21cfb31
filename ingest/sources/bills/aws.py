"""Talks to AWS, or to a server that speaks S3, through the guard of `ingest.outgoing`.

Knows boto3, its time limits and what its errors mean to people. Refuses addresses the guard
refuses: every connection is made to the address that was checked, whatever the client resolves.
Credentials are those of the source, or the default chain of the machine; none is ever quoted.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from urllib3.util.connection import create_connection

from ingest import outgoing
from ingest.sources.base import BadConfig, FetchError, Setting

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 60
DOWNLOAD_S = 1_800.0
MAX_FILE_BYTES = 8 * 1024**3
PART_BYTES = 1024 * 1024

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_KEY_ID = re.compile(r"[A-Za-z0-9_]{4,128}")

SETTINGS = (
    Setting("region", "Region", "Such as eu-central-1.", "us-east-1"),
    Setting(
        "access_key_id",
        "Access key id",
        "Empty: the credentials of the machine, such as its instance role.",
        "",
    ),
    Setting(
        "secret_access_key",
        "Secret access key",
        "Belongs to the access key id; it is stored encrypted and never shown.",
        "",
        secret=True,
    ),
    Setting(
        "endpoint_url",
        "Endpoint",
        "Of a server other than AWS's own; usually empty.",
        "",
        address=True,
    ),
)

REFUSALS = {
    "AccessDenied": "the key may not do this; give it the rights that the page of this kind lists",
    "AccessDeniedException": "the key may not do this; give it the rights that the page of this"
    " kind lists",
    "403": "the key may not do this; give it the rights that the page of this kind lists",
    "NoSuchBucket": "there is no such bucket; check its name and region",
    "NoSuchKey": "a file went away while it was read; the next pull looks again",
    "404": "there is no such bucket or file; check the names",
    "InvalidAccessKeyId": "the access key id is not known; enter it again",
    "UnrecognizedClientException": "the access key id is not known; enter it again",
    "InvalidClientTokenId": "the access key id is not known; enter it again",
    "SignatureDoesNotMatch": "the secret access key does not fit its id; enter it again",
    "ExpiredToken": "the credentials ran out; enter new ones",
    "Throttling": "there were too many requests; the next pull tries again",
    "ThrottlingException": "there were too many requests; the next pull tries again",
    "LimitExceededException": "there were too many requests; the next pull tries again",
    "DataUnavailableException": "Cost Explorer is not ready; it takes a day after it is turned on",
}


def check_settings(checked: Mapping[str, Any]) -> None:
    """The settings above. Raises BadConfig."""
    if not isinstance(checked["region"], str) or not _REGION.fullmatch(checked["region"]):
        raise BadConfig("region", "must be a region such as eu-central-1.")
    key_id, secret = checked["access_key_id"], checked["secret_access_key"]
    if key_id and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
        raise BadConfig("access_key_id", "must be letters and digits, such as AKIA….")
    if bool(key_id) != bool(secret):
        missing = "secret_access_key" if key_id else "access_key_id"
        raise BadConfig(missing, "is missing; enter both or neither.")
    if checked["endpoint_url"]:
        try:
            outgoing.check_url(checked["endpoint_url"])
        except outgoing.Refused as refused:
            raise BadConfig("endpoint_url", str(refused)) from None


def client(service: str, checked: Mapping[str, Any]) -> Any:
    """A client of the service whose every connection is guarded."""
    made = boto3.session.Session().client(
        service,
        region_name=checked["region"],
        endpoint_url=checked["endpoint_url"] or None,
        aws_access_key_id=checked["access_key_id"] or None,
        aws_secret_access_key=checked["secret_access_key"] or None,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": 3, "mode": "standard"},
            proxies={},
            # A server of one's own seldom has a name per bucket.
            s3={"addressing_style": "path"} if checked["endpoint_url"] else None,
        ),
    )
    # botocore has no public way to say how to connect; the test of the guard fails if this moves.
    session = made._endpoint.http_session
    session._pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    session._manager.pool_classes_by_scheme = session._pool_classes_by_scheme
    return made


@contextmanager
def told_plainly(what: str) -> Iterator[None]:
    """Turns what boto3 raises into one sentence that quotes no answer."""
    try:
        yield
    except NoCredentialsError:
        raise FetchError(
            f"{what} needs credentials: enter an access key, or give this machine a role."
        ) from None
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        why = REFUSALS.get(code, "it refused the request; check the settings and the key's rights")
        raise FetchError(f"{what}: {why}.") from None
    except HTTPClientError as error:
        cause: Any = error.kwargs.get("error")
        if isinstance(cause, outgoing.Refused):
            raise FetchError(str(cause)) from None
        raise FetchError(
            f"{what} did not answer in time or broke off; check the endpoint and try again."
        ) from None
    except BotoCoreError:
        raise FetchError(
            f"{what} cannot be reached; check the region, the endpoint and the settings."
        ) from None


def download(s3: Any, bucket: str, key: str, etag: str, to: Path) -> None:
    """The object, exactly the version that was listed, within limits of size and time."""
    ends = time.monotonic() + DOWNLOAD_S
    with told_plainly(f"{bucket}/{key}"):
        body = s3.get_object(Bucket=bucket, Key=key, IfMatch=etag)["Body"]
        size = 0
        with to.open("wb") as file:
            for part in body.iter_chunks(PART_BYTES):
                size += len(part)
                if size > MAX_FILE_BYTES:
                    raise FetchError(
                        f"{key} is over {MAX_FILE_BYTES // 1024**3} GiB; export it in smaller"
                        " files."
                    )
                if time.monotonic() > ends:
                    raise FetchError(f"{key} takes over {DOWNLOAD_S / 60:.0f} minutes to fetch.")
                file.write(part)


def _connect(connection: Any) -> socket.socket:
    address = outgoing.resolve(connection.host.strip("[]"), connection.port)
    return create_connection(
        (str(address), connection.port),
        connection.timeout,
        socket_options=connection.socket_options,
    )


class _Connection(AWSHTTPConnection):  # type: ignore[misc]
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _TlsConnection(AWSHTTPSConnection):  # type: ignore[misc]
    """TLS still asks for, and verifies, the name."""

    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _Pool(AWSHTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _TlsConnection
