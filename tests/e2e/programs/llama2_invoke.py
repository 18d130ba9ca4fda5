"""One question to Llama 2, as in the first tutorials."""

import json

import boto3

bedrock = boto3.client(service_name="bedrock-runtime", region_name="us-east-1")

prompt = "[INST]You are a very intelligent bot with exceptional critical thinking. \
What is the difference between a llama and an alpaca?[/INST]"

payload = {
    "prompt": prompt,
    "max_gen_len": 512,
    "temperature": 0.5,
    "top_p": 0.9,
}

response = bedrock.invoke_model(
    body=json.dumps(payload),
    modelId="meta.llama2-70b-chat-v1",
    accept="application/json",
    contentType="application/json",
)

response_body = json.loads(response.get("body").read())
print("generation:", response_body["generation"])
print("prompt_token_count:", response_body["prompt_token_count"])
print("generation_token_count:", response_body["generation_token_count"])
