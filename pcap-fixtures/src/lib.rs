//! Captures, seeded packet generators and malformed frames for tests and benches.
