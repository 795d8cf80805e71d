"""Draw: seeded random operations on values. The numbers depend on the run's seed, the node and its rounds alone."""

from __future__ import annotations

import random

from ttsc.compiler.ir.nodes import Draw
from ttsc.compiler.values.draws import draw
from ttsc.runtime.blocks import Job
from ttsc.runtime.streams import computed


async def execute_draw(job: Job, node: Draw) -> None:
    args = [await job.complete(value) for value in node.args]
    numbers = random.Random(job.run.draw_seed(node.result.id, job.scope.path))
    job.cell.resolve(computed(args, lambda: draw(node.op, node.attr, args, numbers)))
