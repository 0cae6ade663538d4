"""Step atlas: relevance by region."""
