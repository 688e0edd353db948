"""What a person sees: each screen is a function from what the API answers to lines."""
