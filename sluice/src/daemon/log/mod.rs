//! The daemon's log, in the form that Open vSwitch's tools and scripts know.
//!
//! Purpose: `time|number|module|LEVEL|text` to standard error, a file and the system's log, each
//! with a level of its own for each module.
//! Invariant: writing never blocks the packet path; workers do not log, they count. WARN and above
//! are written only when something is wrong.
//! Deliberately does not know: who changes the levels.

pub mod level;
mod pattern;
mod spec;
pub mod syslog;
pub(crate) mod time;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use level::{Destination, Level};
use level::{module_by_name, module_name, module_of, modules, DAEMON, MODULE_COUNT};
use pattern::{expand, Line};
pub use time::utc_seconds;

/// The most talkative level that any destination wants: most lines end at this test.
static MOST: AtomicU8 = AtomicU8::new(Level::Info as u8);

static STATE: Mutex<State> = Mutex::new(State::new());

/// Levels, patterns and open files.
struct State {
    /// By module and destination.
    levels: [[Level; 3]; MODULE_COUNT],
    patterns: [Option<String>; 3],
    number: u64,
    program: Option<String>,
    file: Option<(PathBuf, Option<File>)>,
    syslog: Option<syslog::Syslog>,
    /// Standard error leads nowhere.
    no_console: bool,
}

const PATTERNS: [&str; 3] = [
    "ovs|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
];

impl State {
    const fn new() -> State {
        State {
            levels: [[Level::Info; 3]; MODULE_COUNT],
            patterns: [None, None, None],
            number: 0,
            program: None,
            file: None,
            syslog: None,
            no_console: false,
        }
    }

    fn level(&self, module: usize, to: Destination) -> Level {
        self.levels.get(module).map_or(Level::Info, |l| l[to as usize])
    }

    fn pattern(&self, to: Destination) -> &str {
        self.patterns[to as usize].as_deref().unwrap_or(PATTERNS[to as usize])
    }

    fn write(&mut self, module: usize, level: Level, text: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.number += 1;
        let program = self.program.clone().unwrap_or_default();
        let line = Line {
            time: (since.as_secs(), since.subsec_millis()),
            number: self.number,
            module: module_name(module),
            level,
            text,
            program: &program,
        };
        for to in Destination::ALL {
            if level > self.level(module, to) {
                continue;
            }
            let mut text = expand(self.pattern(to), &line);
            match to {
                Destination::Syslog => {
                    if let Some(syslog) = &mut self.syslog {
                        syslog.send(level, &program, line.time.0, &text);
                    }
                }
                Destination::Console if self.no_console => {}
                Destination::Console => {
                    text.push('\n');
                    // A closed standard error must not end the daemon.
                    let _ = std::io::stderr().lock().write_all(text.as_bytes());
                }
                Destination::File => {
                    text.push('\n');
                    if let Some((_, Some(file))) = &mut self.file {
                        let _ = file.write_all(text.as_bytes());
                    }
                }
            }
        }
    }

