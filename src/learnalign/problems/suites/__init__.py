"""The tests of code problems, as data sets write them: one file a format."""
