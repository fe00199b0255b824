"""Mends the delivery of getmail 6.18.11: it waits for SIGCHLD of the process that writes a message, and when that process ends before
the wait begins, the signal is lost and getmail stands still for its whole time-out, then gives up. Here it waits for the process
itself. What getmail does with IMAP is untouched.
"""
import os

try:
    from getmailcore.baseclasses import ForkingBase
except ImportError:  # another Python program
    pass
else:

    def wait_for_child(_self, pid):
        _pid, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    ForkingBase._prepare_child = lambda _self: None
    ForkingBase._wait_for_child = wait_for_child
