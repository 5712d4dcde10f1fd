//! Faults that showed something wrong once, each with its story.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use mainspring::{Error, OpenOptions, Queue};
use mainspring_proof_stage::class;
use mainspring_proof_vfs::{Fault, FaultVfs};

/// A first start while the disk failed made a file that was not in WAL mode, and then refused it: "connection setting
/// journal_mode is \"delete\" … let no other program change the journal mode". The pragma answers with a row before its
/// own commit; whoever stops at the row does not hear that the commit failed. It is run to its end now, and the error
/// is the disk's.
#[test]
fn a_first_start_on_a_failing_disk_blames_the_disk() {
    for fault in [
        "write journal 2 unheard once",
        "write journal 2 eio once",
        "sync journal 1 eio once",
        "write db 1 full once",
        "sync db 1 eio once",
        "delete journal 1 eio once",
    ] {
        let vfs = FaultVfs::register_unique("story").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(dir.path().join("app.db")).vfs(vfs.name());
        let armed = vfs.arm(fault.parse::<Fault>().unwrap());
        let found = Queue::open_blocking(&options);
        assert_eq!(vfs.fired_by(armed), 1, "{fault}");
        if let Err(error) = found {
            assert!(class(&error).is_ok(), "{fault}: {error:?}");
            assert!(matches!(error, Error::Sqlite(_) | Error::DiskFull), "{fault}: {error:?}");
        }
        Queue::open_blocking(&options).unwrap_or_else(|error| panic!("{fault}, and then: {error:?}"));
    }
}
