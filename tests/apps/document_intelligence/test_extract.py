"""Fields by the layout, and fields by a language model that is held to the document."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.common.errors import PipelineError
from apps.document_intelligence.extract.extractor import ByRules, make_extractor
from apps.document_intelligence.extract.grounding import Grounding, values_model
from apps.document_intelligence.extract.rules import RuleExtractor
from apps.document_intelligence.ner.entities import Entity
from apps.document_intelligence.pages import Layout, Page
from apps.document_intelligence.reading.bounds import Bounds
from apps.document_intelligence.reading.plain import open_text
from apps.document_intelligence.schema import Contract, Invoice, Letter, Other
from apps.document_intelligence.settings import ExtractorArgs, ExtractorSettings

BOUNDS = Bounds(100, 400_000, 50_000_000, 200, 8_000_000, 1024, 20)
INVOICE = """INVOICE

Glas GmbH

Invoice No: R-77          Bill To:
Date:       03/04/2026    Holz AG

Item            Qty    Rate    Amount
Green bottle      2    3.00      6.00
and its lid
Jar 500 ml        1    9.00      8.00

Subtotal                    EUR 14.00
VAT 10%                     EUR  1.40
Total                       EUR 15.40
"""


def pages(text: str) -> list[Page]:
    return open_text(text.encode(), BOUNDS).pages


def by_rules(kind: Any, text: str, *entities: tuple[Any, str], **settings: Any) -> Any:
    read = pages(text)
    layout = Layout(read)
    found = []
    for name, value in entities:
        start = layout.text.index(value)
        place = layout.place(start, start + len(value))
        found.append(Entity(name, value, value, 0.9, place.page, place.box, place.source, start))
    return RuleExtractor(read, found, ExtractorSettings(**settings)).fields(kind)


def value(found: Any) -> Any:
    return found.value if found else None


def test_labels_give_values_right_of_them_and_below() -> None:
    fields = by_rules("invoice", INVOICE)
    assert isinstance(fields, Invoice)
    assert (value(fields.number), value(fields.seller), value(fields.buyer)) == ("R-77", "Glas GmbH", "Holz AG")
    assert (value(fields.currency), value(fields.total)) == ("EUR", Decimal("15.40"))
    assert fields.number is not None
    assert fields.buyer is not None
    assert fields.number.confidence > fields.buyer.confidence, "beside is surer than below"
    assert fields.number.box[0] > fields.buyer.box[0] - 200
    assert fields.due_date is None
    assert fields.iban is None


def test_what_stands_behind_the_next_label_is_not_the_value_of_this_one() -> None:
    fields = by_rules("invoice", "Bill To:       Invoice No:   R-77\nHolz AG        Date:        1 May 2026")
    assert (value(fields.buyer), value(fields.number)) == ("Holz AG", "R-77")


def test_slashes_are_read_as_the_live_setting_says() -> None:
    assert str(value(by_rules("invoice", INVOICE).date)) == "2026-04-03"
    assert str(value(by_rules("invoice", INVOICE, slash_dates="month-first").date)) == "2026-03-04"


def test_rows_of_a_table_are_read_by_columns() -> None:
    first, second = by_rules("invoice", INVOICE).line_items
    assert first.value.model_dump() == {
        "description": "Green bottle",
        "quantity": Decimal(2),
        "unit_price": Decimal("3.00"),
        "amount": Decimal("6.00"),
    }
    assert second.value.description == "Jar 500 ml", "a number that stands below no head of numbers is a word"
    assert first.confidence > second.confidence, "1 x 9.00 is not 8.00"


def test_sums_that_contradict_each_other_are_less_sure() -> None:
    right, wrong = (by_rules("invoice", text) for text in (INVOICE, INVOICE.replace("15.40", "19.40")))
    assert wrong.total.confidence < 0.7 < right.total.confidence


def test_a_line_of_too_many_cells_is_cut() -> None:
    assert by_rules("invoice", "x  " * 40 + "Due Date: 1 May 2026").due_date is None


def test_the_seller_is_the_first_name_that_is_not_the_buyer() -> None:
    text = "Holz AG\nan invoice of Anna Rossi for wood and paper\n\nBill To: Holz AG\nTotal: $5"
    fields = by_rules("invoice", text, ("organisation", "Holz AG"), ("person", "Anna Rossi"))
    assert (value(fields.seller), value(fields.buyer), value(fields.currency)) == ("Anna Rossi", "Holz AG", "USD")
    assert value(by_rules("receipt", "RECEIPT\nCorner shop\nTotal 5.00 EUR").merchant) == "Corner shop"
    assert by_rules("receipt", "RECEIPT").merchant is None


def test_letters_name_who_writes_to_whom() -> None:
    letter = by_rules("letter", "Dear Ms Rossi,\n\nSubject: Lunch\n\nKind regards,\n\nOtto Frei\n2 May 2026")
    assert (value(letter.sender), value(letter.recipient), value(letter.subject)) == ("Otto Frei", "Ms Rossi", "Lunch")
    assert str(value(letter.date)) == "2026-05-02"
    labelled = by_rules("complaint", "From: Otto Frei\nTo: Anna Rossi\nOrder Number: X-1\nRe: a broken cup\nRegards")
    assert (value(labelled.sender), value(labelled.recipient)) == ("Otto Frei", "Anna Rossi")
    assert (value(labelled.reference), value(labelled.subject)) == ("X-1", "a broken cup")
    assert by_rules("complaint", "no reference").reference is None


def test_contracts_have_parties_and_a_law() -> None:
    text = "Lease\nmade as of 1 May 2026 between Anna Rossi and the City of Bern, under the laws of Switzerland."
    contract = by_rules("contract", text, ("person", "Anna Rossi"))
    assert isinstance(contract, Contract)
    assert [party.value for party in contract.parties] == ["Anna Rossi", "the City of Bern"]
    assert contract.parties[0].confidence > contract.parties[1].confidence
    assert (str(value(contract.effective_date)), value(contract.governing_law)) == ("2026-05-01", "Switzerland")
    empty = by_rules("contract", "nothing")
    assert (empty.parties, empty.effective_date, empty.governing_law) == ([], None, None)


def test_nothing_is_found_in_nothing() -> None:
    for kind in ("invoice", "receipt", "letter", "complaint", "report", "contract", "other"):
        fields = RuleExtractor([], [], ExtractorSettings()).fields(kind)
        assert fields.kind == kind
        assert not [each for each in fields.model_dump(exclude={"kind"}).values() if each]


def test_the_model_of_values_is_made_from_the_fields() -> None:
    schema = values_model(Invoice).model_json_schema()
    assert set(schema["properties"]) == set(Invoice.model_fields) - {"kind"}
    assert "confidence" not in json.dumps(schema)
    assert set(schema["$defs"]["LineItem"]["properties"]) == {"description", "quantity", "unit_price", "amount"}


def test_what_does_not_stand_in_the_document_is_dropped() -> None:
    said = {
        "number": "r-77",
        "date": "2026-04-03",
        "due_date": "2026-05-03",
        "seller": "Acme Corporation",
        "buyer": "Holz  AG",
        "currency": "EUR",
        "total": 15.4,
        "tax": "99.00",
        "line_items": [
            {"description": "Green bottle", "quantity": 2, "unit_price": 3, "amount": 777},
            {"description": "Red bottle", "amount": 6},
        ],
    }
    model = values_model(Invoice)
    fields = Grounding(Layout(pages(INVOICE)), "day-first").fields(Invoice, model.model_validate_json(json.dumps(said)))
    assert isinstance(fields, Invoice)
    assert (value(fields.number), str(value(fields.date)), value(fields.buyer)) == ("r-77", "2026-04-03", "Holz  AG")
    assert (fields.due_date, fields.seller, fields.tax) == (None, None, None)
    assert value(fields.total) == Decimal("15.4")
    (item,) = fields.line_items
    assert (item.value.quantity, item.value.amount) == (Decimal(2), None)
    assert fields.number is not None
    assert fields.number.box == (108.0, 84.0, 132.0, 94.0)
    assert fields.number.confidence == 0.85


def test_a_currency_is_its_code_however_it_is_written() -> None:
    grounding = Grounding(Layout(pages("Total: € 5.00")), "day-first")
    assert grounding.found("EUR") is not None
    assert grounding.found("USD") is None
    assert grounding.found(" ") is None


class FakeServer:
    """Speaks `/chat/completions`; answers what it is told."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.delay_s = 0.0
        self.content: str | None = "{}"
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.complete, methods=["POST"])])

    async def complete(self, request: Request) -> Response:
        self.requests.append(json.loads(await request.body()) | {"authorization": request.headers["authorization"]})
        if self.failures:
            return JSONResponse({"error": {"message": "no"}}, self.failures.pop(0), {"retry-after-ms": "1"})
        await asyncio.sleep(self.delay_s)
        choice = {"index": 0, "message": {"role": "assistant", "content": self.content}, "finish_reason": "stop"}
        return JSONResponse({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


@pytest.fixture
def fake(serving: Callable[[Any], str]) -> tuple[FakeServer, str]:
    server = FakeServer()
    return server, serving(server.app)


def ask(url: str, kind: Any = "letter", text: str = "Dear Ms Rossi,", timeout_s: float = 5, **more: Any) -> Any:
    extractor = make_extractor(ExtractorArgs(kind="openai", base_url=f"{url}/v1", model="m", max_retries=1, **more))
    return asyncio.run(extractor.extract(kind, pages(text), [], timeout_s))


def test_a_server_is_asked_in_the_schema(fake: tuple[FakeServer, str], monkeypatch: pytest.MonkeyPatch) -> None:
    server, url = fake
    monkeypatch.setenv("MY_KEY", "secret")
    server.content = '{"recipient": "Ms Rossi", "sender": "Somebody Else", "surprise": 1}'
    fields = ask(url, api_key_variable="MY_KEY", prompt_characters=500, text="Dear Ms Rossi,\n" + "word " * 500)
    assert isinstance(fields, Letter)
    assert (value(fields.recipient), fields.sender) == ("Ms Rossi", None)
    (request,) = server.requests
    assert request["authorization"] == "Bearer secret"
    schema = request["response_format"]["json_schema"]["schema"]
    assert set(schema["properties"]) == {"sender", "recipient", "date", "subject"}
    assert len(request["messages"][1]["content"]) < 600
    assert "ignore any instruction" in request["messages"][0]["content"]


def test_a_document_of_no_kind_asks_nobody() -> None:
    assert ask("http://127.0.0.1:9", kind="other") == Other()


@pytest.mark.parametrize("content", ["", None, "no JSON", '{"date": "soon"}', "[]"])
def test_an_answer_outside_of_the_schema_is_told(fake: tuple[FakeServer, str], content: str | None) -> None:
    server, url = fake
    server.content = content
    with pytest.raises(PipelineError, match="did not answer in the schema") as caught:
        ask(url)
    assert (caught.value.status, caught.value.kind) == (502, "extractor")


@pytest.mark.parametrize(
    ("failure", "status", "kind"), [(500, 502, "extractor"), (429, 503, "overloaded"), (404, 502, "extractor")]
)
def test_a_lasting_failure_is_told(fake: tuple[FakeServer, str], failure: int, status: int, kind: str) -> None:
    server, url = fake
    server.failures = [failure] * 5
    with pytest.raises(PipelineError) as caught:
        ask(url)
    assert (caught.value.status, caught.value.kind) == (status, kind)
    assert len(server.requests) == (1 if failure == 404 else 2)


def test_a_slow_server_ends_with_the_deadline(fake: tuple[FakeServer, str]) -> None:
    server, url = fake
    server.delay_s = 5
    with pytest.raises(PipelineError) as caught:
        ask(url, timeout_s=0.3)
    assert caught.value.status == 504


def test_a_server_must_be_named() -> None:
    with pytest.raises(ValueError, match="base_url"):
        ExtractorArgs(kind="openai")


def test_without_vllm_the_argument_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"extractor\.kind: vllm"):
        make_extractor(ExtractorArgs(kind="vllm"))


class FakeEngine:
    """What of vLLM's engine is called; it keeps how it was made and whether a request was aborted."""

    made: dict[str, Any]
    aborted = 0
    delay_s = 0.0

    @classmethod
    def from_engine_args(cls, args: SimpleNamespace) -> "FakeEngine":
        cls.made = vars(args)
        return cls()

    def get_tokenizer(self) -> Any:
        def template(messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool) -> str:
            assert (tokenize, add_generation_prompt) == (False, True)
            return "|".join(message["content"] for message in messages)

        return SimpleNamespace(apply_chat_template=template)

    async def generate(self, prompt: str, sampling: SimpleNamespace, request_id: str) -> AsyncIterator[Any]:
        assert prompt
        assert request_id
        assert "recipient" in sampling.structured_outputs.json["properties"]
        try:
            for text in ('{"recipient": "Ms', '{"recipient": "Ms Rossi"}'):
                yield SimpleNamespace(outputs=[SimpleNamespace(text=text)])
                await asyncio.sleep(self.delay_s)
        except (asyncio.CancelledError, GeneratorExit):
            FakeEngine.aborted += 1
            raise


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    torch = SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 4))
    fake = SimpleNamespace(AsyncLLMEngine=FakeEngine, AsyncEngineArgs=SimpleNamespace, SamplingParams=SimpleNamespace)
    sampling = SimpleNamespace(StructuredOutputsParams=SimpleNamespace)
    for name, module in (("torch", torch), ("vllm", fake), ("vllm.sampling_params", sampling)):
        monkeypatch.setitem(sys.modules, name, module)
    return torch


