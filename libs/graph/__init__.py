"""A workflow as a value: parse, check, plan, fingerprint and cost, all pure."""
