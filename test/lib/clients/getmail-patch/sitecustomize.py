"""Takes a process for each message out of getmail 6.18.11: writing 10 000 messages takes minutes with them, and getmail waits for
SIGCHLD in a way that loses the signal when the process ends first, then stands still for its whole time-out. getmail's own function
writes into the Maildir, in getmail's own process and without fsync; what it does with IMAP and with the message is untouched.
"""
import os

try:
    from getmailcore.destinations import Maildir
    from getmailcore.utilities import deliver_maildir
except ImportError:  # another Python program
    pass
else:

    def deliver(self, msg, delivered_to, received):
        data = msg.flatten(delivered_to, received)
        deliver_maildir(self.conf["path"], data, self.hostname, self.dcount, self.conf["filemode"])
        self.dcount += 1
        return self

    Maildir._deliver_message = deliver
    os.fsync = lambda _descriptor: None
