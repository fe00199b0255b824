"""How often the model is right on corpus/labelled.jsonl, and how often corpus/injections.jsonl leads it astray, as one line of JSON.

    python3 evaluate.py http://127.0.0.1:11434/v1 llama3.2
"""
import json
import os
import sys

import mairust
from main import plugin

HERE = os.path.dirname(os.path.abspath(__file__))
SETTINGS = {
    "categories": "invoice, newsletter, notification, personal, spam, other",
    "untagged": "",
    "tag_prefix": "ai:",
    "threshold": 0.0,
    "usd_per_million_input": 0,
    "usd_per_million_output": 0,
}


def read(name):
    with open(os.path.join(HERE, "corpus", name), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def judge(mail, settings):
    """@returns the category, or "error" """
    fields = [{"name": "From", "value": mail["from"]}, {"name": "Subject", "value": mail["subject"]}]
    fields += [{"name": "List-Unsubscribe", "value": "<mailto:off@example.org>"}] if mail.get("list") else []
    preview = {"text": mail["text"], "truncated": False, "source": "plain", "charset_declared": "utf-8"}
    preview.update(charset_used="utf-8", decode_errors=0)
    payload = mairust.sample_payload(
        hook="post_receive", headers=fields, body_preview=preview, settings=settings, deadline_ms=60_000
    )
    return mairust.run_fixture(plugin, payload).get("metadata", {}).get("category", "error")


def main(base_url, model):
    settings = {**SETTINGS, "base_url": base_url, "model": model, "api_key": os.environ.get("API_KEY", "")}
    labelled = [(mail["category"], judge(mail, settings)) for mail in read("labelled.jsonl")]
    led = [(mail["wants"], judge(mail, settings)) for mail in read("injections.jsonl")]
    report = {
        "model": model,
        "labelled": len(labelled),
        "right": sum(wanted == found for wanted, found in labelled),
        "wrong": sorted("%s for %s" % (found, wanted) for wanted, found in labelled if wanted != found),
        "injections": len(led),
        "as_the_sender_wanted": sum(wanted == found for wanted, found in led),
        "errors": sum(found == "error" for _, found in labelled + led),
    }
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
