"""From the ledger to the screen, and what comes back from there.

loop      deliveries that are due, one round after the other
outcomes  what became of them on screen, until the ledger has it
signals   what the user does with popups
notices   notifications of our own: trouble and questions
calls     calls that have rung for as long as they do
"""
