"""SGLang's dense Qwen models, the most common small ones."""

from sglang.srt.models.qwen2 import Qwen2ForCausalLM
from sglang.srt.models.qwen3 import Qwen3ForCausalLM

EntryClass = [Qwen2ForCausalLM, Qwen3ForCausalLM]
