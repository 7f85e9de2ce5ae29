"""NATS, PostgreSQL and S3 on one machine: the real servers, started out of their wheels."""
