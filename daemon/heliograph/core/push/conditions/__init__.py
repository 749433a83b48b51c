"""The kinds of condition: how each is read, when it holds, and how it is worded. One table of kinds in each module.

properties  what the event itself says
facts       what is known of the user and the room (`core.push.context`)
unstable    what is only proposed, whether of the event or around it
"""
