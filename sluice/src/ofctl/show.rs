//! Answers as text.
//!
//! Purpose: the one place that knows how a message is shown.

use sluice_openflow::print::format_message;
use sluice_openflow::text::Names;

/// A message as people read it; ends in a newline.
pub fn message(bytes: &[u8], _verbosity: u32, names: &Names) -> String {
    format_message(bytes, names)
}
