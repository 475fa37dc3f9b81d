"""A model in this process, by transformers: decoding closes the thought at exactly N tokens.

Budget forcing (Muennighoff et al. 2025, "s1: Simple test-time scaling", arXiv:2501.19393): at the cap, the end of the
thought is forced; an end before the minimum is replaced by "Wait". It needs torch and transformers
(`pip install 'rheostat[gpu]'`) and runs on the model's device, a GPU or the CPU.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict

from rheostat.errors import BadInput, MissingExtra
from rheostat.flow import Effect
from rheostat.money.pricing import FREE, Price
from rheostat.providers.adapter import Adapter
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Dial, Messages, Phase, Reply, Settings, Steer, Step, reply_from
from rheostat.providers.generic import LEVELS
from rheostat.task import ThinkingPlan
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["ChatTransformers", "TransformersDial"]

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


def _torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401 - both are needed
    except ImportError:
        raise MissingExtra("ChatTransformers", "gpu") from None
    return torch


def _cache_name(model: Any, output: Any) -> str:
    """The name of a model's cache: `cache` since transformers 5.24, `past_key_values` before and in remote code.

    A wrapper (`torch.compile`, PEFT) may hide the signature; then the name is read from the output.
    """
    for names in (inspect.signature(model.forward).parameters, list(output.keys())):
        for name in ("cache", "past_key_values"):
            if name in names:
                return name
    raise BadInput(
        f"{type(model).__name__} returns no cache (it returns {list(output.keys())}): it can't go on token by token"
    )


class _Row:
    """The state of one sample: thinking, closing the thought, or answering."""

    def __init__(self, ids: _Ids, thinking_tokens: int, least: int, answer_tokens: int) -> None:
        self._ids, self._cap, self._least, self._answer = ids, thinking_tokens, least, answer_tokens
        self.thought = 0
        """The tokens before the end of the thought, forced "Wait"s included."""
        self.answered = 0
        self.was_cut = False
        """The cap ended the answer before the model did."""
        self._open = thinking_tokens > 0
        self._forced: list[int] = []

    def saw(self, token: int) -> None:
        """Count a generated token."""
        if self._forced:
            self._forced.pop(0)
            if not self._open:
                return
        elif self._open and token == self._ids.close[0]:
            self._open = False
            self._forced = self._ids.close[1:]
            return
        if self._open:
            self.thought += 1
        else:
            self.answered += 1

    def next(self, wanted: int) -> int | None:
        """The token to force now; `None`: keep `wanted`, the model's own choice."""
        if self._forced:
            return self._forced[0]
        if self._open and self.thought >= self._cap:
            self._forced = list(self._ids.close)
            self._open = False
            return self._forced[0]
        ends = wanted in (self._ids.close[0], self._ids.end)
        if self._open and ends:
            wait = self._ids.wait
            if self.thought < self._least and self.thought + len(wait) <= self._cap:
                self._forced = list(wait)
                return self._forced[0]
            return self._ids.close[0]  # close a thought that ends without its marker, so that the answer follows
        if not self._open and self.answered >= self._answer:
            self.was_cut = wanted != self._ids.end
            return self._ids.end
        return None


class _Ids:
    """The token ids of the markers."""

    def __init__(self, tokenizer: Any) -> None:
        self.close: list[int] = tokenizer.encode("</think>", add_special_tokens=False)
        self.wait: list[int] = tokenizer.encode(" Wait,", add_special_tokens=False)
        self.end: int = tokenizer.eos_token_id


