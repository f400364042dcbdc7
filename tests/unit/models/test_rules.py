"""What must hold between the entries of a catalogue: each rule with what breaks it and what just does not."""

from collections.abc import Callable

import pytest

from rayops.models.sync import CATALOGUE
from tests.unit.models.conftest import REVISION, ZERO, A, Checkout

Refused = Callable[[str, str], None]
OTHER = "another name, or other environments"


def test_an_id_twice(checkout: Checkout) -> None:
    first = checkout.line("- id: huge")
    checkout.model("vectors", "- id: vectors", "- id: huge")
    said = f"models[huge].id: huge is a model already, in line {first} → another id"
    assert any(fault.endswith(said) for fault in checkout.faults())


@pytest.mark.parametrize(
    ("alias", "clash"),
    [
        ("Big", "models[big].aliases[0] already"),  # another's alias
        ("small", "models[small].id already"),  # another's id
        ("vectors", "models[vectors].id already"),  # its own
    ],
)
def test_an_alias_that_is_taken(checkout: Checkout, alias: str, clash: str) -> None:
    checkout.model("vectors", "  environments:", f"  aliases: [{alias}]\n  environments:")
    faults = checkout.faults()
    assert len(faults) == 1
    assert f"models[vectors].aliases[0]: {alias} is {clash}, in line " in faults[0]
    assert faults[0].endswith(OTHER)


def test_an_alias_twice_in_one_entry(checkout: Checkout, refused: Refused) -> None:
    checkout.model("big", "[Big, maker/Big]", "[Big, Big]")
    line = checkout.line("[Big, Big]")
    refused("[Big, Big]", f"models[big].aliases[1]: Big is models[big].aliases[0] already, in line {line} → {OTHER}")


def test_a_split_named_as_a_model(checkout: Checkout, refused: Refused) -> None:
    line = checkout.line("- id: big-support")
    checkout.edit("alias: assistant", "alias: big-support")
    said = f"splits[big-support].alias: big-support is models[big-support].id already, in line {line} → {OTHER}"
    refused("alias: big-support", said)


def test_a_name_may_mean_another_model_in_another_environment(checkout: Checkout) -> None:
    checkout.model("huge", "  environments:", "  aliases: [assistant, small]\n  environments:")
    assert checkout.faults() == []


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("  fallback: [big]", "  fallback: [bigger]", "models[big-support].fallback[0]"),
        ("{big: 0.9, small: 0.1}", "{bigger: 0.9, small: 0.1}", "splits[assistant].weights.bigger"),
        ("{model: big-support, share", "{model: bigger, share", "splits[assistant].shadow.model"),
        ("  adapter_of: big\n", "  adapter_of: bigger\n", "models[big-support].adapter_of"),
    ],
)
def test_a_model_that_is_not_there(checkout: Checkout, old: str, new: str, field: str) -> None:
    checkout.edit(old, new)
    assert [fault.split(" → ")[0] for fault in checkout.faults()] == [
        f"{CATALOGUE}:{checkout.line('bigger')}: {field}: there is no model bigger"
    ]


def test_a_model_that_is_wrong_itself_is_still_there(checkout: Checkout) -> None:
    checkout.model("big", "  kind: chat", "  kind: talk")
    assert [fault.split(": ", 2)[1] for fault in checkout.faults()] == ["models[big].kind"]


def test_a_fallback_that_is_not_in_every_environment(checkout: Checkout, refused: Refused) -> None:
    checkout.model("big-support", "  fallback: [big]", "  fallback: [big, small]")
    fix = "add prod to its environments, or take it out here"
    refused("[big, small]", f"models[big-support].fallback[1]: small is not in prod → {fix}")


def test_a_fallback_of_another_kind(checkout: Checkout, refused: Refused) -> None:
    checkout.model("big-support", "  fallback: [big]", "  fallback: [vectors]")
    said = "models[big-support].fallback[0]: vectors is a model for embeddings → a model of the same kind"
    refused("fallback: [vectors]", said)


def test_a_split_over_two_kinds(checkout: Checkout, refused: Refused) -> None:
    checkout.edit("{big: 0.9, small: 0.1}", "{big: 0.9, vectors: 0.1}")
    said = "splits[assistant].weights.vectors: vectors is a model for embeddings → a model of the same kind"
    refused("vectors: 0.1", said)


@pytest.mark.parametrize(
    ("fallback", "way"),
    [("big", "big → big"), ("big-support", "big → big-support → big")],
)
def test_a_cycle(checkout: Checkout, refused: Refused, fallback: str, way: str) -> None:
    checkout.model("big", "  environments:", f"  fallback: [{fallback}] # here\n  environments:")
    refused("# here", f"models[big].fallback: a cycle: {way} → end it")


def test_two_ways_to_one_model_are_no_cycle(checkout: Checkout) -> None:
    checkout.model("small", "  environments:", "  fallback: [big-support, big]\n  environments:")
    assert checkout.faults() == []


def test_a_split_that_falls_back_to_its_part(checkout: Checkout, refused: Refused) -> None:
    checkout.edit("  shadow: {", "  fallback: [small]\n  shadow: {")
    said = "splits[assistant].fallback[0]: a cycle: small is a part of the split → a model that is not"
    refused("fallback: [small]", said)


