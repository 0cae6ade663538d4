"""The sessions of a raw dataset: pybids is asked, images are chosen, answers are kept."""
