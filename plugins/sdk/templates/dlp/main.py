"""Holds mail on its way out when it carries what should stay. It says what it found, never what it was."""
import re

from mairust import Plugin

plugin = Plugin()


def is_card(digits):
    """The check digit of card numbers (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (2 if i % 2 else 1) for i, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def finding(text, cards):
    numbers = re.findall(r"\b(?:[0-9][ -]?){12,18}[0-9]\b", text)
    if cards and any(is_card(re.sub(r"[^0-9]", "", number)) for number in numbers):
        return "a card number"
    if re.search(r"\bAKIA[0-9A-Z]{16}\b", text) or "-----BEGIN PRIVATE KEY-----" in text:
        return "a key"
    return None


@plugin.on("pre_send")
def check(message, verdict, call):
    for part in message.body:
        found = finding(part["text"], call.settings["cards"])
        if found is not None:
            verdict.hold("%s in the text" % found)
            return


plugin.run(__name__)
