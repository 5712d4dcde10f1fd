//! The tests that the pages on reliability and security name, in tables and in sentences.

use std::fs;

use super::{assert_none, files_under, root};

const PAGES: &[&str] = &["docs/reliability.md", "SECURITY.md"];

/// The tests that a page names as `path.rs: the_test`, one or several after one path.
fn named(page: &str) -> Vec<(&str, &str)> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.split_once(": ")).filter(|(file, _)| file.ends_with(".rs")).collect()
}

/// The names of a file's tests.
fn tests(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            found.extend(rest.split('(').next());
        }
    }
    found
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut broken = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let named = named(&text);
        assert!(named.len() > 8, "{page} names only {} tests", named.len());
        for (file, function) in named {
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {function}(")) {
                broken.push(format!("{page}: {file} has no test {function}"));
            }
        }
    }
    assert_none(&broken, "name the test as it is called now");
}

#[test]
fn every_adverse_state_that_has_a_test_is_in_the_table() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let named = named(&page);
    let mut broken = Vec::new();
    let mut found = 0;
    for path in files_under(&root().join("tests")) {
        let below = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        if !below.starts_with("tests/adverse_") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for test in tests(&text) {
            found += 1;
            if !named.contains(&(below.as_str(), test)) {
                broken.push(format!("`{below}: {test}`"));
            }
        }
    }
    assert!(found > 8, "only {found} tests were found");
    assert_none(&broken, "these tests are not in docs/reliability.md");
}

#[test]
fn names_on_a_page_and_tests_in_a_file_are_found() {
    assert_eq!(
        named("| a | `tests/a.rs: holds`<br>`src/b.rs: too` | `not: this` |"),
        [("tests/a.rs", "holds"), ("src/b.rs", "too")]
    );
    let text = "#[test]\nfn a() {}\nfn b() {}\n#[tokio::test]\nasync fn c() {}\n#[test]\n#[ignore = \"x\"]\nfn d() {}";
    assert_eq!(tests(text), ["a", "c"]);
}
