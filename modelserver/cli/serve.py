"""``modelserver serve``, and the entry point of the runtimes' images."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from modelserver.cli.banner import print_banner
from modelserver.cli.flags import Parser
from modelserver.declaration import Setting, SettingError, settings_of
from modelserver.engine.loader import installed_runtimes
from modelserver.settings import ModelSettings, ServerSettings

log = logging.getLogger("modelserver")


def run(argv: Sequence[str]) -> int:
    """Serve until a signal: 0 after a clean stop, 2 for a wrong flag, setting or path."""
    parser = _parser("modelserver serve", "modelserver serve PATH [flags]")
    parser.add_argument(
        "path", metavar="PATH", nargs="?", help="a model file, a directory, a repository, or my_model.py:Class"
    )
    return _serve(parser, argv, None, None)


def run_runtime(argv: Sequence[str] | None = None, runtime: str | None = None) -> int:
    """The main of a runtime's image: KServe's flags (``--model_dir``, ``--model_name``, ...) and no PATH.

    KServe's controller may add flags that we do not know: a warning in the log, not an error.
    """
    parser = _parser(runtime or "modelserver", f"{runtime or 'modelserver'} [flags]")
    return _serve(parser, sys.argv[1:] if argv is None else argv, runtime, [])


def _parser(prog: str, usage: str) -> Parser:
    description = "Serve models over v1 REST, v2 REST and v2 gRPC. Flags take dashes or underscores."
    parser = Parser(prog, description, usage)
    parser.add_settings(settings_of(ModelSettings))
    parser.add_settings(settings_of(ServerSettings))
    return parser


def _runtime_settings(runtime: str | None) -> dict[str, Setting]:
    """What the installed runtimes (or just the one) can be told, by name."""
    try:
        classes = installed_runtimes(runtime).values()
    except ValueError:  # not installed: said when the model is looked for
        return {}
    return {item.name: item for cls in classes if cls.settings is not None for item in settings_of(type(cls.settings))}


def _serve(parser: Parser, argv: Sequence[str], runtime: str | None, unknown: list[str] | None) -> int:
    declared = _runtime_settings(runtime)
    for item in declared.values():
        parser.add_settings([item])
    given = parser.read(argv, unknown)
    path = given.pop("path", None)
    texts = {name: given.pop(name) for name in declared if name in given}
    try:
        options = {name: declared[name].read(text) for name, text in texts.items()}
        settings = ServerSettings.resolve(given)
        model = ModelSettings.resolve(given)
        target = _target(path, model.model_dir, settings.allow_no_models)
    except SettingError as error:
        parser.error(str(error))
    # They import the web and gRPC stacks: only once the flags are right.
    from modelserver.server import ModelServer
    from modelserver.telemetry.logs import configure_logging

    server = ModelServer(settings, on_ready=lambda dataplane: print_banner(server, dataplane))
    try:
        if settings.configure_logging:
            configure_logging(settings.log_format, settings.log_level, settings.log_config_file)
        _warn(unknown or [], settings)
        runtime = model.runtime or runtime
        server.serve(target or [], model_name=model.model_name, runtime=runtime, options=options)
    except (ValueError, OSError) as error:  # nothing to serve there; or a port is taken
        log.debug("serve failed", exc_info=True)
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


def _warn(unknown: Sequence[str], settings: ServerSettings) -> None:
    for name in unknown:
        log.warning("unknown flag %s is ignored", name)
    for name in settings.without_effect():
        log.warning("--%s is accepted for KServe's sake and has no effect", name)


def _target(path: str | None, model_dir: str | None, allow_none: bool) -> str | None:
    """What to serve: PATH, or the directory of ``--model-dir``."""
    if path is not None and model_dir is not None and path != model_dir:
        raise SettingError(f"model_dir: got {model_dir!r} beside PATH {path!r}, expected one of them")
    target = path or model_dir
    if target is None:
        if allow_none:
            return None
        raise SettingError("PATH: missing, expected a model file, a directory, a repository or my_model.py:Class")
    file = target.rpartition(":")[0] if ".py:" in target else target
    if not Path(file).exists():
        raise SettingError(f"PATH: got {target!r}, expected a file or a directory that exists")
    return target
