//! What opening a file does to it, and what is refused.

use mainspring::OpenOptions;

#[test]
fn a_second_start_applies_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db"));
    let first = options.migrate().unwrap();
    assert!(!first.applied.is_empty());
    let second = options.migrate().unwrap();
    assert!(second.applied.is_empty());
    assert_eq!((second.version, second.database_uuid), (first.version, first.database_uuid));
}
