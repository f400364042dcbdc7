"""One chat with the stand-in engine, in one process: for the check of the image, which holds no language model."""

from apps.llm.engine import Request
from apps.llm.settings import StandIn
from apps.llm.stand_in import StandInEngine


async def check() -> dict[str, object]:
    """Return the answer to one chat.

    Raises:
        AssertionError: it is not the one that this engine gives.
    """
    engine = StandInEngine("stand-in", StandIn(ttft_ms=1, tpot_ms=0))
    chat = Request(id="check", model="stand-in", messages=({"role": "user", "content": "What are you?"},))
    pieces = [piece async for piece in engine.generate(chat)]
    text = "".join(piece.text for piece in pieces)
    if not text.startswith("I am stand-in") or pieces[-1].finish != "stop":
        raise AssertionError(f"not what the stand-in engine says: {text!r}")
    return {"text": text, "tokens": sum(piece.tokens for piece in pieces)}
