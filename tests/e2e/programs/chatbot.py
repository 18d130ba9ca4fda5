"""A chat in the terminal: the whole conversation is put into one [INST] prompt each turn."""

import json

import boto3

MODEL_ID = "meta.llama2-13b-chat-v1"
SYSTEM = "You are a helpful assistant. Answer shortly."
INPUT_PRICE = 0.00075 / 1000  # dollars a token
OUTPUT_PRICE = 0.001 / 1000

client = boto3.client("bedrock-runtime")


def build_prompt(history, user_input):
    prompt = f"<s>[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n"
    for question, answer in history:
        prompt += f"{question} [/INST] {answer} </s><s>[INST] "
    return prompt + f"{user_input} [/INST]"


history = []
input_tokens = 0
output_tokens = 0

while True:
    try:
        user_input = input("You: ")
    except EOFError:
        break
    if user_input.lower() in ("quit", "exit"):
        break
    body = json.dumps(
        {"prompt": build_prompt(history, user_input), "max_gen_len": 256, "temperature": 0.2}
    )
    response = client.invoke_model(modelId=MODEL_ID, body=body)
    result = json.loads(response["body"].read())
    answer = result["generation"].strip()
    history.append((user_input, answer))
    input_tokens += result["prompt_token_count"]
    output_tokens += result["generation_token_count"]
    print("Bot:", answer)
    print(f"[{result['prompt_token_count']} in, {result['generation_token_count']} out]")

cost = input_tokens * INPUT_PRICE + output_tokens * OUTPUT_PRICE
print(f"Tokens: {input_tokens} in, {output_tokens} out")
print(f"Cost: ${cost:.6f}")
