"""URLs of indexes: what they say, and what they never show."""

from __future__ import annotations

import pickle
import warnings

import pytest

from pixie_retrievers import InvalidParameterError, PixieError, PixieWarning, open_index
from pixie_retrievers.index.opening import without_credentials
from pixie_retrievers.index.remote.location import Location


def test_a_url_is_taken_apart():
    location = Location.parse("opensearch+https://kim:p%40ss%2Fw@a:9200,b/docs?shards=3&request_timeout_s=5")
    assert (location.engine, location.transport, location.hosts) == ("opensearch", "https", ("a:9200", "b"))
    assert (location.name, location.number("shards"), location.number("replicas")) == ("docs", 3, None)
    assert location.user_and_password() == ("kim", "p@ss/w")
    assert [location.with_port(host, 9200) for host in location.hosts] == ["a:9200", "b:9200"]
    assert location.with_port("[::1]", 9200) == "[::1]:9200"


def test_a_file_of_an_engine_has_a_path_and_a_name():
    location = Location.parse("milvus+file:///folder/x.db#docs")
    assert (location.hosts, location.name, str(location)) == (
        ("/folder/x.db",),
        "docs",
        "milvus+file:///folder/x.db#docs",
    )


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("opensearch+ftp://a/docs", "connect by 'ftp'"),
        ("opensearch+https://a:9200", "names no host, or not one index"),
        ("opensearch+https:///docs", "names no host, or not one index"),
        ("opensearch+https://a/one/two", "not one index"),
        ("milvus+file:///x.db", "a path and a name"),
        ("opensearch+https://a/docs?shard=3", "the option 'shard'; the options are"),
        ("redis://a/docs", "no index engine answers to"),
    ],
)
def test_what_is_not_the_url_of_an_index_is_refused(url, match):
    with pytest.raises(InvalidParameterError, match=match):
        open_index(url)


@pytest.mark.parametrize("value", ["-1", "three", "", "1.5", "٣"])
def test_an_option_that_is_not_a_number_is_refused(value):
    with pytest.raises(InvalidParameterError, match="shards is"):
        Location.parse(f"opensearch+https://a/docs?shards={value}").number("shards")


def test_credentials_come_from_the_environment_and_are_never_shown(monkeypatch):
    monkeypatch.setenv("PIXIE_OPENSEARCH_USER", "kim")
    monkeypatch.setenv("PIXIE_OPENSEARCH_PASSWORD", "secret-1")
    assert Location.parse("opensearch+https://a/docs").user_and_password() == ("kim", "secret-1")
    url = "opensearch+https://kim:secret-2@a:9200/docs"
    shown = (str(Location.parse(url)), repr(Location.parse(url)), without_credentials(url))
    assert all("secret" not in text and "kim" not in text for text in shown)
    assert without_credentials("corpus.db") == "corpus.db"


def test_an_error_shows_no_credentials():
    with pytest.raises(PixieError) as caught:
        open_index("opensearch+http://kim:secret@127.0.0.1:9/docs?timeout_s=0")
    chain, error = [], caught.value
    while error is not None:
        chain += [str(error), repr(error)]
        error = error.__cause__
    assert not any("secret" in text for text in chain)


def test_credentials_over_plain_http_to_another_host_are_warned_of():
    with pytest.warns(PixieWarning, match=r"unencrypted: write opensearch\+https://"):
        Location.parse("opensearch+http://kim:secret@search.example:9200/docs")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Location.parse("opensearch+http://kim:secret@127.0.0.1:9200/docs")
        Location.parse("opensearch+http://search.example:9200/docs")


def test_a_location_is_pickled_whole():
    location = Location.parse("opensearch+https://kim:secret@a/docs")
    assert pickle.loads(pickle.dumps(location)) == location
