//! Where frames enter and leave the switch: the only unsafe I/O.
