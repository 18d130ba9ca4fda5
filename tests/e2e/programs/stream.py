"""The answer word by word, as it comes."""

import json

import boto3

client = boto3.client("bedrock-runtime", region_name="us-east-1")

response = client.invoke_model_with_response_stream(
    modelId="meta.llama2-70b-chat-v1",
    body=json.dumps(
        {"prompt": "[INST] Tell me a story about a river. [/INST]", "max_gen_len": 200}
    ),
)

chunks = 0
for event in response["body"]:
    chunk = json.loads(event["chunk"]["bytes"])
    chunks += 1
    print(chunk["generation"], end="", flush=True)
    if chunk.get("prompt_token_count"):
        prompt_tokens = chunk["prompt_token_count"]
    if chunk.get("stop_reason"):
        metrics = chunk["amazon-bedrock-invocationMetrics"]

print()
print("chunks:", chunks)
print("prompt_token_count:", prompt_tokens)
print("generation_token_count:", metrics["outputTokenCount"])
