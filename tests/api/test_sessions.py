"""The name of the cookie that sessions have."""

import stat

import pytest

from studio.api.sessions import cookie_name
from studio.errors import StorageError


def test_the_name_is_of_each_folder_and_stays(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert cookie_name(first) == cookie_name(first) != cookie_name(second)
    assert stat.S_IMODE((first / "cookie.name").stat().st_mode) == 0o600
    assert [each.name for each in first.iterdir()] == ["cookie.name"]


def test_a_name_that_was_cut_short_is_made_anew(tmp_path):
    (tmp_path / "cookie.name").write_bytes(b"short")
    assert len(cookie_name(tmp_path)) == len("atelier-") + 12


def test_a_folder_that_keeps_nothing(tmp_path):
    (tmp_path / "cookie.name").mkdir()
    with pytest.raises(StorageError, match=r"write cookie\.name to .*: Is a directory"):
        cookie_name(tmp_path)
