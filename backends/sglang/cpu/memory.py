"""A key-value cache whose memory is taken when it is first used.

SGLang fills its cache with zeros at start. On a GPU that is a moment; on a CPU it makes the system hand out and
clear more than a gigabyte before the first request. Zeroed memory fresh from the system reads as zeros without being
touched.
"""

from __future__ import annotations

import numpy as np
import torch
from sglang.srt.mem_cache.memory_pool import MHATokenToKVPool


class LazyKVPool(MHATokenToKVPool):
    """SGLang's pool with buffers from `numpy.zeros`, which asks the system for zeroed pages instead of writing them."""

    def _create_buffers_normal(self) -> None:
        if self.store_dtype != torch.float32 or self.kv_cache_layout != "nhd":
            super()._create_buffers_normal()
            return
        k_shape, v_shape = self._kv_buffer_shapes()
        self.k_buffer = [torch.from_numpy(np.zeros(k_shape, np.float32)) for _ in range(self.layer_num)]
        self.v_buffer = [torch.from_numpy(np.zeros(v_shape, np.float32)) for _ in range(self.layer_num)]
