//! Migrations, marks, headers, the lock file, and the tests that the architecture page names.

use std::fs;

use super::{Source, assert_none, files_under, root, sources};

/// What makes a migration unfit to be frozen.
fn faults_of_a_migration(name: &str, number: u32, bytes: &[u8]) -> Vec<String> {
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut broken = Vec::new();
    let stem = name.strip_prefix(&format!("V{number}__")).and_then(|rest| rest.strip_suffix(".sql"));
    if !stem.is_some_and(is_word) {
        broken.push(format!("{name:?}: the next migration is called `V{number}__what_it_makes.sql`"));
    }
    if bytes.contains(&b'\r') {
        broken.push(format!("{name:?}: a line ends in CR LF, another checksum than LF has"));
    }
    if std::str::from_utf8(bytes).is_err() || bytes.starts_with(b"\xef\xbb\xbf") {
        broken.push(format!("{name:?}: is not plain UTF-8"));
    }
    if !bytes.ends_with(b"\n") || !bytes.starts_with(b"--") {
        broken.push(format!(
            "{name:?}: begins with a comment that says what it makes and ends with a line end"
        ));
    }
    broken
}

#[test]
fn migrations_are_numbered_named_and_end_their_lines_with_lf() {
    let mut paths = files_under(&root().join("migrations"));
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let number =
        |name: &str| name.trim_start_matches('V').split("__").next().and_then(|n| n.parse::<u32>().ok());
    paths.sort_by_key(|path| number(&name(path)));
    assert!(paths.len() >= 2);
    let broken: Vec<String> = (1..)
        .zip(&paths)
        .flat_map(|(next, path)| faults_of_a_migration(&name(path), next, &fs::read(path).unwrap()))
        .collect();
    assert_none(&broken, "a migration is frozen as it is: its bytes have a checksum");
    let attributes = fs::read_to_string(root().join(".gitattributes")).unwrap();
    assert!(
        attributes.lines().any(|line| line == "*.sql text eol=lf"),
        "git must not change line ends of migrations"
    );
}

#[test]
fn a_migration_that_is_unfit_is_found() {
    let faults = |name: &str, bytes: &[u8]| faults_of_a_migration(name, 3, bytes).len();
    assert_eq!(faults("V3__step_rows.sql", b"-- Steps.\nSELECT 1;\n"), 0);
    assert_eq!(faults("V4__step_rows.sql", b"-- Steps.\n"), 1);
    assert_eq!(faults("V3_step_rows.sql", b"-- Steps.\n"), 1);
    assert_eq!(faults("V3__.sql", b"-- Steps.\n"), 1);
    assert_eq!(faults("V3__Steps.txt", b"-- Steps.\n"), 1);
    assert_eq!(faults("V3__steps.sql", b"-- Steps.\r\n"), 1);
    assert_eq!(faults("V3__steps.sql", b"-- Steps."), 1);
    assert_eq!(faults("V3__steps.sql", b"SELECT 1;\n"), 1);
    assert_eq!(faults("V3__steps.sql", b"-- \xff\n"), 1);
}

/// Marks of unfinished work, written so that this file does not hold them itself.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

fn marks_in(text: &str) -> Vec<(usize, &'static str)> {
    let lines = text.lines().enumerate();
    lines
        .flat_map(|(at, line)| {
            MARKS.iter().filter(|mark| line.contains(**mark)).map(move |mark| (at + 1, *mark))
        })
        .collect()
}

#[test]
fn nothing_is_marked_as_unfinished() {
    let folders = ["src", "tests", "benches", "docs", "migrations", "fuzz", ".ci"];
    let mut paths: Vec<_> = folders.iter().flat_map(|folder| files_under(&root().join(folder))).collect();
    paths.extend(["README.md", "CHANGELOG.md", "SECURITY.md", "Cargo.toml"].map(|name| root().join(name)));
    let mut broken = Vec::new();
    let mut read = 0;
    for path in paths {
        // Data files may hold anything, and need not be text.
        if path.components().any(|part| part.as_os_str() == "data") {
            continue;
        }
        read += 1;
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        broken
            .extend(marks_in(&text).iter().map(|(line, mark)| format!("{}:{line}: {mark}", path.display())));
    }
    assert!(read > 20, "only {read} files were found");
    assert_none(&broken, "finish it, or say it in an issue");
}

