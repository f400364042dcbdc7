"""The HTTP interface: FastAPI routes over a Pipeline."""

import time
from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.types import ASGIApp

from apps.common.guard import log_request
from apps.common.handlers import ERROR_RESPONSES
from apps.common.http import Front, while_connected
from apps.common.settings import LimitArgs
from apps.text_analysis import api
from apps.text_analysis.pipeline import Analysis, Job, Pipeline, refusal


class Endpoints:
    """One method per operation."""

    def __init__(self, pipeline: Pipeline, front: Front):
        self._pipeline = pipeline
        self._front = front

    def router(self) -> APIRouter:
        """Return the routes with what OpenAPI says about them."""
        routes = APIRouter()
        routes.add_api_route("/analyze", self.analyze, methods=["POST"], responses=ERROR_RESPONSES)
        routes.add_api_route("/analyze/batch", self.batch, methods=["POST"], responses=ERROR_RESPONSES)
        return routes

    async def analyze(self, body: api.AnalyzeRequest, request: Request) -> api.AnalyzeAnswer:
        """Tell the sentiment of a text and summarise it; 200 with `complete: false` when one of the two is missing."""
        (result,) = await self._analyses("text", [body.text], body, request)
        return api.AnalyzeAnswer(**dict(result), request_id=request.state.request_id)

    async def batch(self, body: api.BatchRequest, request: Request) -> api.BatchAnswer:
        """Analyse up to 64 texts; each result is complete or says what it lacks."""
        started = time.perf_counter()
        results = await self._analyses("texts", body.texts, body, request)
        return api.BatchAnswer(
            complete=all(result.complete for result in results),
            results=results,
            timings_ms={"total": round((time.perf_counter() - started) * 1000, 2)},
            request_id=request.state.request_id,
        )

    async def _analyses(
        self, field: str, texts: Sequence[str], body: api.AnalysisRequest, request: Request
    ) -> list[api.Result]:
        """Return one result per text; `field` of the body has them.

        Raises:
            PipelineError: no text has any result, or the client left.
        """
        started, request_id = time.monotonic(), request.state.request_id
        jobs = [Job(text, body.sentences, body.language) for text in texts]
        deadline = self._front.deadline(request, body.timeout_s)
        analyses = await while_connected(request, self._pipeline.analyze_all(jobs, deadline, request_id))
        log_request(request_id, f"analyze {field}", started, count=len(texts), failures=_named(analyses) or "none")
        if all(analysis.empty for analysis in analyses):
            raise refusal([failure for analysis in analyses for failure in analysis.failures], field)
        return [api.Result.of(analysis) for analysis in analyses]


def _named(analyses: Sequence[Analysis]) -> str:
    return ",".join(sorted({f"{each.branch}:{each.error.kind}" for one in analyses for each in one.failures}))


def build_asgi(pipeline: Pipeline, limits: LimitArgs, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""
    about = "Sentiment and summary of texts."
    front = Front("Text analysis", about, limits, lambda: pipeline.settings, pipeline.ready)
    return front.asgi(Endpoints(pipeline, front).router(), echo_request_id=echo_request_id)
