"""The four transaction machines: events in, actions out. Pure: the clock and the way to send are given."""
