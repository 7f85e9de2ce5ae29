"""What a person types after `studio`: one file per family of commands."""
