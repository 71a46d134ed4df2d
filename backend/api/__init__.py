"""HTTP in, SSE out. Knows FastAPI; knows no store and no model server."""