class ChatTransformers(BaseChatModel):
    """A causal model of transformers as a chat model that thinks in `<think>…</think>` under a cap.

    Args:
        model: A `PreTrainedModel`, already on its device.
        tokenizer: Its tokenizer, with a chat template, to which `enable_thinking` is passed.
        name: The name of the model.

    Call arguments: `thinking_tokens` (0: no thought), `least_thinking_tokens`, `max_tokens` (of the answer),
    `temperature` (None or 0: greedy), `n` (samples from one prefill), `stop_event` (a `threading.Event` that ends all).

    Raises:
        BadInput: A call argument is out of range, or stop sequences are given.
        MissingExtra: torch or transformers isn't installed.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Any
    tokenizer: Any
    name: str = "transformers"

    @property
    def _llm_type(self) -> str:
        return "rheostat-transformers"

    def _prompt(self, messages: Sequence[BaseMessage], *, thinking: bool) -> str:
        said = [{"role": _ROLES.get(message.type, "user"), "content": message.text} for message in messages]
        text: str = self.tokenizer.apply_chat_template(
            said, add_generation_prompt=True, tokenize=False, enable_thinking=thinking
        )
        opened = text.rfind("<think>") > text.rfind("</think>")
        return text + "<think>" if thinking and not opened else text

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if stop:
            raise BadInput(f"stop={stop!r}: this model takes no stop sequences; its caps end it")
        torch = _torch()
        thinking = int(kwargs.get("thinking_tokens", 0))
        least, answer = int(kwargs.get("least_thinking_tokens", 0)), int(kwargs.get("max_tokens", 256))
        samples, event = int(kwargs.get("n", 1)), kwargs.get("stop_event")
        if thinking < 0 or not 0 <= least <= max(thinking, 0) or answer < 1 or samples < 1:
            raise BadInput(
                f"thinking_tokens={thinking}, least_thinking_tokens={least}, max_tokens={answer}, n={samples}: "
                "caps are zero or more, the least is within the cap, and there is at least one answer of one token"
            )
        ids = _Ids(self.tokenizer)
        rows = [_Row(ids, thinking, least, answer) for _ in range(samples)]
        prompt = self.tokenizer(
            self._prompt(messages, thinking=thinking > 0), return_tensors="pt", add_special_tokens=False
        )["input_ids"].to(self.model.device)
        with torch.inference_mode():
            written = self._write(torch, prompt, rows, kwargs.get("temperature"), event)
        return ChatResult(
            generations=[
                ChatGeneration(message=self._message(tokens, row, int(prompt.shape[1])))
                for tokens, row in zip(written, rows, strict=True)
            ]
        )

    def _write(
        self, torch: Any, prompt: Any, rows: list[_Row], temperature: float | None, event: threading.Event | None
    ) -> list[list[int]]:
        """Decode all samples in one batch, after one prefill of the prompt."""
        read = self.model(prompt, use_cache=True, logits_to_keep=1)
        cache_name = _cache_name(self.model, read)
        cache, logits = read[cache_name], read.logits[:, -1]
        if len(rows) > 1:
            cache.batch_repeat_interleave(len(rows))
            logits = logits.repeat(len(rows), 1)
        end = self.tokenizer.eos_token_id
        written: list[list[int]] = [[] for _ in rows]
        done = [False] * len(rows)
        while not all(done) and not (event is not None and event.is_set()):
            if temperature:
                chosen = torch.multinomial(torch.softmax(logits.float() / temperature, dim=-1), 1)[:, 0]
            else:
                chosen = logits.argmax(dim=-1)
            tokens = chosen.tolist()
            for number, row in enumerate(rows):
                if done[number]:
                    tokens[number] = end
                    continue
                forced = row.next(tokens[number])
                tokens[number] = tokens[number] if forced is None else forced
                written[number].append(tokens[number])
                done[number] = forced in (None, end) and tokens[number] == end
                if not done[number]:
                    row.saw(tokens[number])
            if all(done):
                break
            step = torch.tensor(tokens, device=prompt.device)[:, None]
            logits = self.model(step, **{cache_name: cache}, use_cache=True).logits[:, -1]
        return written

    def _message(self, tokens: list[int], row: _Row, input_tokens: int) -> AIMessage:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        thought, closed, answer = text.partition("</think>")
        if not closed and row.thought:
            thought, answer = text, ""
        elif not closed:
            thought, answer = "", text
        cut = bool(tokens) and tokens[-1] == self.tokenizer.eos_token_id and row.was_cut
        return AIMessage(
            content=answer.strip(),
            additional_kwargs={"reasoning_content": thought.strip()},
            response_metadata={"finish_reason": "length" if cut else "stop", "model_name": self.name},
            usage_metadata={
                "input_tokens": input_tokens,
                "output_tokens": len(tokens),
                "total_tokens": input_tokens + len(tokens),
                "output_token_details": {"reasoning": row.thought},
            },
        )


class TransformersDial:
    """The dial of `ChatTransformers`: the cap holds to the token, and the counts are exact."""

    overhead = Overhead()
    counts_at_once = True
    steer: Steer | None = None

    def __init__(self, name: str, chat: ChatTransformers) -> None:
        self._chat = chat
        self.facts = ModelFacts(
            name=name, levels=LEVELS, least_useful_thinking_tokens=32, takes_temperature=True, several=True
        )

    @property
    def example(self) -> Callable[[str, str], str] | None:
        return None

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        return ("whole",)

    def encode(
        self,
        plan: ThinkingPlan,
        phase: Phase,
        *,
        temperature: float | None,
        schema: Any | None,
        step: Step = FRESH,
    ) -> Settings:
        kwargs: dict[str, Any] = {"thinking_tokens": plan.thinking_tokens, "max_tokens": plan.answer_tokens}
        if temperature is not None:
            kwargs["temperature"] = temperature
        notes = ("the schema is asked for in words only: transformers has no grammar",) if schema is not None else ()
        marks = len(_Ids(self._chat.tokenizer).close) + 1  # the markers at the end of the thought and of the text
        return Settings(kwargs, plan.max_output_tokens + marks, plan.thinking_tokens, notes=notes)

    def decode(self, message: AIMessage, settings: Settings, phase: Phase, sent: Messages = ()) -> Reply:
        return reply_from(message, settings, thought=str(message.additional_kwargs.get("reasoning_content") or ""))

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        from langchain_core.messages import convert_to_messages

        def do() -> int:
            prompt = self._chat._prompt(
                convert_to_messages(list(messages)), thinking=settings.kwargs["thinking_tokens"] > 0
            )
            return len(self._chat.tokenizer(prompt, add_special_tokens=False)["input_ids"])

        async def ado() -> int:
            return do()

        return Effect(do, ado)


class Transformers(Adapter):
    """`ChatTransformers`: it runs in this process and is free."""

    def claims(self, chat: BaseChatModel) -> bool:
        return isinstance(chat, ChatTransformers)

    def dial(self, chat: BaseChatModel, name: str, *, provider: str | None, strict: bool, live: bool) -> Dial:
        assert isinstance(chat, ChatTransformers)  # noqa: S101 - it was claimed
        return TransformersDial(chat.name, chat)

    def price(self, chat: BaseChatModel) -> Price | None:
        return FREE
