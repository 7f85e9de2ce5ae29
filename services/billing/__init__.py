"""Billing: a ledger per account; hold before the run, capture or release after it."""
