"""Settings: who wins, and one line for every value that cannot be used."""

from pathlib import Path

import pytest

from studio.errors import SettingsError
from studio.settings import Settings, load_settings, settings_file


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No atelier.toml of whoever runs the tests lies in the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a settings file elsewhere than in the working folder and points to it."""
    path = tmp_path / "elsewhere" / "my.toml"
    path.parent.mkdir()

    def write(text: str | bytes) -> Path:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv("ATELIER_CONFIG", str(path))
        return path

    return write


def refusal(**overrides: object) -> str:
    """The one line that settings are refused with."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# Who wins


def test_defaults_need_nothing():
    settings = load_settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 7860, "auto")
    assert settings.data_dir.is_absolute()
    assert settings.memory_budget == 0


def test_the_file_wins_over_the_default(toml):
    toml("port = 8001\nlog_level = 'debug'\n")
    assert load_settings().port == 8001
    assert load_settings().log_level == "debug"


def test_the_environment_wins_over_the_file(toml, monkeypatch):
    toml("port = 8001\nhost = '10.0.0.1'\n")
    monkeypatch.setenv("ATELIER_PORT", "8002")
    assert load_settings().port == 8002
    assert load_settings().host == "10.0.0.1"


def test_an_argument_wins_over_all(toml, monkeypatch):
    toml("port = 8001\n")
    monkeypatch.setenv("ATELIER_PORT", "8002")
    assert load_settings(port=8003).port == 8003


def test_an_argument_that_was_not_given_is_left_to_the_others(toml):
    toml("port = 8001\n")
    assert load_settings(port=None, host=None).port == 8001


def test_the_file_in_the_working_folder_is_read(tmp_path):
    (tmp_path / "atelier.toml").write_text("port = 8004\n")
    assert settings_file().name == "atelier.toml"
    assert load_settings().port == 8004


def test_the_named_file_replaces_the_one_in_the_working_folder(tmp_path, toml):
    (tmp_path / "atelier.toml").write_text("port = 8004\nhost = '::1'\n")
    toml("port = 8001\n")
    assert load_settings().port == 8001
    assert load_settings().host == "127.0.0.1"


def test_variables_are_read_in_any_case(monkeypatch):
    monkeypatch.setenv("atelier_port", "8005")
    assert load_settings().port == 8005


def test_settings_do_not_change_after_the_start():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1


# Sizes and folders


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("6GB", 6 * 10**9),
        ("6gb", 6 * 10**9),
        (" 6 GB ", 6 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("512MiB", 2**29),
        ("512 MiB", 2**29),
        ("800kb", 800_000),
        ("12345", 12345),
        ("0", 0),
    ],
)
def test_sizes_are_written_as_people_write_them(written, size, monkeypatch):
    monkeypatch.setenv("ATELIER_MEMORY_BUDGET", written)
    assert load_settings().memory_budget == size
    assert load_settings(max_upload=written).max_upload == size


def test_a_size_in_the_file_may_be_a_number(toml):
    toml("memory_budget = 6_000_000_000\nmax_upload = '10MB'\n")
    assert load_settings().memory_budget == 6 * 10**9
    assert load_settings().max_upload == 10**7


@pytest.mark.parametrize("written", ["six", "6 pounds", "GB", "inf", "nan", "6G", "", "-"])
def test_a_nonsense_size_is_refused(written, monkeypatch):
    monkeypatch.setenv("ATELIER_MEMORY_BUDGET", written)
    message = refusal()
    assert "memory_budget (ATELIER_MEMORY_BUDGET)" in message
    assert repr(written) in message
    assert "6GB" in message
    assert "512MiB" in message


def test_a_negative_size_is_refused():
    assert "greater than or equal to 0" in refusal(memory_budget="-5GB")


def test_a_folder_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load_settings(data_dir="here").data_dir == tmp_path / "here"
    assert load_settings(data_dir="~/there").data_dir == tmp_path / "home" / "there"


@pytest.mark.parametrize("folder", ["", "~no-such-user-at-all/atelier", "a\0b"])
def test_a_folder_that_is_none_is_refused(folder, toml):
    """The empty one would be the working folder: perhaps the source tree."""
    message = refusal(data_dir=folder)
    assert "data_dir (ATELIER_DATA_DIR)" in message
    assert repr(folder) in message
    assert "folder" in message


def test_an_empty_variable_does_not_put_data_into_the_working_folder(monkeypatch):
    monkeypatch.setenv("ATELIER_DATA_DIR", "")
    assert "data_dir" in refusal()


# Bad values


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("port", "abc", "integer"),
        ("port", "70000", "65535"),
        ("port", "-1", "greater than or equal to 0"),
        ("device", "gpu", "auto, cpu, cuda, cuda:N, mps, xpu or xpu:N"),
        ("device", "cuda:x", "auto, cpu, cuda, cuda:N, mps, xpu or xpu:N"),
        ("device", "cpu\nx", "auto, cpu, cuda, cuda:N, mps, xpu or xpu:N"),
        ("dtype", "float8", "'auto', 'float32', 'float16' or 'bfloat16'"),
        ("attention", "flash", "'sdpa' or 'xformers'"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("max_waiting_jobs", "0", "greater than or equal to 1"),
        ("trash_days", "-1", "greater than or equal to 0"),
        ("max_upload", "much", "6GB"),
    ],
)
def test_a_bad_value_names_key_value_and_what_is_allowed(key, value, allowed, monkeypatch):
    monkeypatch.setenv(f"ATELIER_{key.upper()}", value)
    message = refusal()
    assert f"{key} (ATELIER_{key.upper()})" in message
    assert repr(value) in message
    assert allowed in message


def test_bad_values_in_the_file_are_named_too(toml):
    toml("port = 'seven'\n")
    message = refusal()
    assert "port (ATELIER_PORT) is 'seven'" in message


def test_the_first_of_several_bad_values_is_named(monkeypatch):
    monkeypatch.setenv("ATELIER_PORT", "abc")
    monkeypatch.setenv("ATELIER_DTYPE", "float8")
    assert "ATELIER_PORT" in refusal()


def test_a_mistyped_variable_is_refused(monkeypatch):
    monkeypatch.setenv("ATELIER_PROT", "7860")
    message = refusal()
    assert "ATELIER_PROT" in message
    assert "ATELIER_PORT" in message


def test_a_mistyped_key_in_the_file_is_refused(toml):
    toml("prot = 7860\n")
    message = refusal()
    assert "'prot'" in message
    assert "port" in message


def test_a_table_in_the_file_is_refused(toml):
    toml("[server]\nport = 1\n")
    assert "'server'" in refusal()


@pytest.mark.parametrize("text", ["port = = 1", "port 7860", "[", "port = 1\nport = 2"])
def test_broken_toml_is_refused(text, toml):
    path = toml(text)
    message = refusal()
    assert str(path) in message
    assert "TOML" in message
    assert "(at " in message


def test_a_file_that_is_no_text_is_refused(toml):
    path = toml(b"\xff\xfe\x00\x01")
    assert str(path) in refusal()


def test_a_named_file_that_is_not_there_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("ATELIER_CONFIG", str(tmp_path / "gone.toml"))
    message = refusal()
    assert "ATELIER_CONFIG" in message
    assert "gone.toml" in message


def test_a_file_that_cannot_be_read_is_refused(monkeypatch):
    """Not even root reads this one from its start."""
    path = Path("/proc/self/mem")
    if not path.is_file():
        pytest.skip("needs Linux's /proc")
    monkeypatch.setenv("ATELIER_CONFIG", str(path))
    assert "/proc/self/mem" in refusal()


def test_every_setting_is_described():
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
