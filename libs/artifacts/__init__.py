"""Blobs in S3, and an in-memory twin under the same contract."""
