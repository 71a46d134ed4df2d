"""HTML, and whatever is turned into HTML: what is hidden goes first, then what stands around the content."""
