"""What is remembered: the rows, the verbs that write them, the reads, the tables, the file, who is at work on it."""
