"""Questions about some documents: the two with most words in common go into the prompt."""

import json
import re

import boto3

DOCUMENTS = {
    "returns.txt": "Customers may return any product within 30 days. A refund takes 5 days.",
    "shipping.txt": "Shipping within Europe takes 3 days and is free above 50 euros.",
    "warranty.txt": "Every product has a warranty of two years. Batteries have six months.",
    "support.txt": "Support answers by mail from Monday to Friday, 9 to 17 o'clock.",
}


def words(text):
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def retrieve(question, k=2):
    scores = [(len(words(question) & words(text)), name) for name, text in DOCUMENTS.items()]
    scores.sort(reverse=True)
    return [name for score, name in scores[:k] if score > 0]


def ask(client, question):
    sources = retrieve(question)
    context = "\n".join(DOCUMENTS[name] for name in sources)
    prompt = f"""[INST] Use the following context to answer the question.

Context:
{context}

Question: {question} [/INST]"""
    response = client.invoke_model(
        modelId="meta.llama2-70b-chat-v1",
        body=json.dumps({"prompt": prompt, "max_gen_len": 300, "temperature": 0.1}),
    )
    return json.loads(response["body"].read()), sources


if __name__ == "__main__":
    client = boto3.client("bedrock-runtime", region_name="us-east-1")
    for question in ["How long does a refund take?", "Is shipping free in Europe?"]:
        answer, sources = ask(client, question)
        print("Question:", question)
        print("Sources:", ", ".join(sources))
        print("Answer:", answer["generation"])
        print("Tokens:", answer["prompt_token_count"], answer["generation_token_count"])