#[test]
fn a_mark_is_found_with_its_line() {
    let text = ["fine", concat!("// TO", "DO: later"), concat!("unimplemented", "!()")].join("\n");
    assert_eq!(marks_in(&text).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
    assert!(marks_in("mastodon, todos").is_empty());
}

fn lacks_a_header(source: &Source) -> bool {
    !source.first_line.starts_with("//! ")
}

#[test]
fn every_source_file_begins_with_what_it_is() {
    let sources = sources();
    let broken: Vec<String> = sources
        .iter()
        .filter(|source| lacks_a_header(source))
        .map(|source| format!("src/{}", source.path))
        .collect();
    assert_none(&broken, "the first line of a file is `//! ` and says what it is");
    assert!(lacks_a_header(&Source::read("a.rs", "use b;")));
}

/// Packages of a lock file that come from elsewhere than crates.io.
fn foreign_packages(lock: &str) -> Vec<String> {
    let crates_io = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources = lock.lines().filter(|line| line.starts_with("source = "));
    sources.filter(|line| *line != crates_io).map(str::to_owned).collect()
}

#[test]
fn every_dependency_comes_from_crates_io() {
    let mut locks = files_under(&root().join("benches/peers"));
    locks.retain(|path| path.file_name().is_some_and(|name| name == "Cargo.lock"));
    locks.push(root().join("Cargo.lock"));
    assert!(locks.len() > 4, "only {} lock files were found", locks.len());
    for path in locks {
        let lock = fs::read_to_string(&path).unwrap();
        assert!(lock.contains("name = \"libsqlite3-sys\""), "{}", path.display());
        assert_none(&foreign_packages(&lock), "no git and no other registry");
    }
    assert_eq!(foreign_packages("source = \"git+https://example.org/a\"\n").len(), 1);
}

/// The tests that the page's invariants name, as (file, function); an invariant that names none is an error.
fn tests_named(page: &str) -> Vec<Result<(String, String), String>> {
    let paragraphs = page.split("\n\n").filter(|paragraph| paragraph.contains("**Invariant:**"));
    let named = |paragraph: &str| {
        let quoted = paragraph.split('`').skip(1).step_by(2);
        quoted
            .filter_map(|text| text.split_once(".rs: "))
            .last()
            .map(|(file, test)| (format!("{file}.rs"), test.to_owned()))
    };
    paragraphs.map(|paragraph| named(paragraph).ok_or_else(|| paragraph.to_owned())).collect()
}

#[test]
fn every_invariant_of_the_architecture_names_the_test_that_would_fail() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let named = tests_named(&page);
    assert!(named.len() >= 8, "only {} invariants were found", named.len());
    for test in named {
        let (file, function) = test.expect("`path.rs: the_test`");
        let text = fs::read_to_string(root().join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {function}()")), "{file} has no test {function}");
    }
}

#[test]
fn an_invariant_without_a_test_is_found() {
    let page = "**Invariant:** no `a` (`tests/b.rs: c_holds`).\n\ntext\n\n**Invariant:** no d.";
    let named = tests_named(page);
    assert_eq!(named[0], Ok(("tests/b.rs".to_owned(), "c_holds".to_owned())));
    assert!(named[1].is_err() && named.len() == 2);
}

/// The commands of a page that run tests.
fn test_commands(page: &str) -> Vec<&str> {
    page.lines().filter(|line| line.starts_with("cargo test")).collect()
}

#[test]
fn ci_runs_the_test_command_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    let commands = test_commands(&readme);
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert!(
        ci.lines().any(|line| line.starts_with("step ") && line.ends_with(commands[0])),
        "{}",
        commands[0]
    );
    assert!(test_commands("run `cargo test`").is_empty());
}

/// The targets of a page's relative links.
fn relative_links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = files_under(&root().join("docs"));
    pages.extend(["README.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root().join(name)));
    let mut followed = 0;
    let mut broken = Vec::new();
    for page in pages.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for link in relative_links(&text) {
            followed += 1;
            let path = page.parent().unwrap().join(link.split('#').next().unwrap_or(link));
            if !path.exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(followed > 10, "only {followed} links were found");
    assert_none(&broken, "these links lead nowhere");
    assert_eq!(relative_links("[a](b.md#c), [d](https://example.org)"), ["b.md#c"]);
}

/// Whether a page has a block of Rust.
fn has_rust(page: &str) -> bool {
    page.lines().any(|line| line.trim_start().starts_with("```rust"))
}

#[test]
fn rust_on_a_page_is_compiled_with_the_tests() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut pages = files_under(&root().join("docs"));
    pages.extend(["README.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root().join(name)));
    let pages = pages.iter().filter(|path| path.extension().is_some_and(|end| end == "md"));
    let with_rust: Vec<_> = pages.filter(|path| has_rust(&fs::read_to_string(path).unwrap())).collect();
    assert!(with_rust.len() >= 3, "{with_rust:?}");
    let name = |path: &std::path::Path| path.strip_prefix(root()).unwrap().display().to_string();
    let is_missing = |page: &String| !library.contains(&format!("include_str!(\"../{page}\")"));
    let missing: Vec<String> = with_rust.iter().map(|path| name(path)).filter(is_missing).collect();
    assert_none(&missing, "include the page under `pages` in src/lib.rs");
    assert!(has_rust("a\n```rust,no_run\n") && !has_rust("```sh\n"));
}
