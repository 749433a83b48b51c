"""Push rules: does this event ring for this user, and how loudly?

A pure engine for https://spec.matrix.org/v1.17/client-server-api/#push-rules. The ruleset is parsed once; the facts of
the room are a value gathered before; judging never raises and never waits. Where the specification is silent, the
engine follows Synapse, the homeserver that most accounts live on. Every difference is a row of docs/push-rules.md, with
its test (test_differences.py sees to that).

    rules         Ruleset: parse, judge, trace, and which events it needs
    rule          one rule
    reader        JSON of the homeserver -> rules, and what was wrong with it
    condition     what conditions of all kinds have in common
    conditions/   each kind of condition: how it is read, when it holds, how it is worded
    context       what judging needs besides the event
    subject       the event under judgement, and what was read of it so far
    flatten       dot-separated property paths
    patterns      globs and whole words, in linear time
    levels        power levels of senders
    verdict       what came of it: actions and tweaks
    decrypted     the event as it is judged a second time
    case          an event and the facts around it, as JSON, for `heliograph rules check`
    predefined    the rules of the specification, as data
    wording       a rule in a sentence
    phrases       texts of strangers and names of rooms, as sentences have them
    spelling      conditions and actions as people write them
    changes       what the user wants of the rules -> the requests that make it so
    desired_rule  a rule as the user wants it
    listed_rules  rules as the homeserver lists them
    rule_change   one request that changes a rule
"""
