"""Tells a web server of new mail. What raises is a failure: the host calls again, later."""
import json

from mairust import Plugin

plugin = Plugin()


@plugin.on("post_receive")
def notify(message, verdict, call):
    url = call.settings.get("url")
    if url is None:
        verdict.explain("no url is set")
        return
    body = json.dumps({"from": message.from_, "subject": message.subject}).encode()
    answer = call.fetch(url, method="POST", headers={"content-type": "application/json"}, body=body)
    if not answer.ok:
        raise RuntimeError("the server answered %d" % answer.status)
    verdict.explain("told")


plugin.run(__name__)
