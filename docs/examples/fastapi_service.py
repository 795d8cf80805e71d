"""A web service over one program and one engine. Run: uvicorn fastapi_service:app   (from docs/examples)"""

import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

import ttsc

program = ttsc.compile("../../programs/self_consistency.tts")


@asynccontextmanager
async def lifespan(app: FastAPI):
    url = os.environ.get("ENGINE_URL")
    async with ttsc.connect(url) if url else ttsc.launch("smollm2-135m") as app.state.engine:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/answer")
async def answer(question: str, n: int = 8) -> dict:
    try:
        result = await program.arun(question=question, n=n, engine=app.state.engine)
    except ttsc.InputError as error:
        raise HTTPException(422, str(error)) from None
    return {"answer": result.value, "decoded_tokens": result.usage.decoded_tokens}
