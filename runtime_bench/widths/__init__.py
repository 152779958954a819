"""One model at every number of bits: built, asked and measured."""
