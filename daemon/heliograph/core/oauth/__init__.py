"""Rules of signing in by OAuth 2.0, and of its tokens.

token_answer   what an answer of a token endpoint means
authorization  what is asked for when signing in, and what comes of it
token_life     when a token is renewed, and how long a poll may be that it serves
renewal_pace   when a token endpoint is asked again after something went wrong
"""
