"""Stand-ins for other programs: a recorder in the place of rayops.proc.run, and small scripts for a PATH."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayops.errors import RayopsError

Reply = str | Exception | Callable[[list[str]], str]


@dataclass
class Call:
    """One program that would have run."""

    words: list[str]
    options: dict[str, Any]

    def has(self, *words: str) -> bool:
        """Whether these words stand in the command, in this order."""
        rest = iter(self.words)
        return all(word in rest for word in words)

    def after(self, option: str) -> str:
        """The word behind an option."""
        return self.words[self.words.index(option) + 1]


@dataclass
class Recorder:
    """The place of rayops.proc.run: notes each call, gives the latest reply whose words are all in it, else ""."""

    calls: list[Call] = field(default_factory=list)
    replies: list[tuple[tuple[str, ...], Reply]] = field(default_factory=list)

    def __call__(self, arguments: Sequence[str | Path], **options: Any) -> str:
        call = Call([str(argument) for argument in arguments], options)
        self.calls.append(call)
        for words, reply in reversed(self.replies):
            if call.has(*words):
                if isinstance(reply, Exception):
                    raise reply
                return reply if isinstance(reply, str) else reply(call.words)
        return ""

    def succeeds(self, arguments: Sequence[str | Path], **options: Any) -> bool:
        """The place of rayops.proc.succeeds."""
        try:
            self(arguments, **options)
        except RayopsError:
            return False
        return True

    def reply(self, *words: str, say: Reply = "") -> None:
        """From now on, a command with these words says this, or fails with it."""
        self.replies.append((words, say))

    def fail(self, *words: str, message: str = "it failed") -> None:
        """From now on, a command with these words fails."""
        self.reply(*words, say=RayopsError(message))

    def of(self, *words: str) -> list[Call]:
        """The calls with these words."""
        return [call for call in self.calls if call.has(*words)]

    def one(self, *words: str) -> Call:
        """The only call with these words."""
        found = self.of(*words)
        assert len(found) == 1, f"{words}: {[call.words for call in self.calls]}"
        return found[0]


def write_program(folder: Path, name: str, body: str) -> Path:
    """A shell script that is a program."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program
