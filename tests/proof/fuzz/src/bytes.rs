//! Files of which some bytes are not what was written: by a disk, by a copy that was cut, by a person with an editor.

use std::fs;

use mainspring::{ListFilter, NewJob};

use crate::dice::Dice;
use crate::errors::{answer, judge};
use crate::hostile::say;
use crate::rows::work::Work;
use crate::{Verdict, file, rows};

pub(crate) fn case(_: u64, dice: &mut Dice) -> Verdict {
    let copy = file::Copy::of(&damaged(dice));
    // What cannot be read is not made anew: what opening answers is the answer, and the file stays.
    let length = fs::metadata(&copy.path).map_err(|error| error.to_string())?.len();
    let queue = match file::open(&copy.path, &file::clock()) {
        Ok(queue) => queue,
        Err(error) => {
            judge("opening", &error)?;
            let now = fs::metadata(&copy.path).map_err(|error| error.to_string())?.len();
            return if now == length { Ok(()) } else { Err(format!("{length} bytes became {now}: {error}")) };
        }
    };
    let queue = queue.blocking();
    answer("status", queue.status())?;
    answer("health", queue.health())?;
    if let Some(jobs) = answer("list", queue.list(ListFilter::default()))? {
        for error in &jobs.unreadable {
            judge("a job of the list", error)?;
        }
        for job in jobs.jobs.iter().take(3) {
            answer("runs", queue.runs(job.id, 10))?;
            answer("pause", queue.pause(job.id, None))?;
        }
    }
    answer("enqueue", queue.enqueue(NewJob::new(Work::new("x")).unique("key")))?;
    answer("doctor", queue.doctor())?;
    Ok(())
}

fn damaged(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = rows::template::USED.clone();
    match dice.below(6) {
        0 => bytes.truncate(dice.below(bytes.len())),
        1 => {
            // A page that belongs elsewhere.
            let pages = bytes.len() / PAGE;
            let (from, to) = (dice.below(pages) * PAGE, dice.below(pages) * PAGE);
            bytes.copy_within(from..from + PAGE, to);
            say(|| format!("the page at {from} stands at {to}"));
        }
        2 => {
            let at = dice.below(bytes.len() / PAGE) * PAGE;
            bytes[at..at + PAGE].fill(*dice.pick(&[0, 0xff]));
            say(|| format!("the page at {at} is blank"));
        }
        _ => {
            for _ in 0..=dice.below(20) {
                // The head of a page says where everything is: there most can go wrong.
                let page = dice.below(bytes.len() / PAGE) * PAGE;
                let at = page + if dice.once_in(2) { dice.below(16) } else { dice.below(PAGE) };
                bytes[at] ^= 1 << dice.below(8);
                say(|| format!("the byte at {at} is {}", bytes[at]));
            }
        }
    }
    bytes
}

const PAGE: usize = 4_096;
