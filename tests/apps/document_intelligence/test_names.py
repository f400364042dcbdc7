"""Names by form and by nearness, names by a BERT tagger, and entities with their places."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from apps.common import onnx_bert
from apps.common.onnx_text import Embedder
from apps.document_intelligence.classify import KindClassifier
from apps.document_intelligence.ner.entities import Span
from apps.document_intelligence.ner.finder import EntityFinder, make_finder
from apps.document_intelligence.ner.names import ZeroShotNames, by_form, candidates_of
from apps.document_intelligence.ner.transformer import TransformerNames
from apps.document_intelligence.pages import Page
from apps.document_intelligence.reading.bounds import Bounds
from apps.document_intelligence.reading.plain import open_text
from apps.document_intelligence.settings import ClassifierSettings, NerArgs, NerSettings

BOUNDS = Bounds(100, 400_000, 50_000_000, 200, 8_000_000, 1024, 20)


def pages(text: str) -> list[Page]:
    return open_text(text.encode(), BOUNDS).pages


@pytest.fixture(scope="module")
def names(embedder: Embedder) -> ZeroShotNames:
    return ZeroShotNames(embedder)


def test_candidates_are_runs_of_capitals_that_are_no_address() -> None:
    text = "Dear Anna Rossi, meet A. Smith of Glas & Co. in Bonn. Then 12 Mill Lane, Bern 7"
    found = [text[start:end] for start, end in candidates_of(text)]
    assert found == ["Anna Rossi", "A. Smith of Glas & Co.", "Bonn", "Then", "Bern"]


@pytest.mark.parametrize(
    ("before", "name", "kind"),
    [
        ("", "Stahl GmbH", "organisation"),
        ("", "Dr. Rossi", "person"),
        ("Dear ", "Rossi", "person"),
        ("Prepared by:\t", "Anna Rossi", "person"),
        ("Yours sincerely,\n", "Anna Rossi", "person"),
        ("", "Corner Pharmacy", "organisation"),
        ("", "Pharmacy", None),
        ("in ", "Bonn", None),
    ],
)
def test_words_decide_where_they_can(before: str, name: str, kind: str | None) -> None:
    found = by_form(before + name, len(before), len(before + name))
    assert (found[0] if found else None) == kind


def test_the_encoder_tells_names_it_has_no_example_of(names: ZeroShotNames) -> None:
    text = "Giulia Moretti and Arjun Patel went to Helsinki and to Lisbon; the Total Amount was due. Thank You"
    found = {text[span.start : span.end]: span.kind for span in names.spans(text)}
    assert found == {"Giulia Moretti": "person", "Arjun Patel": "person", "Helsinki": "place", "Lisbon": "place"}
    assert names.spans("nothing here") == []


def test_only_so_many_names_are_compared(names: ZeroShotNames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.document_intelligence.ner.names._CANDIDATES", 1)
    text = "Helsinki is not Lisbon. Lisbon is not Helsinki"
    assert [text[span.start : span.end] for span in names.spans(text)] == ["Helsinki", "Helsinki"]


def test_rules_come_first_and_every_entity_has_its_place(names: ZeroShotNames) -> None:
    finder = EntityFinder(names)
    found = finder.find(pages("Helsinki, 1 May 2026\n\nIBAN: DE89 3704 0044 0532 0130 00\f\nEUR 5.00 from Lisbon"))
    assert [(entity.kind, entity.text, entity.page) for entity in found] == [
        ("place", "Helsinki", 1),
        ("date", "1 May 2026", 1),
        ("iban", "DE89 3704 0044 0532 0130 00", 1),
        ("money", "EUR 5.00", 2),
        ("place", "Lisbon", 2),
    ]
    assert found[1].box == (96.0, 36.0, 156.0, 46.0)
    finder.settings = NerSettings(least_confidence=0.98)
    assert {entity.kind for entity in finder.find(pages("Helsinki, 1 May 2026"))} == {"date"}


def test_what_a_rule_has_found_is_no_name() -> None:
    class Eager:
        def spans(self, text: str) -> list[Span]:
            return [Span(0, len(text), "place", 0.9), Span(2, 5, "person", 0.9), Span(11, 15, "person", 0.9)]

    found = EntityFinder(Eager()).find(pages("1 May 2026 Anna"))
    assert [(entity.kind, entity.text) for entity in found] == [("date", "1 May 2026"), ("person", "Anna")]


def test_a_badly_read_word_makes_an_entity_less_sure() -> None:
    class NoNames:
        def spans(self, text: str) -> list[Span]:  # noqa: ARG002
            return []

    page = Page(1, 100, 100, "ocr", ["EUR", "5.00"], [(0, 0, 10, 10), (12, 0, 30, 10)], [0.9, 0.5], [2, 0])
    (found,) = EntityFinder(NoNames()).find([page])
    assert (found.confidence, found.source, found.box) == (0.871, "ocr", (0, 0, 30, 10))


def test_a_tagger_exported_from_hugging_face_s_layout_finds_names(tmp_path: Path) -> None:
    """A BERT of one layer with random weights whose last layer knows three words by heart."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "anna", "rossi", "helsinki", "in"]
    labels = ["O", "B-PER", "I-PER", "B-LOC", "B-MISC"]
    by_word = {"anna": 1, "rossi": 2, "helsinki": 3, "in": 0}
    folder = tagger(tmp_path, words, labels, by_word)
    finder = make_finder(NerArgs(kind="transformer", model="out"), folder)
    found = finder.find(pages("anna rossi in helsinki\nanna anna\n" + "in " * 400 + "helsinki"))
    assert [(entity.kind, entity.text) for entity in found] == [
        ("person", "anna rossi"),
        ("place", "helsinki"),
        ("person", "anna"),
        ("person", "anna"),
        ("place", "helsinki"),
    ]
    assert all(0.9 < entity.confidence <= 1 for entity in found)


