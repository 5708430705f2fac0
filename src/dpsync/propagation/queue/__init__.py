"""What is due when: the lanes of people at an account, the account itself, and how much of the brake is used.

Rows that say when work goes on, and nothing about what it is. `record` writes them together with the state, so this
room lies below it, and `engine` above.
"""
