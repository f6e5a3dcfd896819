"""What a person sees while an app runs."""
