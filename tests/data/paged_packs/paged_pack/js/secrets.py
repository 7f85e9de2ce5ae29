KEY = "a secret of the worker"
