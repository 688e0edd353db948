"""The notifier: tells a team what became of its environments, once."""
