"""What has another shape than a catalogue is refused, each fault with its line, all at once."""

from collections.abc import Callable

import pytest

from rayops.models.sync import CATALOGUE
from tests.unit.models.conftest import REVISION, Checkout

Refused = Callable[[str, str], None]


def test_a_good_one_has_no_fault(checkout: Checkout) -> None:
    assert checkout.faults() == []


@pytest.mark.parametrize(
    ("old", "new", "words", "said"),
    [
        (
            "  size_gib: 13.5\n",
            "  size_gib: 13.5\n  siez_gib: 1\n",
            "siez_gib",
            "models[big].siez_gib: unknown field → did you mean size_gib?",
        ),
        ("  size_gib: 13.5", '  size_gib: "13.5"', '"13.5"', "models[big].size_gib: '13.5': input should be a valid"),
        (
            "  aliases: [Big, maker/Big]",
            "  aliases: Big",
            "aliases: Big",
            "models[big].aliases: 'Big': input should be",
        ),
        (
            "  aliases: [Big, maker/Big]",
            "  aliases: [Big, 7]",
            "[Big, 7]",
            "models[big].aliases[1]: 7: input should be",
        ),
        (
            f"  revision: {REVISION}",
            "  revision: main",
            "revision: main",
            "models[big].revision: 'main': string should",
        ),
        (
            f"  revision: {REVISION}",
            "  revision: v0.3",
            "revision: v0.3",
            "models[big].revision: 'v0.3': string should",
        ),
        (
            f"  revision: {REVISION}",
            "  revision: cccccc # short",
            "# short",
            "models[big].revision: 'cccccc': string should",
        ),
        ("  group: gpu", "  group: [gpu]", "group: [gpu]", "models[big].group: ['gpu']: input should be a valid"),
        (
            "  kind: chat",
            "  kind: talk",
            "kind: talk",
            "models[big].kind: 'talk': input should be 'chat' or 'embeddings'",
        ),
        (
            "  - {path: config.json,",
            "  - {path: ../config.json,",
            "../config",
            "models[big].files[0].path: '../config.json'",
        ),
        (
            "  - {path: config.json,",
            "  - {path: a.json, size: 1,",
            "a.json",
            "models[big].files[0].size: unknown field →",
        ),
        ("  source: maker/Big-7B", "  source: https://maker", "//maker", "models[big].source: 'https://maker': string"),
        (
            "  environments: [local, prod]",
            "  environments: []",
            ": []",
            "models[big].environments: []: list should have",
        ),
    ],
)
def test_one_field(checkout: Checkout, old: str, new: str, words: str, said: str) -> None:
    checkout.model("big", old, new)
    found = [fault for fault in checkout.faults() if fault.startswith(f"{CATALOGUE}:{checkout.line(words.strip())}:")]
    assert len(found) == 1
    assert said in found[0]
    assert " → " in found[0]


def test_a_missing_field_is_told_at_its_entry(checkout: Checkout, refused: Refused) -> None:
    checkout.model("vectors", "  licence: Apache-2.0\n", "")
    fix = "an SPDX identifier, or LicenseRef-NAME where SPDX has none"
    refused("id: vectors", f"models[vectors].licence: is missing → {fix}")


@pytest.mark.parametrize(
    ("old", "new", "words", "said"),
    [
        ("gpu_memory_utilization: 0.9", "gpu_memory_utilization: 2", "ization: 2", "gpu_memory_utilization: 2: input"),
        ("gpu_memory_gib: {gpu: 24,", "gpu_memory_gib: {gpu: x,", "gpu: x", "gpu_memory_gib.gpu: 'x': input should"),
        ("download: https://", "download: ftp://", "ftp://", "download: 'ftp://"),
        ("/{path}\ngpu", "\ngpu", "download:", "download: 'https://"),
        ("models:\n", "owner: me\nmodels:\n", "owner", "owner: unknown field → take it out; there are:"),
    ],
)
def test_the_head(checkout: Checkout, old: str, new: str, words: str, said: str) -> None:
    checkout.edit(old, new)
    faults = checkout.faults()
    assert [fault.startswith(f"{CATALOGUE}:{checkout.line(words)}: {said}") for fault in faults] == [True]


def test_a_key_twice_is_not_the_last_one_silently(checkout: Checkout) -> None:
    checkout.model("big", "  size_gib: 13.5\n", "  size_gib: 13.5\n  size_gib: 1.5\n")
    line = checkout.line("  size_gib: 13.5")
    assert checkout.faults() == [f"{CATALOGUE}:{line}: models[big].size_gib: size_gib stands twice → take one out"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("models: [\n", "2: no YAML:"),
        ("- a\n", "1: no mapping →"),
        ("", "1: no mapping →"),
        ("models: 7\n", "1: models: 7 is no list →"),
        ("models: [7]\n", "1: models[0]: 7: input should be a valid dictionary"),
        ("models: []\nsplits: {}\n", "2: splits: {} is no list →"),
        ("splits: []\n", "1: models: is missing →"),
        ("models: [{? [a] : b}]\n", "1: no YAML:"),
        ("models: [2026-99-99]\n", "1: no YAML:"),
        ("models: " + "[" * 3000 + "\n", "1: no YAML:"),
        ("models: &a [*a]\n", "1: models[0]: [[...]]: input should be a valid dictionary"),
    ],
)
def test_what_is_no_catalogue_at_all(checkout: Checkout, text: str, fault: str) -> None:
    checkout.write(CATALOGUE, text)
    assert any(each.startswith(f"{CATALOGUE}:{fault}") for each in checkout.faults()), checkout.faults()


def test_no_file_and_no_text(checkout: Checkout) -> None:
    (checkout.root / CATALOGUE).write_bytes(b"\xff")
    assert "cannot be read" in checkout.faults()[0]
    (checkout.root / CATALOGUE).unlink()
    assert checkout.faults()[0].startswith(f"{CATALOGUE}:1: cannot be read: ")


def test_all_faults_at_once_in_the_order_of_the_file(checkout: Checkout) -> None:
    checkout.edit("gpu_memory_utilization: 0.9", "gpu_memory_utilization: 2")
    checkout.model("small", "  kind: chat", "  kind: talk")
    checkout.model("big", "  licence: Apache-2.0", "  licence: Apache 2")
    checkout.model("huge", "tensor_parallel_size: 8", "tensor_parallel_size: 16")
    checkout.model("vectors", "  group: {local: cpu, prod: gpu}", "  group: cpus")
    checkout.edit("big: 0.9,", "big: 0.8,")
    faults = [fault.split(": ", 2)[1] for fault in checkout.faults()]
    assert faults == [
        "gpu_memory_utilization",
        "models[small].kind",
        "models[big].licence",
        "models[huge].group",
        "models[vectors].group",
        "splits[assistant].weights",
    ]
