//! What is tried: each scenario is one life of a queue, with two to four threads besides the writer.

use std::time::Duration;

use shuttle::thread::{self, JoinHandle};

use crate::inbox::Refused;
use crate::machine::{Bench, Callers, Fate};

/// One life of a queue.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "tasks_against_a_sleeping_writer", run: tasks_against_a_sleeping_writer },
    Scenario { name: "a_nudge_against_the_sleep", run: a_nudge_against_the_sleep },
    Scenario { name: "close_against_push", run: close_against_push },
    Scenario { name: "callers_that_help", run: callers_that_help },
    Scenario { name: "a_caller_and_a_task", run: a_caller_and_a_task },
    Scenario { name: "close_against_a_caller_that_helps", run: close_against_a_caller_that_helps },
    Scenario { name: "close_while_nothing_can_be_written", run: close_while_nothing_can_be_written },
    Scenario { name: "a_caller_finds_an_earlier_time", run: a_caller_finds_an_earlier_time },
    Scenario { name: "a_writer_is_replaced", run: a_writer_is_replaced },
    Scenario { name: "a_writer_is_replaced_twice", run: a_writer_is_replaced_twice },
    Scenario { name: "a_sleeping_writer_is_replaced", run: a_sleeping_writer_is_replaced },
    Scenario { name: "a_replaced_writer_stops", run: a_replaced_writer_stops },
    Scenario { name: "a_commit_of_unknown_outcome", run: a_commit_of_unknown_outcome },
    Scenario { name: "close_against_replacement", run: close_against_replacement },
    Scenario { name: "the_last_handle_is_dropped", run: the_last_handle_is_dropped },
];

fn together(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no thread panics");
    }
}

fn spawn(callers: Callers, run: impl FnOnce(&Callers) + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || run(&callers))
}

fn taken(result: Result<(), Refused>) {
    assert_eq!(result, Ok(()), "nothing closes this queue");
}

const FINE: Fate = Fate { failures: 0, unknown: None, due_in: None, is_impatient: false };

fn tasks_against_a_sleeping_writer() {
    let bench = Bench::new();
    let task = |id| {
        spawn(bench.callers(), move |queue| {
            taken(queue.give(id, FINE));
            taken(queue.give(id + 1, FINE));
        })
    };
    let bounded = spawn(bench.callers(), |queue| match queue.give_if_fewer(30, FINE, 1) {
        Ok(()) | Err(Refused::Full(1..)) => {}
        Err(other) => panic!("{other:?}"),
    });
    let tasks = vec![task(10), task(20), bounded];
    bench.end(tasks);
}

fn a_nudge_against_the_sleep() {
    let bench = Bench::new();
    let task = spawn(bench.callers(), |queue| taken(queue.give(1, FINE)));
    for _ in 0..2 {
        bench.callers.make_due();
        bench.wait_until_fired();
    }
    bench.end(vec![task]);
}

