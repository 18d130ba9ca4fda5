"""A small web service around invoke_model."""

import json
import os

import boto3
import uvicorn
from botocore.exceptions import ClientError
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

MODELS = {
    "llama2-13b": "meta.llama2-13b-chat-v1",
    "llama2-70b": "meta.llama2-70b-chat-v1",
}

app = FastAPI()
bedrock = boto3.client("bedrock-runtime", region_name=os.environ.get("AWS_REGION", "us-east-1"))


class InvokeRequest(BaseModel):
    prompt: str
    model: str = "llama2-70b"
    max_gen_len: int = 256
    temperature: float = 0.5


@app.get("/health")
def health():
    return {"status": "healthy"}


@app.get("/models")
def models():
    return {"models": MODELS}


@app.post("/invoke")
def invoke(request: InvokeRequest):
    if request.model not in MODELS:
        raise HTTPException(status_code=400, detail=f"Unknown model {request.model}")
    body = {
        "prompt": f"[INST] {request.prompt} [/INST]",
        "max_gen_len": request.max_gen_len,
        "temperature": request.temperature,
    }
    try:
        response = bedrock.invoke_model(modelId=MODELS[request.model], body=json.dumps(body))
    except ClientError as error:
        raise HTTPException(status_code=502, detail=str(error))
    result = json.loads(response["body"].read())
    return {
        "generation": result["generation"],
        "prompt_token_count": result["prompt_token_count"],
        "generation_token_count": result["generation_token_count"],
    }


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
