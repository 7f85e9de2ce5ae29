"""The gateway's rules, all pure: submissions, the queue as people see it, the order of frames."""
