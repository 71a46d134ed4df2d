"""Files of office programs, books, messages and lists, as blocks."""
