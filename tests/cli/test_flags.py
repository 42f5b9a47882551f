"""Flags: KServe's spellings and ours, one line for a mistake."""

from __future__ import annotations

import pytest

from modelserver.cli.flags import Parser
from modelserver.declaration import SettingError, settings_of
from modelserver.settings import ModelSettings, ServerSettings

# KServe's table (0.20, and 0.21 without its two for TLS): each flag in its own spelling, with a value of its kind.
KSERVE = {
    "--http_port": "8082",
    "--grpc_port": "8083",
    "--workers": "2",
    "--max_threads": "8",
    "--max_asyncio_workers": "8",
    "--enable_grpc": "False",
    "--enable_docs_url": "true",
    "--enable_latency_logging": "no",
    "--configure_logging": "0",
    "--log_config_file": "log.yaml",
    "--access_log_format": "%(h)s",
    "--event-loop": "asyncio",
    "--timeout-keep-alive": "75",
    "--model_name": "iris",
    "--model_dir": "/mnt/models",
    "--predictor_host": "predictor:80",
    "--protocol": "grpc-v2",
    "--predictor_protocol": "v2",
    "--predictor_use_ssl": "on",
    "--predictor_request_timeout_seconds": "60",
    "--predictor_request_retries": "3",
    "--grpc_max_send_message_length": "1000",
    "--grpc_max_receive_message_length": "1000",
}


@pytest.fixture
def parser() -> Parser:
    made = Parser("serve", "")
    made.add_settings(settings_of(ModelSettings))
    made.add_settings(settings_of(ServerSettings))
    made.add_argument("path", nargs="?")
    return made


@pytest.mark.parametrize("form", ["equals", "space", "dashes"])
def test_kserves_whole_table_is_taken(parser: Parser, form: str) -> None:
    argv = []
    for flag, value in KSERVE.items():
        if form == "equals":
            argv.append(f"{flag}={value}")
        else:
            argv += [flag.replace("_", "-") if form == "dashes" else flag, value]

    given = parser.read([*argv, "--enable_predictor_health_check"])

    expected = {flag[2:].replace("-", "_"): value for flag, value in KSERVE.items()}
    assert expected | {"enable_predictor_health_check": "true"} == given
    assert ServerSettings.resolve(given, {}).http_port == 8082
    assert ModelSettings.resolve(given, {}).model_name == "iris"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--enable-grpc", "model.joblib"], {"enable_grpc": "true", "path": "model.joblib"}),
        (["--enable_grpc", "false", "model.joblib"], {"enable_grpc": "false", "path": "model.joblib"}),
        (["model.joblib", "--enable-grpc"], {"enable_grpc": "true", "path": "model.joblib"}),
        (["--no-enable-grpc"], {"enable_grpc": "false"}),
        (["--no_enable_grpc"], {"enable_grpc": "false"}),
        (["--predictor_health_check"], {"enable_predictor_health_check": "true"}),
        (["--grpc-max-send-message-length", "-1"], {"grpc_max_send_message_length": "-1"}),
        (["--http-port", "1", "--http_port", "2"], {"http_port": "2"}),
        (["--", "--odd"], {"path": "--odd"}),
        ([], {}),
    ],
)
def test_spellings(parser: Parser, argv: list[str], expected: dict[str, str]) -> None:
    assert expected == parser.read(argv)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--htp_port", "1"], "serve: unknown flag --htp_port; did you mean --http-port?"),
        (["--qqqqqq"], "serve: unknown flag --qqqqqq"),
        (["--http-port"], "serve: --http-port: expected a value"),
        (["a", "b"], "serve: unexpected argument 'b'"),
        (["--http"], "serve: unknown flag --http; did you mean --http-port?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    parser: Parser, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parser.read(argv)

    assert exit_.value.code == 2
    assert message + "\n" == capsys.readouterr().err


def test_unknown_flags_are_gathered_with_their_values_left_out(parser: Parser) -> None:
    unknown: list[str] = []

    given = parser.read(["--new_flag", "value", "--http_port=1", "--other=x", "--bare", "--workers", "2"], unknown)

    assert given == {"http_port": "1", "workers": "2"}
    assert unknown == ["--new_flag", "--other", "--bare"]


def test_tls_is_refused_rather_than_served_in_the_clear(parser: Parser) -> None:
    given = parser.read(["--ssl_certfile=tls.crt", "--ssl_keyfile=tls.key"])

    with pytest.raises(SettingError, match=r"ssl_certfile: got 'tls\.crt', but TLS is not served yet"):
        ServerSettings.resolve(given, {})