    fn remember_most(&self) {
        let most = self.levels.iter().flatten().max().copied().unwrap_or(Level::Info);
        MOST.store(most as u8, Ordering::Relaxed);
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the program's name for lines that tell it, and connects to the system's log.
pub fn start(program: &str) {
    let mut state = state();
    state.program = Some(program.to_string());
    state.syslog.get_or_insert_default();
}

/// Whether a line of this level may be written somewhere.
pub fn enabled(level: Level) -> bool {
    level as u8 <= MOST.load(Ordering::Relaxed)
}

/// Writes a line. Use [`log!`](crate::log).
pub fn write(level: Level, path: &str, subject: &str, what: std::fmt::Arguments<'_>) {
    if enabled(level) {
        let text = if subject.is_empty() { what.to_string() } else { format!("{subject}: {what}") };
        state().write(module_of(path), level, &text);
    }
}

/// The daemon ends because of this: in the log, and once on standard error.
pub fn fatal(why: &str) {
    let mut state = state();
    let no_console = std::mem::replace(&mut state.no_console, true);
    state.write(DAEMON, Level::Emergency, why);
    state.no_console = no_console;
    drop(state);
    eprintln!("sluiced: {why}");
}

/// Carries out a specification as of `-v` and `vlog/set`.
pub fn set(text: &str) -> Result<(), String> {
    let spec = spec::parse(text)?;
    let mut state = state();
    match spec {
        spec::Spec::Level { module, to, level } => {
            let places = module.map_or(0..MODULE_COUNT, |m| m..m + 1);
            for levels in state.levels.get_mut(places).unwrap_or_default() {
                for destination in Destination::ALL.into_iter().filter(|d| to.is_none_or(|to| to == *d)) {
                    levels[destination as usize] = level;
                }
            }
            state.remember_most();
        }
        spec::Spec::Pattern { to, pattern } => {
            for destination in Destination::ALL.into_iter().filter(|d| to.is_none_or(|to| to == *d)) {
                state.patterns[destination as usize] = Some(pattern.clone());
            }
        }
        spec::Spec::Facility => {}
    }
    Ok(())
}

/// Carries out what the command line says of the log.
pub fn configure(wanted: &super::args::Logging) -> Result<(), String> {
    for spec in &wanted.specs {
        set(spec).map_err(|e| format!("processing \"{spec}\": {e}"))?;
    }
    if let Some(method) = &wanted.syslog_method {
        state().syslog.get_or_insert_default().set_method(method.clone());
    }
    if let Some(target) = wanted.syslog_target {
        state().syslog.get_or_insert_default().set_target(target)?;
    }
    // A switch without a log file is better than none.
    if let Some(why) = wanted.file.as_deref().and_then(|file| open_file(file).err()) {
        crate::log!(Warn, "", "{why}; going on without");
    }
    Ok(())
}

/// Writes to this file too; lines are appended.
pub fn open_file(path: &Path) -> Result<(), String> {
    let file = append_to(path).map_err(|e| format!("{}: cannot open the log file: {e}", path.display()))?;
    let mut state = state();
    state.file = Some((path.to_path_buf(), Some(file)));
    drop(state);
    crate::log!(Info, "", "opened log file {}", path.display());
    Ok(())
}

/// Opens the log file again, after it was moved away.
pub fn reopen() -> Result<(), String> {
    let path = state().file.as_ref().map(|(path, _)| path.clone());
    path.map_or_else(|| Err("Logging to file not configured".to_string()), |path| open_file(&path))
}

/// Closes the log file until it is opened again.
pub fn close() {
    if let Some((_, file)) = &mut state().file {
        *file = None;
    }
}

fn append_to(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// Standard error is gone.
pub fn forget_console() {
    state().no_console = true;
}

/// What `vlog/list` prints.
pub fn list() -> String {
    let state = state();
    let mut out = String::from("                 console    syslog    file\n                 -------    ------    ------\n");
    for name in modules() {
        let module = module_by_name(name).unwrap_or(0);
        let level = |to| state.level(module, to).name();
        out += &format!(
            "{name:<16}  {:>4}       {:>4}       {:>4}\n",
            level(Destination::Console),
            level(Destination::Syslog),
            level(Destination::File)
        );
    }
    out
}

/// What `vlog/list-pattern` prints; the prefix is what the system's log puts in front.
pub fn list_patterns() -> String {
    let state = state();
    let row = |name: &str, prefix: &str, to| format!("{name:<7}  {prefix:<32}  {}\n", state.pattern(to));
    let head = "         prefix                            format\n         ------                            ------\n";
    let syslog = row("SYSLOG", "<%B> %D{%h %e %T} %E %A:", Destination::Syslog);
    format!("{head}{syslog}{}{}", row("CONSOLE", "none", Destination::Console), row("FILE", "none", Destination::File))
}

/// Writes a line of the log: `log!(Info, "br0", "port {} opened", name)`.
#[macro_export]
macro_rules! log {
    ($level:ident, $subject:expr, $($what:tt)*) => {
        $crate::daemon::log::write($crate::daemon::log::Level::$level, module_path!(), $subject, format_args!($($what)*))
    };
}
