"""A language model in this replica: vLLM, its tensors parallel over the GPUs that Ray gave the replica."""

import asyncio
import uuid
from typing import Any

from apps.document_intelligence.settings import ExtractorArgs


class VllmModel:
    """Loads the engine; it batches by itself what is in flight.

    Raises:
        RuntimeError: vLLM is not in this image, or there are fewer GPUs than `tensor_parallel_size`.
    """

    def __init__(self, args: ExtractorArgs):
        try:
            import torch
            import vllm
        except ImportError as error:
            message = (
                "extractor.kind: vllm needs an image with vLLM (pipeline-gpu); use kind openai or rules without it"
            )
            raise RuntimeError(message) from error
        present = torch.cuda.device_count()
        if present < args.tensor_parallel_size:
            raise RuntimeError(
                f"extractor.tensor_parallel_size: {args.tensor_parallel_size} GPUs asked, this replica has {present};"
                " set ray_actor_options.num_gpus of the Extractor to the same number"
            )
        self._vllm: Any = vllm
        self._args = args
        # "mp": all GPUs are in this pod, the workers are processes beside the replica; no second placement by Ray.
        self._engine: Any = vllm.AsyncLLMEngine.from_engine_args(
            vllm.AsyncEngineArgs(
                model=args.model,
                tensor_parallel_size=args.tensor_parallel_size,
                distributed_executor_backend="mp",
                max_model_len=args.max_model_len,
                gpu_memory_utilization=args.gpu_memory_utilization,
            )
        )

    async def complete(self, messages: list[dict[str, str]], schema: dict[str, Any], timeout_s: float) -> str:
        """Return the answer; the request leaves the engine when the caller goes.

        Raises:
            TimeoutError: there was no answer in time.
        """
        from vllm.sampling_params import StructuredOutputsParams

        tokenizer = self._engine.get_tokenizer()
        tokenizer = await tokenizer if asyncio.iscoroutine(tokenizer) else tokenizer
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        sampling = self._vllm.SamplingParams(
            temperature=0, max_tokens=self._args.max_tokens, structured_outputs=StructuredOutputsParams(json=schema)
        )
        text = ""
        async with asyncio.timeout(timeout_s):
            # Leaving the iteration early aborts the request in the engine.
            async for output in self._engine.generate(prompt, sampling, uuid.uuid4().hex):
                text = output.outputs[0].text
        return text
