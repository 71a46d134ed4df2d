"""May this question reuse an answer?"""
