//! The methods of an open file. Each asks the state what becomes of it, then does it by the system's methods.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods};

use crate::fault::Act;
use crate::op::{FileKind, FileName, Op};
use crate::record::Event;
use crate::state::State;

/// What stands before the file of the system's VFS, in the memory that SQLite gives for a file.
#[repr(C)]
struct Header {
    base: sqlite3_file,
    opened: *mut Opened,
}

/// The length of that. SQLite's memory is aligned to 8 bytes, and so is the system's file behind it.
pub(crate) const HEADER: usize = size_of::<Header>().next_multiple_of(8);

/// What this VFS knows of an open file.
pub(crate) struct Opened {
    pub(crate) state: Arc<State>,
    pub(crate) name: Arc<FileName>,
}

/// The file of the system's VFS.
///
/// # Safety
/// `file` has room for the header and that file.
pub(crate) unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: by the contract this stays within the memory.
    unsafe { file.cast::<u8>().add(HEADER) }.cast()
}

/// Makes `file` one of ours.
///
/// # Safety
/// `file` has room for the header, and the file of the system's VFS behind it is open.
pub(crate) unsafe fn begin(file: *mut sqlite3_file, opened: Opened) {
    let opened = Box::into_raw(Box::new(opened));
    // SAFETY: by the contract. `METHODS` is a constant.
    unsafe { file.cast::<Header>().write(Header { base: sqlite3_file { pMethods: &METHODS }, opened }) };
}

/// Closes a file of the system's VFS that could not be opened but has methods, as SQLite would.
///
/// # Safety
/// Opening `real` has failed, and its methods are null or fit it.
pub(crate) unsafe fn close_refused(real: *mut sqlite3_file) {
    // SAFETY: by the contract.
    let close = unsafe { (*real).pMethods.as_ref() }.and_then(|methods| methods.xClose);
    if let Some(close) = close {
        // SAFETY: by the contract it is the method of this file, which nobody else closes.
        unsafe { close(real) };
    }
}

/// The process ends here, without a word to anybody.
pub(crate) fn kill() -> ! {
    // The signal is delivered before the call returns; an error of it leaves nothing but to abort.
    let _sent = send(Pid::this(), Signal::SIGKILL);
    std::process::abort()
}

/// Does what was decided for an operation without halves, and records it if it was done.
pub(crate) fn perform(
    state: &State,
    act: Act,
    event: impl FnOnce() -> Event,
    operation: impl FnOnce() -> c_int,
) -> c_int {
    perform_unlogged(act, || {
        // Held while it is done: the log has the order in which things really happened.
        let mut log = state.log();
        if log.is_none() {
            drop(log);
            return operation();
        }
        let code = operation();
        if let (Some(log), ffi::SQLITE_OK) = (&mut *log, code) {
            log.push(event());
        }
        code
    })
}

/// Does what was decided for an operation without halves.
pub(crate) fn perform_unlogged(act: Act, operation: impl FnOnce() -> c_int) -> c_int {
    match act {
        Act::Pass => operation(),
        // Only a write has halves; no other operation is ever given one.
        Act::Refuse(code) | Act::Half(code) => code,
        Act::DoneBut(code) => match operation() {
            ffi::SQLITE_OK => code,
            other => other,
        },
        Act::Pretend => ffi::SQLITE_OK,
        Act::KillBefore | Act::KillTorn => kill(),
        Act::KillAfter => {
            operation();
            kill()
        }
    }
}

/// # Safety
/// `file` is one that [`begin`] made and that is not closed.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a Opened {
    // SAFETY: by the contract the header is there, and its box lives until the file is closed.
    unsafe { &*(*file.cast::<Header>()).opened }
}

