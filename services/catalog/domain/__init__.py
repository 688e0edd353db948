"""The catalog's rules, pure: what events mean (`folding`), what follows from them (`verdicts`), and what is kept of a
message (`records`)."""
