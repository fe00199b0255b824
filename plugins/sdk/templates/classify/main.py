"""Says what kind of mail a message is. The rule is a toy: put yours into classify()."""
import unicodedata

from mairust import Plugin

plugin = Plugin()

WORDS = {
    "invoice": ["invoice", "payment", "total", "請求書", "お支払い"],
    "newsletter": ["unsubscribe", "newsletter", "配信停止"],
}


def classify(message):
    """The class that fits best, and how well: 0 to 1."""
    preview = message.preview["text"] if message.preview else ""
    text = unicodedata.normalize("NFKC", message.subject + "\n" + preview).lower()
    scores = {name: 0.3 * sum(word in text for word in words) for name, words in WORDS.items()}
    if message.header("List-Unsubscribe"):
        scores["newsletter"] += 0.5
    name = max(scores, key=lambda one: scores[one])
    return name, min(1, round(scores[name], 3))


@plugin.on("pre_delivery")
def judge(message, verdict, call):
    name, score = classify(message)
    verdict.metadata("score", score)
    if score >= call.settings["threshold"]:
        verdict.tag(name).metadata("class", name).explain("%s, score %.1f" % (name, score))


plugin.run(__name__)
