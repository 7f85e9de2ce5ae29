"""The rules by which a submission is accepted or rejected, all pure."""
