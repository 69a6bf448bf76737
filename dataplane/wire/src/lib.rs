//! Packet headers as views and builders: no I/O, no unsafe, no panic on any bytes.
