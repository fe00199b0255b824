"""A model made of a few words, behind the chat-completions protocol: to see the plumbing without a model. `python3 fake_model.py 11434`"""
import http.server
import json
import sys

WORDS = {
    "invoice": ("invoice", "amount due", "請求書", "お支払"),
    "spam": ("lottery", "winner", "当選", "副業"),
    "notification": ("your order has", "build failed", "発送", "お知らせ"),
    "personal": ("dinner", "see you", "元気", "週末"),
}


def classify(request):
    """The first category whose words are there; a list field alone makes a newsletter."""
    facts, mail = (json.loads(message["content"]) for message in request["messages"][-2:])
    text = (mail["mail"]["subject"] + "\n" + mail["mail"]["text"]).lower()
    allowed = request["response_format"]["json_schema"]["schema"]["properties"]["category"]["enum"]
    for category, words in WORDS.items():
        if category in allowed and any(word in text for word in words):
            return {"category": category, "score": 0.9, "explanation": "It holds words of %s." % category}
    if facts["facts"]["has_list_unsubscribe"] and "newsletter" in allowed:
        return {"category": "newsletter", "score": 0.8, "explanation": "It comes from a list."}
    return {"category": allowed[-1], "score": 0.5, "explanation": "Nothing speaks for a category."}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        content = json.dumps(classify(json.loads(body)))
        message = {"role": "assistant", "content": content}
        answer = {"model": "fake", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
        answer["usage"] = {"prompt_tokens": len(body) // 4, "completion_tokens": len(content) // 4}
        said = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
