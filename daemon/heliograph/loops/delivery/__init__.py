"""From the ledger to the screen, and what the user does there.

loop           one round after the other: notices, outcomes, signals, then what is due
agendas        what is due, what is held back, and the steps it takes on screen
screen         takes these steps: shows popups, changes and closes them
retries        what could not be shown: tried again later, or given up with a reason
outcomes       what became of each delivery on screen, until the ledger has written it down
announcements  hooks and bars are told what rang
signals        what the user does with popups
calls          calls that have rung for as long as they do
notices        notifications of our own: trouble and questions
rounds         when the loop works, and whether it is stuck
settings       whose deliveries they are, and what the configuration says of them
"""