def test_a_model_without_labels_is_refused(tmp_path: Path) -> None:
    folder = tagger(tmp_path, ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], [], {})
    with pytest.raises(ValueError, match=r"ner\.model.*--head tokens"):
        TransformerNames(folder / "out", 1, "cpu")


def tagger(folder: Path, words: list[str], labels: list[str], by_word: dict[str, int]) -> Path:
    random = np.random.default_rng(1)
    hidden, count = 32, max(1, len(labels))
    table = random.normal(0, 1, (len(words), hidden)).astype(np.float16).astype(np.float32)
    weights = {"embeddings.word_embeddings.weight": table}
    weights["embeddings.position_embeddings.weight"] = np.zeros((512, hidden), np.float32)
    weights["embeddings.token_type_embeddings.weight"] = np.zeros((2, hidden), np.float32)
    for name in (
        "embeddings.LayerNorm",
        "encoder.layer.0.attention.output.LayerNorm",
        "encoder.layer.0.output.LayerNorm",
    ):
        weights |= {f"{name}.weight": np.ones(hidden, np.float32), f"{name}.bias": np.zeros(hidden, np.float32)}
    for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        weights |= linear(f"encoder.layer.0.{part}", hidden, hidden)
    weights |= linear("encoder.layer.0.intermediate.dense", 8, hidden) | linear(
        "encoder.layer.0.output.dense", hidden, 8
    )
    # The layers change nothing (their weights are zero): the tagger sees the normalised word itself.
    seen = (table - table.mean(1, keepdims=True)) / table.std(1, keepdims=True)
    wanted = np.zeros((len(words), count), np.float32)
    for word, label in by_word.items():
        wanted[words.index(word), label] = 12
    weights["classifier.weight"] = np.linalg.lstsq(seen, wanted, rcond=None)[0].T.astype(np.float32).copy()
    weights["classifier.bias"] = np.zeros(count, np.float32)
    source = folder / "source"
    source.mkdir()
    save_file(
        {f"bert.{name}" if name[0] == "e" else name: value for name, value in weights.items()},
        source / "model.safetensors",
    )
    config = {"model_type": "bert", "hidden_act": "gelu", "num_hidden_layers": 1, "num_attention_heads": 2}
    config |= {"hidden_size": hidden, "layer_norm_eps": 1e-12, "max_position_embeddings": 512}
    config |= {"id2label": {str(number): label for number, label in enumerate(labels)}}
    (source / "config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=words[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(source / "tokenizer.json"))
    onnx_bert.export(source, folder / "out", "tokens")
    return folder


def linear(name: str, rows: int, columns: int) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    return {f"{name}.weight": np.zeros((rows, columns), np.float32), f"{name}.bias": np.zeros(rows, np.float32)}


def test_what_is_no_known_kind_is_other(embedder: Embedder) -> None:
    classifier = KindClassifier(embedder)
    recipe = "Beat three eggs with sugar, add flour and milk, and bake the cake for forty minutes until it is golden."
    code = "def add(a, b):\n    return a + b\n\nfor i in range(10):\n    print(add(i, i))\n"
    for text in (recipe, code):
        assert classifier.classify(pages(text)).kind == "other"
    nothing = classifier.classify([])
    assert (nothing.kind, nothing.confidence, nothing.scores["other"]) == ("other", 1.0, 1.0)
    classifier.settings = ClassifierSettings(least_confidence=1)
    doubtful = classifier.classify(pages("Invoice Number: 7\nTotal due: EUR 5.00"))
    assert doubtful.kind == "other"
    assert doubtful.scores["invoice"] == max(doubtful.scores.values())
