"""Rules of OAuth 2.0 tokens.

token_answer   what an answer of a token endpoint means
token_life     when a token is renewed, and how long a poll may be that it serves
"""
