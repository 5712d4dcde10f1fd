//! The methods of the VFS: opening, deleting, asking; the rest goes straight to the system's VFS.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_vfs};

use crate::fault::Act;
use crate::io_methods::{self, Opened};
use crate::op::{FileKind, FileName, Op};
use crate::record::Event;
use crate::state::State;

/// A VFS that SQLite knows.
#[derive(Debug)]
pub(crate) struct Registration {
    vfs: *mut sqlite3_vfs,
    name: String,
}

// SAFETY: `vfs` is only handed to `sqlite3_vfs_unregister`, which takes SQLite's own mutex.
unsafe impl Send for Registration {}
// SAFETY: nothing behind a shared reference touches `vfs`.
unsafe impl Sync for Registration {}

/// What `pAppData` points to. It is never freed: a connection keeps its VFS after the name is gone.
struct Data {
    /// What the calls pass through to.
    base: *mut sqlite3_vfs,
    state: Arc<State>,
    /// What `zName` points to.
    name: CString,
}

impl Registration {
    pub(crate) fn new(name: &str, state: Arc<State>) -> Result<Self, String> {
        let c_name = CString::new(name).map_err(|error| format!("the name {name:?}: {error}"))?;
        // SAFETY: it initializes SQLite, reads a NUL-terminated string and returns a pointer or null.
        let found = unsafe { ffi::sqlite3_vfs_find(c_name.as_ptr()) };
        if !found.is_null() {
            return Err(format!("a VFS named {name:?} is registered already"));
        }
        // SAFETY: null asks for the default one.
        let base = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        if base.is_null() {
            return Err("SQLite has no VFS of the system to pass through to".to_owned());
        }
        let data: &'static Data = Box::leak(Box::new(Data { base, state, name: c_name }));
        // SAFETY: SQLite's default VFS lives as long as the process and its sizes do not change.
        let (file_size, longest_path) = unsafe { ((*base).szOsFile, (*base).mxPathname) };
        let vfs = Box::into_raw(Box::new(sqlite3_vfs {
            iVersion: 2,
            szOsFile: io_methods::HEADER as c_int + file_size,
            mxPathname: longest_path,
            pNext: std::ptr::null_mut(),
            zName: data.name.as_ptr(),
            pAppData: std::ptr::from_ref(data).cast_mut().cast::<c_void>(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            // Extensions are not loaded through it.
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_64),
            // Of version 3 only.
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: `vfs` is complete and is never freed; 0 leaves the default as it is.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        if code != ffi::SQLITE_OK {
            return Err(format!("SQLite refused the VFS {name:?} with code {code}"));
        }
        Ok(Self { vfs, name: name.to_owned() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: it was registered and is taken off the list only here; the memory stays.
        unsafe { ffi::sqlite3_vfs_unregister(self.vfs) };
    }
}

/// # Safety
/// `vfs` is one that [`Registration::new`] made.
unsafe fn data(vfs: *mut sqlite3_vfs) -> &'static Data {
    // SAFETY: by the contract `pAppData` points to a `Data`, which is never freed nor changed.
    unsafe { &*(*vfs).pAppData.cast::<Data>() }
}

/// Calls a method of the system's VFS; `$missing` is the answer if it has none.
macro_rules! pass {
    ($data:expr, $method:ident($($arg:expr),*), $missing:expr) => {{
        let base = $data.base;
        // SAFETY: the system's VFS lives as long as the process, and its methods do not change.
        let method = unsafe { (*base).$method };
        match method {
            // SAFETY: the arguments are those that SQLite gave for this very method.
            Some(method) => unsafe { method(base, $($arg),*) },
            None => $missing,
        }
    }};
}

/// The file that a name names; null is a temporary one.
///
/// # Safety
/// `name` is null or NUL-terminated.
unsafe fn file_name(name: *const c_char, flags: c_int) -> FileName {
    if name.is_null() {
        return FileName { path: PathBuf::new(), kind: FileKind::Temp };
    }
    // SAFETY: by the contract.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    let path = PathBuf::from(String::from_utf8_lossy(bytes).into_owned());
    let kind = if flags & ffi::SQLITE_OPEN_WAL != 0 {
        FileKind::Wal
    } else if flags & (ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL) != 0 {
        FileKind::Journal
    } else if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
        FileKind::Database
    } else if flags != 0 {
        FileKind::Temp
    } else {
        FileKind::of(&path)
    };
    FileName { path, kind }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    // SAFETY: SQLite gives null or a NUL-terminated name.
    let file_name = Arc::new(unsafe { file_name(name, flags) });
    // SAFETY: SQLite gives `szOsFile` writable bytes; no methods means that there is nothing to close.
    unsafe { (*file).pMethods = std::ptr::null() };
    let act = data.state.meet(Op::Open, file_name.kind);
    if let Act::Refuse(code) = act {
        return code;
    }
    if act == Act::KillBefore {
        io_methods::kill();
    }
    let mut log = Some(data.state.log()).filter(|log| log.is_some());
    let existed = log.is_some() && file_name.path.exists();
    // SAFETY: the bytes after the header are `szOsFile` of the system's VFS.
    let real = unsafe { io_methods::real(file) };
    // SAFETY: as above; a file that cannot be opened may be left without methods.
    unsafe { (*real).pMethods = std::ptr::null() };
    let code = pass!(data, xOpen(name, real, flags, out_flags), ffi::SQLITE_CANTOPEN);
    if act == Act::KillAfter {
        io_methods::kill();
    }
    if code != ffi::SQLITE_OK {
        // SAFETY: the system's VFS has set the methods of a file that is to be closed, and none otherwise.
        unsafe { io_methods::close_refused(real) };
        return code;
    }
    if let Some(log) = log.as_mut().and_then(|log| log.as_mut()) {
        log.push(Event::Open { file: Arc::clone(&file_name), created: !existed });
    }
    let opened = Opened { state: Arc::clone(&data.state), name: file_name };
    // SAFETY: `file` has room for the header, and `real` was opened just now.
    unsafe { io_methods::begin(file, opened) };
    code
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    // SAFETY: SQLite gives a NUL-terminated name.
    let file = Arc::new(unsafe { file_name(name, 0) });
    let event = || Event::Delete { file: Arc::clone(&file), synced: sync_dir != 0 };
    let act = data.state.meet(Op::Delete, file.kind);
    io_methods::perform(&data.state, act, event, || {
        pass!(data, xDelete(name, sync_dir), ffi::SQLITE_IOERR_DELETE)
    })
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    // SAFETY: SQLite gives a NUL-terminated name.
    let file = unsafe { file_name(name, 0) };
    let act = data.state.meet(Op::Access, file.kind);
    io_methods::perform_unlogged(act, || pass!(data, xAccess(name, flags, out), ffi::SQLITE_IOERR_ACCESS))
}

unsafe extern "C" fn full_pathname(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    pass!(data, xFullPathname(name, length, out), ffi::SQLITE_CANTOPEN)
}

unsafe extern "C" fn randomness(vfs: *mut sqlite3_vfs, length: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    pass!(data, xRandomness(length, out), 0)
}

unsafe extern "C" fn sleep(vfs: *mut sqlite3_vfs, us: c_int) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    let longest = c_int::try_from(data.state.longest_sleep_us()).unwrap_or(c_int::MAX);
    pass!(data, xSleep(us.min(longest)), 0)
}

unsafe extern "C" fn current_time(vfs: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    pass!(data, xCurrentTime(out), ffi::SQLITE_ERROR)
}

unsafe extern "C" fn last_error(vfs: *mut sqlite3_vfs, length: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    pass!(data, xGetLastError(length, out), 0)
}

unsafe extern "C" fn current_time_64(vfs: *mut sqlite3_vfs, out: *mut sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls the methods of a VFS with that VFS.
    let data = unsafe { data(vfs) };
    pass!(data, xCurrentTimeInt64(out), ffi::SQLITE_ERROR)
}
