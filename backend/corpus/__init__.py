"""What documents there are: the catalogue, the live revision of each, the version of each corpus."""