/// Calls a method of the system's file; `$missing` is the answer if it has none.
macro_rules! pass {
    ($file:expr, $method:ident($($arg:expr),*), $missing:expr) => {{
        // SAFETY: a file that SQLite calls a method of is open, and so is the system's one behind it.
        let real = unsafe { real($file) };
        // SAFETY: an open file has methods, which do not change while it is open.
        let method = unsafe { (*(*real).pMethods).$method };
        match method {
            // SAFETY: the arguments are those that SQLite gave for this very method.
            Some(method) => unsafe { method(real, $($arg),*) },
            None => $missing,
        }
    }};
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let code = pass!(file, xClose(), ffi::SQLITE_OK);
    let header = file.cast::<Header>();
    // SAFETY: SQLite closes an open file once; `begin` made the box.
    let opened = unsafe { Box::from_raw((*header).opened) };
    drop(opened);
    code
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    out: *mut c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let act = opened.state.meet(Op::Read, opened.name.kind);
    perform_unlogged(act, || pass!(file, xRead(out, length, offset), ffi::SQLITE_IOERR_READ))
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let write = |length: c_int| {
        let event = || Event::Write {
            file: Arc::clone(&opened.name),
            offset: u64::try_from(offset).unwrap_or_default(),
            // SAFETY: SQLite gives at least `length` readable bytes for the time of the call.
            bytes: unsafe {
                std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(length).unwrap_or_default())
            }
            .into(),
        };
        perform(&opened.state, Act::Pass, event, || {
            pass!(file, xWrite(bytes, length, offset), ffi::SQLITE_IOERR_WRITE)
        })
    };
    let end = u64::try_from(offset.saturating_add(length.into())).unwrap_or_default();
    let size = || {
        let mut size: sqlite3_int64 = 0;
        match pass!(file, xFileSize(&raw mut size), ffi::SQLITE_IOERR_FSTAT) {
            ffi::SQLITE_OK => u64::try_from(size).unwrap_or_default(),
            _ => 0,
        }
    };
    if opened.state.refuses_growth(end, size) {
        return ffi::SQLITE_FULL;
    }
    match opened.state.meet(Op::Write, opened.name.kind) {
        Act::Half(code) => match write(length / 2) {
            ffi::SQLITE_OK => code,
            other => other,
        },
        Act::KillTorn => {
            write(length / 2);
            kill()
        }
        act => perform_unlogged(act, || write(length)),
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let event = || Event::Truncate {
        file: Arc::clone(&opened.name),
        length: u64::try_from(length).unwrap_or_default(),
    };
    let act = opened.state.meet(Op::Truncate, opened.name.kind);
    perform(&opened.state, act, event, || pass!(file, xTruncate(length), ffi::SQLITE_IOERR_TRUNCATE))
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let act = opened.state.meet(Op::Sync, opened.name.kind);
    let event = || Event::Sync { file: Arc::clone(&opened.name) };
    perform(&opened.state, act, event, || {
        if opened.state.only_counts_syncs() {
            return ffi::SQLITE_OK;
        }
        pass!(file, xSync(flags), ffi::SQLITE_IOERR_FSYNC)
    })
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let act = opened.state.meet(Op::Size, opened.name.kind);
    perform_unlogged(act, || pass!(file, xFileSize(out), ffi::SQLITE_IOERR_FSTAT))
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let act = opened.state.meet(Op::Lock, opened.name.kind);
    perform_unlogged(act, || pass!(file, xLock(level), ffi::SQLITE_IOERR_LOCK))
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    pass!(file, xUnlock(level), ffi::SQLITE_OK)
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let act = opened.state.meet(Op::Reserved, opened.name.kind);
    perform_unlogged(act, || pass!(file, xCheckReservedLock(out), ffi::SQLITE_IOERR_CHECKRESERVEDLOCK))
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, op: c_int, arg: *mut c_void) -> c_int {
    pass!(file, xFileControl(op, arg), ffi::SQLITE_NOTFOUND)
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    pass!(file, xSectorSize(), 0)
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    pass!(file, xDeviceCharacteristics(), 0)
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    page_size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    let act = opened.state.meet(Op::ShmMap, FileKind::Shm);
    if act != Act::Pass {
        // What SQLite then takes for the mapping.
        // SAFETY: `out` is a pointer of SQLite's own.
        unsafe { *out = std::ptr::null_mut() };
    }
    perform_unlogged(act, || pass!(file, xShmMap(page, page_size, extend, out), ffi::SQLITE_IOERR_SHMMAP))
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    let locks = || pass!(file, xShmLock(first, count, flags), ffi::SQLITE_IOERR_SHMLOCK);
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        return locks();
    }
    // SAFETY: SQLite calls the methods of an open file.
    let opened = unsafe { opened(file) };
    perform_unlogged(opened.state.meet(Op::ShmLock, FileKind::Shm), locks)
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    pass!(file, xShmBarrier(), ());
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    pass!(file, xShmUnmap(delete), ffi::SQLITE_OK)
}

/// Gives no mapping, so that every read comes through [`read`].
unsafe extern "C" fn fetch(
    _file: *mut sqlite3_file,
    _offset: sqlite3_int64,
    _length: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: `out` is a pointer of SQLite's own.
    unsafe { *out = std::ptr::null_mut() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn unfetch(_file: *mut sqlite3_file, _offset: sqlite3_int64, _page: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}
