//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use mainspring::crash::CrashPoint;

pub const HELP: &str = "\
A briefing for each weekday morning: built from an agenda, delivered to a file, never twice.

    cargo run --example morning_briefing [-- OPTIONS]

Without options it schedules a briefing at 08:00 from Monday to Friday, a health check every five minutes and a
reminder before the first entry of the next day that has one; runs a few plain jobs; asks for one briefing at
once, so that there is something to read; says when the next one comes; and ends. All of that is in a file: start
it again, and it goes on. A briefing that was due while it was off is made up for, for up to six hours.

    --fast               a briefing every 4 seconds, a health check every 3, a reminder after 6; ends after 12
    --stay               goes on until Ctrl-C
    --crash-at POINT     kills itself with SIGKILL at this point of the first briefing:
                           claimed         the claim is on disk, the handler was not called
                           ran             the handler has returned, nobody has written that down
                           completed       its output is on disk, its delivery was not begun
                           delivery_begun  that it begins is on disk, the outbox has nothing
                           delivered       the outbox has it, nobody has written that down
                           settled         that the outbox has it is on disk
                         Start it again without this option to see what the file knows.
    --resume             lets the briefing go on that was parked since its process died three times in a row
    --db PATH            the file (default: morning-briefing.db); the outbox is a text file beside it
    --agenda PATH        the agenda (default: the one of this example)
    --help               this";

const AGENDA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/morning_briefing/agenda.md");

/// The command line, parsed.
#[derive(Debug)]
pub struct Options {
    pub db: PathBuf,
    pub agenda: PathBuf,
    pub fast: bool,
    pub stay: bool,
    pub resume: bool,
    pub help: bool,
    pub crash_at: Option<CrashPoint>,
}

impl Options {
    pub fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self {
            db: "morning-briefing.db".into(),
            agenda: AGENDA.into(),
            fast: false,
            stay: false,
            resume: false,
            help: false,
            crash_at: None,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{} needs a value", arg.display()));
            match arg.to_str() {
                Some("--db") => options.db = value()?.into(),
                Some("--agenda") => options.agenda = value()?.into(),
                Some("--fast") => options.fast = true,
                Some("--stay") => options.stay = true,
                Some("--resume") => options.resume = true,
                Some("--help" | "-h") => options.help = true,
                Some("--crash-at") => options.crash_at = Some(crash_point(&value()?)?),
                _ => return Err(format!("unknown option {arg:?}: --help lists those that there are")),
            }
        }
        Ok(options)
    }
}

fn crash_point(name: &OsString) -> Result<CrashPoint, String> {
    name.to_string_lossy().parse().map_err(|_| {
        let known: Vec<_> = CrashPoint::ALL.iter().map(|point| point.as_str()).collect();
        format!("{name:?} is no crash point: give one of {}", known.join(", "))
    })
}