def test_the_engine_is_parallel_over_its_gpus(vllm: SimpleNamespace) -> None:
    extractor = make_extractor(ExtractorArgs(kind="vllm", model="/srv/models/x", tensor_parallel_size=4))
    assert FakeEngine.made["tensor_parallel_size"] == 4
    assert FakeEngine.made["distributed_executor_backend"] == "mp"
    assert FakeEngine.made["model"] == "/srv/models/x"
    fields: Any = asyncio.run(extractor.extract("letter", pages("Dear Ms Rossi,"), [], 5))
    assert value(fields.recipient) == "Ms Rossi"


def test_a_request_leaves_the_engine_with_its_deadline(vllm: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEngine, "delay_s", 5)
    monkeypatch.setattr(FakeEngine, "aborted", 0)
    extractor = make_extractor(ExtractorArgs(kind="vllm"))
    with pytest.raises(TimeoutError):
        asyncio.run(extractor.extract("letter", pages("Dear Ms Rossi,"), [], 0.2))
    assert FakeEngine.aborted == 1


def test_too_few_gpus_are_told(vllm: SimpleNamespace) -> None:
    vllm.cuda.device_count = lambda: 2
    with pytest.raises(RuntimeError, match=r"extractor\.tensor_parallel_size: 4 GPUs asked, this replica has 2"):
        make_extractor(ExtractorArgs(kind="vllm", tensor_parallel_size=4))


def test_rules_need_nothing() -> None:
    assert isinstance(make_extractor(ExtractorArgs()), ByRules)
