"""When people have to log in, and where the settings' password comes from."""

import pytest

from studio.api import server
from studio.errors import SettingsError
from studio.password import has_accounts, is_loopback, read_password
from studio.settings import Settings, load_settings

GOOD = "long enough"


def refusal(call) -> str:
    with pytest.raises(SettingsError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_where_others_can_come_people_log_in(host):
    settings = Settings(host=host, port=0)
    with server.listen(settings) as listener:
        assert server.reached(settings, listener).accounts == "on"
    off = Settings(host=host, port=0, accounts="off")
    assert "so people have to log in" in refusal(lambda: server.listen(off))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_on_ones_own_machine_they_do_if_that_is_asked_for(host):
    for given, accounts in (
        ({}, "off"),
        ({"accounts": "off"}, "off"),
        ({"accounts": "on"}, "on"),
        ({"password": GOOD}, "on"),
    ):
        settings = Settings(host=host, port=0, **given)
        with server.listen(settings) as listener:
            assert server.reached(settings, listener).accounts == accounts
        assert has_accounts(settings) == (accounts == "on")


def test_a_name_is_nobodys_own_but_localhost():
    assert has_accounts(Settings(host="studio.example"))


def test_a_password_for_nobody_is_refused():
    settings = Settings(port=0, accounts="off", password=GOOD)
    assert "keep one of them" in refusal(lambda: server.listen(settings))


def test_an_address_is_ones_own_by_its_number_not_by_its_looks():
    assert not is_loopback("192.0.2.1")
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:192.0.2.1")
    assert not is_loopback("fe80::1%eth0")


def test_the_file_wins_nothing_over_the_setting(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{GOOD}\nsecond line")
    assert read_password(Settings(password_file=str(file))) == GOOD
    both = Settings(password_file=str(file), password=GOOD)
    assert "are both given" in refusal(lambda: read_password(both))


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\xff\xfe\xff"])
def test_a_file_without_a_password(tmp_path, content):
    file = tmp_path / "password"
    file.write_bytes(content)
    text = refusal(lambda: read_password(Settings(password_file=str(file))))
    assert "ATELIER_PASSWORD_FILE" in text


def test_a_file_that_is_not_there(tmp_path):
    missing = Settings(password_file=str(tmp_path / "none"))
    assert "(No such file or directory)" in refusal(lambda: read_password(missing))
    folder = Settings(password_file=str(tmp_path))
    assert "(Is a directory)" in refusal(lambda: read_password(folder))


@pytest.mark.parametrize("value", ["short", "x" * 5000])
def test_the_password_is_never_told(monkeypatch, value):
    monkeypatch.setenv("ATELIER_PASSWORD", value)
    settings = load_settings()
    assert value not in repr(settings)
    assert value not in str(settings.model_dump())
    assert value not in refusal(lambda: read_password(settings))


def test_a_password_that_is_no_text_is_not_told_either(tmp_path, monkeypatch):
    (tmp_path / "atelier.toml").write_text("password = 12345678\n")
    monkeypatch.chdir(tmp_path)
    text = refusal(load_settings)
    assert "ATELIER_PASSWORD" in text
    assert "12345678" not in text
