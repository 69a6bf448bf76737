//! Answers as text.
//!
//! Purpose: the one place that knows how a message is shown.

use sluice_openflow::print::format_message;
use sluice_openflow::text::Names;

/// The time now, as it stands before messages.
pub fn timestamp() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let text = crate::daemon::log::time::utc(now.as_secs(), now.subsec_millis());
    format!("{}: ", text.replace('T', " ").trim_end_matches('Z'))
}

/// A message as people read it; ends in a newline.
pub fn message(bytes: &[u8], _verbosity: u32, names: &Names) -> String {
    format_message(bytes, names)
}
