"""Whether a server tells the log-probabilities of the model itself, or those that a temperature has changed.

A token's confidence is made of the model's own figures. SGLang 0.5.23 divides the logits by the temperature before it
takes logarithms (`layers/sampler.py`), unless it was started with `SGLANG_RETURN_ORIGINAL_LOGPROB=1`; it does not say
which. The figures of the tokens that are not among the most probable ones would be needed to undo it, so nothing here
does: at temperature 0 and 1 there is nothing to undo, and for other temperatures the server is asked, once, for one
token at two temperatures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ttsc.backends.protocol import GenerateRequest, RequestFailed, RequestRefused, confidence

_NEAR = 1e-3
_MOST = 20
"""Entries that are compared, or as many as the model has tokens."""


class OriginalFigures:
    """Asks one server at most once, by `ask`, which posts a body to /generate. `tokens`: how many the model has, None
    if nobody knows.
    """

    def __init__(
        self, url: str, ask: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]], tokens: int | None = None
    ) -> None:
        self._url = url
        self._ask = ask
        self._tokens = tokens
        self._original: bool | None = None

    async def require(self, request: GenerateRequest) -> None:
        """Raises `RequestRefused` if the request asks for confidences that this server can't give."""
        most, temperature = request.confidences, request.sampling.temperature
        if self._tokens is not None and most > self._tokens:
            raise RequestRefused(
                f"a confidence of the {most} most probable tokens was asked for, and the model has {self._tokens}",
                f"ask for at most that many: top_logprobs={self._tokens}",
            )
        if temperature in (0, 1):
            return
        if self._original is None:
            plain, hot = [await self._figure(request.input_ids[0], each) for each in (1.0, 3.0)]
            self._original = abs(plain - hot) <= _NEAR * (1 + abs(plain))
        if not self._original:
            raise RequestRefused(
                f"confidences are of the model's own log-probabilities, and the server at {self._url} gives "
                f"those at the temperature of the request ({temperature})",
                "start it with SGLANG_RETURN_ORIGINAL_LOGPROB=1 in its environment, or sample at temperature 1",
            )

    async def _figure(self, first: int, temperature: float) -> float:
        most = _MOST if self._tokens is None else min(_MOST, self._tokens)
        body: dict[str, Any] = {
            "input_ids": [first],
            "sampling_params": {"max_new_tokens": 1, "temperature": temperature},
            "return_logprob": True,
            "top_logprobs_num": most,
        }
        answer = await self._ask(body)
        try:
            return confidence([float(entry[0]) for entry in answer["meta_info"]["output_top_logprobs"][0]])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RequestFailed(f"the server's answer lacks what SGLang sends: {error!r}") from error