def test_a_shadow_that_is_a_part(checkout: Checkout, refused: Refused) -> None:
    checkout.edit("{model: big-support, share", "{model: small, share")
    refused("model: small", "splits[assistant].shadow.model: small is a part of the split → a model that is not")


@pytest.mark.parametrize(("weights", "total"), [("{big: 0.9, small: 0.2}", "1.1"), ("{big: 0.95}", "0.95")])
def test_weights_that_are_not_one(checkout: Checkout, refused: Refused, weights: str, total: str) -> None:
    checkout.edit("{big: 0.9, small: 0.1}", weights)
    refused("weights:", f"splits[assistant].weights: together {total}, not 1 → weights that sum to 1")


@pytest.mark.parametrize("weights", ["{big: 1}", "{big: 1.0, small: 0}", "{big: 0.7, small: 0.1, big-support: 0.2}"])
def test_weights_that_are_one(checkout: Checkout, weights: str) -> None:
    checkout.edit("{big: 0.9, small: 0.1}\n  shadow: {model: big-support, share: 0.5}", weights)
    assert checkout.faults() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  group: gpu", "  group: cpu", "group: cpu is not that of its base big → gpu"),
        ("  kind: chat", "  kind: embeddings", "kind: embeddings is not that of its base big → chat"),
        ("  application: llm", "  application: other", "application: other is not that of its base big → llm"),
        (
            "  adapter_of: big\n",
            "  adapter_of: small\n",
            "adapter_of: small is not in prod → the environments of its base",
        ),
        ("  fallback: [big]", "  engine_args: {a: 1}", "engine_args: an adapter has none → put them to big"),
        ("  pipeline: llm", "  pipeline: gateway", "pipeline: gateway is not that of its base big → llm"),
    ],
)
def test_an_adapter_elsewhere_than_its_base(checkout: Checkout, old: str, new: str, said: str) -> None:
    checkout.model("big-support", old, new)
    assert any(f"models[big-support].{said}" in fault for fault in checkout.faults()), checkout.faults()


def test_an_adapter_of_an_adapter(checkout: Checkout) -> None:
    entry = checkout.read(CATALOGUE)
    start = entry.index("- id: big-support")
    copied = (
        entry[start : entry.index("- id: huge")].replace("big-support", "third").replace("f: big\n", "f: big-support\n")
    )
    checkout.edit("- id: huge", f"{copied}- id: huge")
    line = checkout.line("adapter_of: big-support")
    assert checkout.faults() == [
        f"{CATALOGUE}:{line}: models[third].adapter_of: big-support is an adapter itself → its base big"
    ]


@pytest.mark.parametrize(
    ("licence", "fix"), [("apache-2.0", "Apache-2.0"), ("Llama", "an identifier of spdx.org/licenses")]
)
def test_a_licence_that_spdx_has_not(checkout: Checkout, licence: str, fix: str) -> None:
    checkout.model("big", "  licence: Apache-2.0", f"  licence: {licence}")
    faults = checkout.faults()
    assert len(faults) == 1
    assert f"{checkout.line(f'licence: {licence}')}: models[big].licence: " in faults[0]
    assert f" → {fix}" in faults[0]


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0 OR MIT", "LicenseRef-Of-Ours"])
def test_a_licence_that_it_has(checkout: Checkout, licence: str) -> None:
    checkout.model("big", "  licence: Apache-2.0", f"  licence: {licence}")
    assert checkout.faults() == []


def test_weights_without_a_revision(checkout: Checkout) -> None:
    checkout.model("big", f"  revision: {REVISION}\n", "")
    faults = checkout.faults()
    assert len(faults) == 1
    assert faults[0].endswith("models[big].revision: is missing → an immutable digest, 40 or 64 hex digits")


def test_weights_without_files(checkout: Checkout, refused: Refused) -> None:
    checkout.model("huge", f'  files: [{{path: model.safetensors, sha256: "{ZERO}"}}]\n', "")
    refused("- id: huge", "models[huge].files: is missing → the files that the model cache downloads")


def test_a_file_twice(checkout: Checkout) -> None:
    checkout.model("big", "{path: model.safetensors,", "{path: config.json,")
    line = checkout.line("config.json, sha256: b")
    assert checkout.faults() == [
        f"{CATALOGUE}:{line}: models[big].files[1].path: config.json stands twice → take one out"
    ]


def test_a_stand_in_has_no_weights(checkout: Checkout, refused: Refused) -> None:
    checkout.model("small", "  licence:", f"  revision: {A}\n  licence:")
    refused(f"revision: {A}", "models[small].revision: a stand-in has no weights → take it out")


@pytest.mark.parametrize("old", [f"  revision: {'b' * 64}", "  source: package:vectors==1.0"])
def test_a_package_that_the_image_has_not(checkout: Checkout, old: str) -> None:
    checkout.model("vectors", old, f"  revision: {'d' * 64}" if "rev" in old else "  source: package:vectors==2.0")
    faults = checkout.faults()
    assert len(faults) == 1
    assert "models[vectors].revision: " in faults[0]
    assert "is not what the image installs → the sha256 of a wheel or sdist of vectors==" in faults[0]


def test_either_hash_of_the_package(checkout: Checkout) -> None:
    checkout.model("vectors", "b" * 64, A)
    assert checkout.faults() == []
