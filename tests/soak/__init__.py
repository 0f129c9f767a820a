"""Hours of faults in virtual time, and thousands of lives: nothing may grow."""
