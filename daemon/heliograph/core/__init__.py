"""Decides what rings and how it is shown: values in, values out. Nothing here has a clock, IO, logging or async, or
imports more than the standard library."""
