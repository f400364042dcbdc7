"""Run other programs: argument lists, output kept in a log file, one clear line when they fail.

run(["kustomize", "build", "overlays/local/rag"])             # returns stdout
run(["docker", "build", "."], log=Path(".cache/logs/image.log"))  # output streams into the file
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rayops.errors import RayopsError

MINUTE = 60
# Longer than any single step on two slow cores; a step that needs more hangs.
DEFAULT_TIMEOUT = 40 * MINUTE

# Called with each line of output of the program that runs, for live progress.
on_line: Callable[[str], object] = len


def find(program: str) -> Path | None:
    """The program on PATH, or None."""
    found = shutil.which(program)
    return Path(found) if found else None


def run(
    arguments: Sequence[str | Path],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    hint: str | None = None,
) -> str:
    """Run a program to its end and return its standard output (all output when a log is given).

    env is added to this process's environment; timeout in seconds. Raises RayopsError with the last line that says
    something when the program is missing, fails or takes too long; the error's evidence is the log.
    """
    command = [str(argument) for argument in arguments]
    environment = {**os.environ, **(env or {})}
    try:
        if log is not None:
            return _run_logged(command, log, cwd, environment, stdin, timeout, hint)
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise RayopsError(f"{_name(command)} cannot run in {cwd}: no such folder", hint=hint) from error
        raise RayopsError(f"{command[0]} is not installed", hint=hint) from error
    except OSError as error:  # no permission, or a program for another machine
        raise RayopsError(f"{command[0]} cannot be executed: {error.strerror}", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise RayopsError(f"{_name(command)} did not end within {timeout:.0f} s", hint=hint, evidence=log) from error
    if done.returncode != 0:
        raise RayopsError(f"{_name(command)} failed: {_cause(done.stderr or done.stdout)}", hint=hint)
    return done.stdout


def succeeds(arguments: Sequence[str | Path], *, timeout: float = 30, env: Mapping[str, str] | None = None) -> bool:
    """True when the program is there and ends with exit code 0 in time."""
    try:
        run(arguments, timeout=timeout, env=env)
    except RayopsError:
        return False
    return True


def _run_logged(
    command: list[str],
    log: Path,
    cwd: Path | None,
    env: Mapping[str, str],
    stdin: str | None,
    timeout: float,
    hint: str | None,
) -> str:
    log.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that its children can be ended with it
        )
        expired = threading.Event()

        def end() -> None:
            expired.set()
            _kill(process)

        watchdog = threading.Timer(timeout, end)
        watchdog.start()
        try:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError), process.stdin:  # it may end without reading
                    process.stdin.write(stdin or "")
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                lines.append(line)
                on_line(line.rstrip())
            code = process.wait()
        finally:
            watchdog.cancel()
            if process.poll() is None:
                _kill(process)
    if expired.is_set():
        raise RayopsError(f"{_name(command)} did not end within {timeout:.0f} s", hint=hint, evidence=log)
    if code != 0:
        raise RayopsError(f"{_name(command)} failed: {_cause(''.join(lines[-60:]))}", hint=hint, evidence=log)
    return "".join(lines)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _name(command: list[str]) -> str:
    words = [Path(command[0]).name, *(word for word in command[1:3] if not word.startswith("-"))]
    return " ".join(words)


def _cause(output: str) -> str:
    """The line that most likely names the cause: the last one with 'error' in it, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return "it printed nothing"
    named = [line for line in lines if "error" in line.lower()]
    return (named or lines)[-1][:400]
