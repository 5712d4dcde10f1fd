//! How SQLite allocates in this process.

use rusqlite::ffi;

/// Lets SQLite count no memory. Otherwise each of its allocations takes one lock of the whole process, and a tier that
/// opens thousands of connections on many threads waits for little else. To be called before SQLite is used at all.
///
/// # Errors
/// A sentence, if SQLite is in use already.
pub fn without_memory_statistics() -> Result<(), String> {
    // SAFETY: the option takes one number, and SQLite refuses it once it is initialized. The caller has no other
    // thread that initializes it at this moment: it is the first to use it.
    match unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(format!("SQLite keeps counting its memory: {}", ffi::code_to_str(code))),
    }
}
