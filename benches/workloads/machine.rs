//! The machine: what it is, and what else it did meanwhile.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::measure::median;

/// The load average of the last minute; ours is in it.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// What all processes and this one have used of the processors, in ticks, and when.
pub(crate) struct Busy {
    all: f64,
    own: f64,
    at: Instant,
}

/// The kernel's ticks a second, as it shows them to processes.
const TICKS: f64 = 100.0;

impl Busy {
    pub(crate) fn now() -> Self {
        let numbers = |text: &str| {
            text.split_whitespace().map(|word| word.parse().unwrap_or(0.0)).collect::<Vec<f64>>()
        };
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // cpu user nice system idle iowait irq softirq steal
        let cpu = numbers(stat.lines().next().unwrap_or_default().trim_start_matches("cpu"));
        let all = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| cpu.get(*index)).sum();
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // After the name: state ppid …; utime and stime are the 12th and 13th, then those of children that have ended.
        let own = numbers(own.rsplit(')').next().unwrap_or_default());
        let own = [11, 12, 13, 14].iter().filter_map(|index| own.get(*index)).sum();
        Self { all, own, at: Instant::now() }
    }

    /// How many processors others kept busy since.
    pub(crate) fn others(&self) -> f64 {
        let now = Self::now();
        let ticks = (now.all - self.all) - (now.own - self.own);
        (ticks / TICKS / self.at.elapsed().as_secs_f64()).max(0.0)
    }
}

/// The machine in a line, and what a sync costs on it.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{model}, {cores} threads, a sync of an appended page {:.0} us, SQLite {}, {}",
        sync_micros(),
        rusqlite::version(),
        chrono::Utc::now().format("%Y-%m-%d"),
    )
}

fn sync_micros() -> f64 {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let page = [7_u8; 4_096];
    file.write_all(&page).unwrap();
    let took: Vec<f64> = (1..200)
        .map(|n| {
            file.write_all_at(&page, n * 4_096).unwrap();
            let begin = Instant::now();
            file.sync_data().unwrap();
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    median(&took)
}
