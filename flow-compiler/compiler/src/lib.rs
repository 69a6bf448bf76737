//! From a set of rules to a program for the dataplane.
