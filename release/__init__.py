"""What a release is made of and checked by: its parts, their licences, known faults in them, its files."""
