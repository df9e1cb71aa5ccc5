"""The command line: words in, calls of the stages, words out. No work is done here."""
