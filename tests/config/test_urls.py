"""Credentials in the URLs of a study are refused, and no message repeats them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tuner.config import Study
from tuner.config.urls import refuse_credentials

PLAIN = {
    "study": "shop",
    "data": {"interactions": "events.csv"},
    "folds": {"split": "last_n", "size": 1},
    "metrics": {"objective": "NDCG@10", "direction": "maximize"},
    "space": "search_spaces.guide",
}
WITH_A_SECRET = [
    "https://me:s3cret@host/events.csv",
    "https://s3cret@host/events.csv",
    "https://me:s3cret/with@slash@host/events.csv",
    "s3://key:s3cret@bucket/events.csv",
    "s3://bucket/events.csv?access_key=me&secret_key=s3cret",
    "s3://bucket/events.csv?endpoint_override=https://me:s3cret@host:9000",
    "s3://bucket/events.csv?scheme=http&endpoint_override=https%3A%2F%2Fme%3As3cret%40host",
    "https://bucket.s3.amazonaws.com/e.csv?X-Amz-Credential=me&X-Amz-Signature=s3cret",
    "https://account.blob.core.windows.net/e.csv?sp=r&sig=s3cret",
    "https://storage.googleapis.com/b/e.csv?GoogleAccessId=me&Signature=s3cret",
    "abfs://container/e.csv?account_key=s3cret",
    "simplecache::sftp://me:s3cret@host/e.csv",
    "https://host/e.csv?token=s3cret",
    "https://[s3cret@host/e.csv",
]


@pytest.mark.parametrize("url", WITH_A_SECRET)
@pytest.mark.parametrize("key", ["interactions", "several", "item_features"])
def test_credentials_in_a_url_are_refused_with_the_cure(key: str, url: str) -> None:
    data = {
        "interactions": {"interactions": url},
        "several": {"interactions": ["events.csv", url]},
        "item_features": {"interactions": "events.csv", "item_features": url},
    }[key]
    with pytest.raises(ValidationError) as raised:
        Study.model_validate({**PLAIN, "data": data})
    (error,) = raised.value.errors()
    assert "must hold no credentials" in error["msg"]
    assert "leave them to the environment" in error["msg"]
    assert "s3cret" not in error["msg"]


@pytest.mark.parametrize(
    "place",
    [
        "events.csv",
        "data/me:you@home/events.csv",
        "https://host/events.csv?version=3",
        "s3://bucket/events.csv?scheme=http&endpoint_override=host:9000",
        "s3://bucket/me@home/events.csv",
        "sftp://me@host/events.csv",
        "hdfs://me@namenode:8020/events.csv",
        "simplecache::s3://bucket/events.csv",
    ],
)
def test_places_without_credentials_are_taken(place: str) -> None:
    assert refuse_credentials(place) == place
