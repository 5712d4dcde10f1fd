//! What reviewers would otherwise have to look for: that imports run down the floors, that SQL and clocks stay
//! where they belong, that migrations are fit to be frozen. `docs/ARCHITECTURE.md` says why.
//!
//! Each rule is a function that returns what breaks it, and is tried on a text that does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy knows test functions, not what they call"
)]

mod clocks;
mod files;
mod floors;
mod named_tests;
mod scenarios;
mod source;
mod sql;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `folder`, in order; none if there is no such folder.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

/// The library's own source files, each with its path below `src`.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let paths = files_under(&src).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let sources: Vec<Source> = paths
        .map(|path| {
            let below = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
            Source::read(&below, &fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(sources.len() > 10, "the sources were not found");
    sources
}

/// Fails with all that was found, a line each.
fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}\n{}", broken.join("\n"));
}
