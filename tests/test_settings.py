"""Settings: every source, every kind of value, and a table in the documentation that has them all."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from modelserver.config_file import read_file
from modelserver.declaration import FALSE_WORDS, TRUE_WORDS, SettingError, boolean, settings_of
from modelserver.settings import BatchSettings, ModelSettings, ServerSettings

ROOT = Path(__file__).parent.parent
CLASSES = [ServerSettings, ModelSettings, BatchSettings]


def test_defaults_are_kserves_ports_and_limits() -> None:
    settings = ServerSettings()

    assert (settings.http_port, settings.grpc_port, settings.workers) == (8080, 8081, 1)
    assert 8 * 1024 * 1024 == settings.grpc_max_receive_message_length == settings.grpc_max_send_message_length
    assert settings.http_max_body_bytes == 64 * 1024 * 1024
    assert settings.timeout_keep_alive == 65


@pytest.mark.parametrize("cls", CLASSES)
def test_every_default_is_valid_and_every_setting_has_a_help_text(cls: type) -> None:
    cls()
    assert all(setting.help for setting in settings_of(cls))


def test_settings_are_frozen_and_travel_to_other_processes() -> None:
    settings = ServerSettings(http_port=0)

    with pytest.raises(FrozenInstanceError):
        settings.http_port = 1  # type: ignore[misc]
    assert settings == pickle.loads(pickle.dumps(settings))


def test_strength_is_default_file_environment_command_line(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('workers = 2\nhttp-port = 1002\ngrpc_port = 1003\nlog_format = "json"\n')
    environ = {"MODELSERVER_CONFIG": str(file), "MODELSERVER_HTTP_PORT": "2002", "MODELSERVER_GRPC_PORT": "2003"}

    settings = ServerSettings.resolve({"grpc_port": "3003"}, environ)

    assert settings.server_name == "modelserver"
    assert (settings.workers, settings.log_format) == (2, "json")
    assert settings.http_port == 2002
    assert settings.grpc_port == 3003


def test_config_flag_wins_over_its_variable(tmp_path: Path) -> None:
    for name, workers in (("a.json", 2), ("b.json", 3)):
        (tmp_path / name).write_text(json.dumps({"workers": workers}))

    settings = ServerSettings.resolve(
        {"config": str(tmp_path / "b.json")}, {"MODELSERVER_CONFIG": str(tmp_path / "a.json")}
    )

    assert settings.workers == 3


def test_a_file_settles_server_and_model(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_text('{"workers": 2, "model-name": "iris"}')
    given = {"config": str(file)}

    assert ServerSettings.resolve(given, {}).workers == 2
    assert ModelSettings.resolve(given, {}).model_name == "iris"


def test_yaml_file(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    file = tmp_path / "server.yaml"
    file.write_text("workers: 2\nenable_grpc: false\n")

    assert read_file(file) == {"workers": 2, "enable_grpc": False}


def test_environment_of_kserve_is_honoured_below_ours() -> None:
    environ = {
        "KSERVE_LOGLEVEL": "debug",
        "CE_MERGE": "true",
        "CE_SOURCE": "here",
        "CE_TYPE": "theirs",
        "MODELSERVER_CE_TYPE": "ours",
    }

    settings = ServerSettings.resolve({}, environ)

    assert (
        settings.log_level,
        settings.ce_merge,
        settings.ce_source,
        settings.ce_type,
    ) == ("DEBUG", True, "here", "ours")


@pytest.mark.parametrize("text", ["", "tcp://10.0.0.1:80"])
def test_variables_of_templates_and_of_kubernetes_are_not_settings(text: str) -> None:
    assert ServerSettings.resolve({}, {"MODELSERVER_HTTP_PORT": text}).http_port == 8080


@pytest.mark.parametrize("word", sorted(TRUE_WORDS | {"True", "YES"}))
def test_true_words(word: str) -> None:
    assert boolean(word) is True


@pytest.mark.parametrize("word", sorted(FALSE_WORDS | {"False", "NO"}))
def test_false_words(word: str) -> None:
    assert boolean(word) is False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"http_port": "x"}, "http_port: got 'x', expected a whole number from 0 to 65535"),
        ({"http_port": 65536}, "http_port: got 65536, expected a whole number from 0 to 65535"),
        ({"http_port": True}, "http_port: got True, expected a whole number from 0 to 65535"),
        ({"http_port": None}, "http_port: got None, expected a whole number from 0 to 65535"),
        ({"workers": 0}, "workers: got 0, expected a whole number, at least 1"),
        ({"workers": 1.5}, "workers: got 1.5, expected a whole number, at least 1"),
        ({"lame_duck": "-1"}, "lame_duck: got '-1', expected a number of seconds, at least 0"),
        ({"grace_period": "nan"}, "grace_period: got 'nan', expected a number of seconds, at least 0"),
        ({"grace_period": "inf"}, "grace_period: got 'inf', expected a number of seconds, at least 0"),
        ({"enable_grpc": "maybe"}, "enable_grpc: got 'maybe', expected true or false"),
        ({"log_format": "xml"}, "log_format: got 'xml', expected one of text, json"),
        ({"host": 1}, "host: got 1, expected a text"),
        ({"grpc_port": 8080}, "grpc_port: got 8080, expected another port than http_port"),
        ({"ssl_certfile": "a.pem"}, "ssl_certfile: got 'a.pem', but TLS is not served yet; expected it not set"),
        ({"htp_port": 1}, "unknown setting 'htp_port'; did you mean http_port?"),
    ],
)
def test_a_wrong_setting_is_one_line_with_name_value_and_expectation(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as error:
        ServerSettings.resolve(given, {})

    assert message == str(error.value)


def test_the_constructor_validates_too() -> None:
    with pytest.raises(SettingError, match="http_port: got 'x'"):
        ServerSettings(http_port="x")  # type: ignore[arg-type]


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(SettingError) as error:
        ServerSettings.resolve({}, {"KSERVE_LOGLEVEL": "LOUD"})

    assert str(error.value).startswith("log_level: got 'LOUD' from KSERVE_LOGLEVEL, expected one of DEBUG")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "workers = ", "config: cannot read"),
        ("a.json", "[1]", "config: got list in"),
        ("a.json", '{"wrokers": 1}', "unknown setting 'wrokers' in"),
        ("a.json", '{"workers": "many"}', "workers: got 'many' from"),
        ("a.json", '{"config": "b.json"}', "config: got 'b.json' from"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(SettingError, match=message) as error:
        ServerSettings.resolve({"config": str(file)}, {})

    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"config: cannot read .*none.toml: No such file"):
        ServerSettings.resolve({"config": str(tmp_path / "none.toml")}, {})


def test_threads_are_four_at_least_unless_set() -> None:
    assert ServerSettings().threads >= 4
    assert ServerSettings(max_threads=2).threads == 2


def test_threads_follow_the_cpu_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelserver.settings.cpu_quota", lambda: 5.5)
    assert ServerSettings().threads == 6


def test_settings_without_effect_are_told() -> None:
    assert ServerSettings(protocol="v1").without_effect() == []
    assert ServerSettings(protocol="v2", max_asyncio_workers=2).without_effect() == ["max_asyncio_workers", "protocol"]


def test_batch_settings_read_kserves_spelling_with_milliseconds() -> None:
    assert BatchSettings(max_batch_size=8, max_latency=0.5) == BatchSettings.from_mapping(
        {"maxBatchSize": "8", "maxLatency": 500}
    )
    assert BatchSettings(max_batch_size=64) == BatchSettings.from_mapping({})


def test_the_documentation_has_every_setting() -> None:
    check = subprocess.run(
        [sys.executable, str(ROOT / "docs/reference/generate.py"), "--check"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )

    assert (check.returncode, check.stderr) == (0, "")
