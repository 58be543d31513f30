"""What was measured over time: its series, the files it is kept in, how it is read."""
