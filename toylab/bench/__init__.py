"""Our code beside what would be used instead, in one run, by ratio: ``toylab bench speed``."""
