"""A value is changed where it stands; nothing else of the file is."""

from pathlib import Path

import pytest

from rayops.errors import RayopsError
from rayops.promote import edit

TEXT = """\
# head
kind: Kustomization
components: # why these
- a   # and this
- "b"

# about images
images:
- {name: x/y, newTag: t}
- {digest: sha256:1, name: "x/z"}   # the digest
- name: w
  digest: 'sha256:2'
# tail
"""


def test_digests_are_found_by_name() -> None:
    assert edit.digests(TEXT) == {"x/z": "sha256:1", "w": "sha256:2"}
    assert edit.digests("") == edit.digests("images: []\n") == edit.digests("images: {a: b}\n") == {}


@pytest.mark.parametrize(("name", "old"), [("x/z", "sha256:1"), ("w", "'sha256:2'")])
def test_only_the_digest_is_another(name: str, old: str) -> None:
    assert edit.set_digest(TEXT, name, "sha256:9") == TEXT.replace(old, "sha256:9")


def test_an_image_without_a_digest_is_an_error() -> None:
    with pytest.raises(RayopsError, match="no digest for x/y"):
        edit.set_digest(TEXT, "x/y", "sha256:9")


def test_a_section_is_its_lines_and_the_comment_above_a_key_is_that_keys() -> None:
    assert edit.section(TEXT, "components") == 'components: # why these\n- a   # and this\n- "b"\n'
    assert edit.section(TEXT, "patches") is None
    changed = edit.set_section(TEXT, "components", "components: [c]\n")
    assert changed == TEXT.replace('components: # why these\n- a   # and this\n- "b"\n', "components: [c]\n")
    assert edit.set_section(TEXT, "components", str(edit.section(TEXT, "components"))) == TEXT
    with pytest.raises(RayopsError, match="patches is missing"):
        edit.set_section(TEXT, "patches", "")


def test_the_last_section_ends_before_the_comment_at_the_end() -> None:
    assert str(edit.section(TEXT, "images")).endswith("digest: 'sha256:2'\n")


def test_settings() -> None:
    text = "# a=0\na=1\nab=2\n"
    assert edit.setting(text, "a") == "1"
    assert edit.setting(text, "b") is None
    assert edit.set_setting(text, "a", "3") == "# a=0\na=3\nab=2\n"


def test_what_is_no_yaml_is_one_line() -> None:
    with pytest.raises(RayopsError, match="no YAML") as caught:
        edit.digests("a: [\n")
    assert "\n" not in caught.value.message


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kustomization.yaml"
    file.write_text("a: [1]\n")
    assert edit.read(file) == "a: [1]\n"
    file.write_text("a: [\n")
    with pytest.raises(RayopsError, match=r"kustomization\.yaml: no YAML"):
        edit.read(file)
