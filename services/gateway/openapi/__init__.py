"""What `/openapi.json` says of every route: parameters, bodies, answers, examples."""
