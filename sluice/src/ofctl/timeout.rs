//! `--timeout`: the command ends as by an alarm.

use std::time::Duration;

use signal_hook::consts::SIGALRM;

/// Starts the clock, where one is wanted. It is a thread of its own, so that nothing can hold it up.
pub fn start(after: Option<Duration>) {
    let Some(after) = after else { return };
    let clock = std::thread::Builder::new().name("timeout".to_string()).spawn(move || {
        std::thread::sleep(after);
        // Ends the process as the signal would, so that a shell sees the same exit code.
        if signal_hook::low_level::emulate_default_handler(SIGALRM).is_err() {
            std::process::exit(142);
        }
    });
    // Without a thread there is no time limit; the command itself can still do its work.
    let _ = clock;
}
