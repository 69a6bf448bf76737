//! Benchmarks: replay, scale, attack, control.
