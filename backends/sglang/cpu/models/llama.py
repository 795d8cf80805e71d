"""SGLang's Llama, which is also the shape of the built-in model."""

from sglang.srt.models.llama import LlamaForCausalLM

EntryClass = LlamaForCausalLM
