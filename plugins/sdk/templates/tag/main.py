"""Tags mail whose subject holds one of a few words."""
import unicodedata

from mairust import Plugin

plugin = Plugin()


def plain(text):
    """Width and case do not count."""
    return unicodedata.normalize("NFKC", text).lower()


@plugin.on("pre_delivery")
def tag(message, verdict, call):
    subject = plain(message.subject)
    words = [plain(word.strip()) for word in call.settings.get("words", "").split(",")]
    found = next((word for word in words if word and word in subject), None)
    if found is not None:
        verdict.tag(call.settings["tag"]).explain('the subject holds "%s"' % found)


plugin.run(__name__)
