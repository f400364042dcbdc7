"""What the pinned Ray says of a Serve config, without Ray: its JSON schema as a file, and what its validators add.

    python -m rayops.lint.serve_schema      # writes serve-<version>.schema.json again; only this imports Ray

The file is ray.serve.schema.ServeDeploySchema.model_json_schema(), with two differences: a field that it does not name
is not allowed (Ray drops it without a word, so a misspelt one has no effect), and where it takes "any mapping or
AutoscalingConfig" only the latter is taken (Ray makes one of it when it deploys). What the schema cannot say is in
rayops.lint.serve_validators. Stricter than pydantic on purpose: a number is no text ("2").
"""

import functools
import json
from pathlib import Path
from typing import Any

Schema = dict[str, Any]
FOLDER = Path(__file__).parent
# Words for people and defaults, which decide nothing.
SILENT = ("title", "description", "default", "deprecated")


def file_of(version: str) -> Path:
    """The schema of a version of Ray."""
    return FOLDER / f"serve-{version}.schema.json"


@functools.cache
def schema() -> Schema:
    """The schema of the newest Ray that is here, which is the pinned one (a test holds it to versions.env)."""
    found: Schema = json.loads(max(FOLDER.glob("serve-*.schema.json")).read_text())
    return found


def generate() -> Schema:
    """The schema of the installed Ray. Only the development environment has Ray."""
    from ray.serve.schema import ServeDeploySchema

    made: Schema = strict(ServeDeploySchema.model_json_schema())
    return made


def strict(node: Any) -> Any:
    """A schema without words, defaults, room for fields that it does not name, and `any mapping` beside a model."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _value(key, value) for key, value in node.items() if key not in SILENT}
    if "properties" in made:
        made.setdefault("additionalProperties", False)
    if any("$ref" in each for each in made.get("anyOf") or []):
        made["anyOf"] = [each for each in made["anyOf"] if not _any_mapping(each)]
    return made


def _value(key: str, value: Any) -> Any:
    """`properties` and `$defs` hold names, not keywords: a field may be called `title`."""
    if key in ("properties", "$defs"):
        return {name: strict(each) for name, each in value.items()}
    return strict(value)


def _any_mapping(schema: Schema) -> bool:
    return schema.get("type") == "object" and schema.get("additionalProperties", True) is True


def main() -> int:
    """Write the file of the installed Ray."""
    import ray

    file_of(ray.__version__).write_text(json.dumps(generate(), indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
