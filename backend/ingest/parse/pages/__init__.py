"""PDF: pages of characters in places, as blocks."""
