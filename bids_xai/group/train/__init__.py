"""Step ``train``: the trainings of a study, what a network starts from, and its card."""
