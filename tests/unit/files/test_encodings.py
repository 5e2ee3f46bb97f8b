"""Which encoding a text file is found to have, and what is said of the ones that have another."""

from __future__ import annotations

import gzip
import os

import pytest

from pixie_retrievers import InvalidParameterError, InvalidTextError
from pixie_retrievers.files import encodings
from pixie_retrievers.files.encodings import lines, open_text, reading, text_encodings

KOREAN = "정찰 위성이 국경의 움직임을 살핀다.\n대출 이자는 기준 금리를 따라 움직인다.\n"


@pytest.fixture
def file(tmp_path):
    def write(content, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def said(paths, named=None):
    with pytest.raises(InvalidTextError) as caught:
        text_encodings(paths, named)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_utf_8_and_whatever_has_a_mark_is_read_without_being_named(file, encoding, name):
    content = KOREAN.encode(encoding)
    path = file(gzip.compress(content) if name.endswith(".gz") else content, name)
    with open_text(path, text_encodings([path])[path]) as text:
        assert text.read() == KOREAN


def test_big_endian_utf_16_with_a_mark_is_read(file):
    path = file(b"\xfe\xff" + KOREAN.encode("utf-16-be"))
    with open_text(path, text_encodings([path])[path]) as text:
        assert text.read() == KOREAN


@pytest.mark.parametrize("encoding", ["cp949", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [KOREAN, KOREAN * 10_000, "English first. " * 20_000 + KOREAN], ids=len)
def test_another_encoding_is_recognised_and_read_when_it_is_named(file, encoding, text):
    path = file(text.encode(encoding))
    assert said([path]) == f"{path} is not UTF-8 and seems to be {encoding}: pass --encoding {encoding}"
    with open_text(path, text_encodings([path], encoding)[path]) as found:
        assert found.read() == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("これは日本語のテキストです。衛星は国境を見張る。", "shift_jis"),
        ("这是一个中文文本，卫星观察边境的动静。", "gb18030"),
        ("Plain English in wide letters.", "utf-16-le"),
    ],
)
def test_other_languages_are_not_taken_for_korean(file, text, encoding):
    assert f"seems to be {encoding}:" in said([file(text.encode(encoding))])


def test_one_message_names_all_files_of_a_run(file):
    first, second = file(KOREAN.encode("cp949"), "b.txt"), file(KOREAN.encode("cp949"), "c.txt")
    paths = [file(KOREAN.encode()), first, second]
    assert said(paths) == f"{first}, {second} are not UTF-8 and seem to be cp949: pass --encoding cp949"
    many = [file(KOREAN.encode("cp949"), f"{n}.txt") for n in range(9)]
    assert f"{many[4]} and 4 more are" in said(many)


def test_files_that_are_utf_8_stay_so_when_another_encoding_is_named(file):
    old, new = file(KOREAN.encode("cp949"), "old.txt"), file(KOREAN.encode(), "new.txt")
    assert text_encodings([old, new], "cp949") == {old: "cp949", new: "utf-8"}


def test_a_few_broken_bytes_are_damage_and_no_other_encoding(file):
    path = file(KOREAN.encode() * 5 + b"\xff" + KOREAN.encode())
    at = len(KOREAN.encode()) * 5 + 1
    assert said([path]) == (
        f"{path}: damaged (byte {at}, line 11): all but a few characters are sound; repair the file, or leave it out"
    )
    assert "damaged" in said([path], "cp949")


def test_what_nothing_explains_is_asked_about(file):
    path = file(b"\x80\x81\xff\xfe\xff" * 50)
    assert "say what it is with --encoding" in said([path])
    assert "neither UTF-8 nor ascii" in said([path], "ascii")


def test_the_last_byte_counts(file):
    path = file("가".encode()[:2])
    with pytest.raises(InvalidTextError):
        text_encodings([path])


@pytest.mark.parametrize("name", ["cp94", "", "hex", "a\0b"])
def test_an_encoding_that_does_not_exist_is_refused(file, name):
    with pytest.raises(InvalidParameterError, match="there is no encoding"):
        text_encodings([file(b"x")], name)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(KOREAN.encode())[:-12]])
def test_a_broken_compressed_file_is_refused(file, content):
    path = file(content, "a.txt.gz")
    with pytest.raises(InvalidParameterError, match=r"a\.txt\.gz: cannot be read"):
        text_encodings([path])


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(InvalidParameterError, match="not a regular file"):
        text_encodings([tmp_path / "a.txt"])


def test_a_line_that_never_ends_is_refused(file, monkeypatch):
    monkeypatch.setattr(encodings, "MAX_CHARACTERS", 10)
    path = file(b"012345678\n01234567890\n")
    with (
        open_text(path, "utf-8") as text,
        pytest.raises(InvalidTextError, match=r"a\.txt:2: the line is longer than 10"),
    ):
        list(lines(path, text))
    with open_text(file(b"012345678\n0123456789"), "utf-8") as text:
        assert list(lines(path, text)) == ["012345678\n", "0123456789"]


def test_a_file_that_changes_between_two_passes_says_so(file):
    path = file(b"\xff")
    with (
        pytest.raises(InvalidTextError, match="changed while it was read"),
        reading(path),
        open_text(path, "utf-8") as f,
    ):
        f.read()
