"""LibriAssist: a chat assistant that answers from an organisation's own documents."""

__version__ = "0.1.0"