fn close_against_push() {
    let bench = Bench::new();
    let task = |id| {
        spawn(bench.callers(), move |queue| {
            for id in [id, id + 1] {
                match queue.give(id, FINE) {
                    Ok(()) | Err(Refused::Closed) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        })
    };
    let tasks = vec![task(10), task(20)];
    bench.callers.close();
    bench.end(tasks);
}

fn callers_that_help() {
    let bench = Bench::new();
    let caller = |id| {
        spawn(bench.callers(), move |queue| {
            taken(queue.give_and_help(id, FINE));
            taken(queue.give_and_help(id + 1, FINE));
        })
    };
    let callers = vec![caller(10), caller(20)];
    bench.end(callers);
}

fn a_caller_and_a_task() {
    let bench = Bench::new();
    let fails_once = Fate { failures: 1, is_impatient: true, ..FINE };
    let caller = spawn(bench.callers(), move |queue| taken(queue.give_and_help(1, fails_once)));
    let task = spawn(bench.callers(), |queue| taken(queue.give(2, FINE)));
    let hasty = spawn(bench.callers(), |queue| taken(queue.give_and_go(3, FINE)));
    bench.end(vec![caller, task, hasty]);
}

fn close_against_a_caller_that_helps() {
    let bench = Bench::new();
    let caller = |id, failures| {
        spawn(bench.callers(), move |queue| match queue.give_and_help(id, Fate { failures, ..FINE }) {
            Ok(()) | Err(Refused::Closed) => {}
            Err(other) => panic!("{other:?}"),
        })
    };
    let callers = vec![caller(1, 1), caller(2, 0)];
    bench.callers.close();
    bench.end(callers);
}

fn close_while_nothing_can_be_written() {
    let bench = Bench::new();
    taken(bench.callers.give_and_go(1, Fate { failures: 2, unknown: Some(false), ..FINE }));
    taken(bench.callers.give_and_go(2, Fate { unknown: Some(true), ..FINE }));
    let closes = spawn(bench.callers(), Callers::close);
    bench.callers.close();
    bench.end(vec![closes]);
}

fn a_caller_finds_an_earlier_time() {
    let bench = Bench::new();
    let soon = Fate { due_in: Some(Duration::from_millis(5)), ..FINE };
    let caller = spawn(bench.callers(), move |queue| taken(queue.give_and_help(1, soon)));
    let other = spawn(bench.callers(), |queue| taken(queue.give_and_help(2, FINE)));
    // Nobody but the clock wakes the writer for it.
    bench.wait_until_fired();
    bench.end(vec![caller, other]);
}

fn a_writer_is_replaced() {
    let bench = Bench::new();
    let file = bench.callers.hold_the_file();
    let tasks = vec![
        spawn(bench.callers(), |queue| taken(queue.give(1, FINE))),
        spawn(bench.callers(), |queue| taken(queue.give_and_help(2, FINE))),
    ];
    bench.callers.replace();
    drop(file);
    bench.end(tasks);
}

fn a_writer_is_replaced_twice() {
    let bench = Bench::new();
    let file = bench.callers.hold_the_file();
    let task = spawn(bench.callers(), |queue| {
        taken(queue.give(1, FINE));
        taken(queue.give(2, FINE));
    });
    bench.callers.replace();
    bench.callers.replace();
    drop(file);
    taken(bench.callers.give(3, FINE));
    together(vec![task]);
    bench.callers.make_due();
    bench.wait_until_fired();
    bench.end(Vec::new());
}

fn a_sleeping_writer_is_replaced() {
    let bench = Bench::new();
    taken(bench.callers.give(1, FINE));
    let other = spawn(bench.callers(), Callers::replace);
    bench.callers.replace();
    taken(bench.callers.give(2, FINE));
    together(vec![other]);
    taken(bench.callers.give(3, FINE));
    // Both have stopped, and neither sleeps in the place of the third.
    while bench.retired() < 2 {
        thread::yield_now();
    }
    bench.end(Vec::new());
}

fn a_replaced_writer_stops() {
    let bench = Bench::new();
    taken(bench.callers.give(1, FINE));
    bench.callers.replace();
    // It may be asleep, and nothing else is going on that would wake it.
    while bench.retired() < 1 {
        thread::yield_now();
    }
    bench.end(Vec::new());
}

fn a_commit_of_unknown_outcome() {
    let bench = Bench::new();
    let unknown = |id, is_in_the_file| {
        let fate = Fate { unknown: Some(is_in_the_file), ..FINE };
        spawn(bench.callers(), move |queue| taken(queue.give(id, fate)))
    };
    let tasks = vec![unknown(1, false), unknown(2, true)];
    bench.callers.replace();
    bench.end(tasks);
}

fn close_against_replacement() {
    let bench = Bench::new();
    taken(bench.callers.give_and_go(1, Fate { failures: 1, ..FINE }));
    let replaces = spawn(bench.callers(), Callers::replace);
    let caller = spawn(bench.callers(), |queue| match queue.give_and_help(2, FINE) {
        Ok(()) | Err(Refused::Closed) => {}
        Err(other) => panic!("{other:?}"),
    });
    bench.callers.close();
    together(vec![replaces, caller]);
}

fn the_last_handle_is_dropped() {
    let bench = Bench::new();
    let threads = vec![
        spawn(bench.callers(), |queue| taken(queue.give_and_go(1, Fate { failures: 1, ..FINE }))),
        spawn(bench.callers(), |queue| taken(queue.give_and_help(2, FINE))),
    ];
    // The threads go on; whoever is last closes the queue.
    bench.end(threads);
}
