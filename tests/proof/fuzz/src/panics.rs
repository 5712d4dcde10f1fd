//! Panics, wherever they happen: the library catches those of its own threads, so that their end would not tell.

use std::cell::RefCell;
use std::sync::Mutex;

/// Panics of threads that run no case: the library's own.
static ELSEWHERE: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread runs a case, and what its last panic said.
    static HERE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The name of the threads that run cases.
pub(crate) const CASES: &str = "fuzz-cases";

/// From now on panics are kept instead of printed.
pub(crate) fn record() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        if std::thread::current().name() == Some(CASES) {
            HERE.with(|here| *here.borrow_mut() = Some(text));
        } else {
            ELSEWHERE.lock().unwrap().push(text);
        }
    }));
}

/// What this thread's last panic said.
pub(crate) fn here() -> String {
    HERE.with(|here| here.borrow_mut().take()).unwrap_or_else(|| "a panic without a message".to_owned())
}

/// What other threads have panicked with since this was asked last.
pub(crate) fn elsewhere() -> Vec<String> {
    std::mem::take(&mut *ELSEWHERE.lock().unwrap())
}
