"""HTML pages about participants and studies, made from files on disk only."""
