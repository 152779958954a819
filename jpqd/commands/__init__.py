"""The commands of `jpqd`: read arguments, call the library, print. Heavy imports stay inside."""
