"""The independent checker: reads the API, PostgreSQL, S3 and the stream, and believes nobody.

Nothing in here imports the product: hash, fold and SQL are its own.
"""
