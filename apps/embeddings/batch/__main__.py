"""`python -m apps.embeddings.batch --input FOLDER|FILE --output FOLDER`: embed everything that is not done yet."""

import argparse
import sys
from pathlib import Path

from apps.common.paths import models_dir
from apps.embeddings.batch.rows import InputError
from apps.embeddings.batch.run import MakeShards, make_key, make_with_ray, run
from apps.embeddings.batch.shard import Work
from apps.embeddings.settings import FP32, INT8, EncoderArgs

WRONG_ARGUMENTS, FAILED = 2, 1


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m apps.embeddings.batch", description="Embed a folder or a file.")
    made.add_argument("--input", type=Path, required=True, help="folder with .txt, .md, .jsonl, .parquet, or one file")
    made.add_argument("--output", type=Path, required=True, help="folder; what is done there is kept")
    made.add_argument("--column", default="text", help="of .jsonl and Parquet (default: text)")
    made.add_argument("--model", default=FP32, help=f"folder below the models folder: {FP32} (default), {INT8}")
    made.add_argument("--models", type=Path, help="default: PIPELINE_MODELS, else /srv/models")
    made.add_argument("--batch-size", type=_positive, default=32, help="texts of one run of the model")
    made.add_argument("--concurrency", type=_positive, default=2, help="actors at most, each with one CPU")
    made.add_argument("--shard-rows", type=_positive, default=1000, help="rows of a shard, about")
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(arguments: list[str] | None = None, make: MakeShards | None = None) -> int:
    """Run it and return the exit code: 0 done, 1 failed (run it again: what is done stays), 2 wrong arguments."""
    given = parser().parse_args(arguments)
    model, max_tokens = models_dir(given.models) / given.model, EncoderArgs().max_tokens
    try:
        key = make_key(model, given.column, max_tokens)
    except FileNotFoundError:
        return _refuse(f"--model {given.model}: there is no exported model in {model}")
    work = Work(given.input.absolute(), given.output.absolute(), model, given.column, key, given.batch_size, max_tokens)
    try:
        run(work, given.shard_rows, make or make_with_ray(given.concurrency), lambda line: print(line, flush=True))
    except InputError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(str(error))
    except Exception as error:
        changed = _input_error(error)
        if changed is None:
            raise
        print(f"error: {changed}", file=sys.stderr)
        return FAILED
    return 0


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return WRONG_ARGUMENTS


def _input_error(error: BaseException | None) -> InputError | None:
    """Return the InputError that a worker raised and Ray wrapped, if it is one."""
    while error is not None:
        for each in (error, getattr(error, "cause", None)):
            if isinstance(each, InputError):
                return each
        error = error.__cause__
    return None


if __name__ == "__main__":
    sys.exit(main())
