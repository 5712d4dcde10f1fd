//! The page of scenarios: every row has its tests or says why not, and every test that carries an id is on the page.

use std::fs;

use super::{assert_none, files_under, root};

/// How many rows each section has.
const SECTIONS: [(u32, u32); 12] = [
    (1, 17),
    (2, 10),
    (3, 14),
    (4, 20),
    (5, 10),
    (6, 6),
    (7, 14),
    (8, 5),
    (9, 12),
    (10, 9),
    (11, 15),
    (12, 6),
];

/// A row of the page.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    id: &'a str,
    shown_by: &'a str,
}

/// The rows of the page's tables.
fn rows(page: &str) -> Vec<Row<'_>> {
    let cells = page.lines().filter(|line| line.starts_with("| D")).map(|line| {
        let mut cells = line.trim_matches('|').split(" | ");
        (cells.next().unwrap_or_default().trim(), cells.last().unwrap_or_default().trim())
    });
    cells.map(|(id, shown_by)| Row { id, shown_by }).collect()
}

/// The tests that a row names, as (file, function).
fn named<'a>(row: &Row<'a>) -> Vec<(&'a str, &'a str)> {
    row.shown_by.split('`').skip(1).step_by(2).filter_map(|text| text.split_once(": ")).collect()
}

/// What is wrong with a row. `has` says whether a file has a test of that name.
fn faults(row: &Row<'_>, has: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let tests = named(row);
    let reason = ["later: ", "cannot arise: "].iter().find_map(|word| row.shown_by.strip_prefix(word));
    if tests.is_empty() && reason.is_none_or(|reason| reason.len() < 10) {
        return vec![format!("{}: names neither a test nor a reason", row.id)];
    }
    let missing = tests.iter().filter(|(file, function)| !has(file, function));
    missing.map(|(file, function)| format!("{}: {file} has no test {function}", row.id)).collect()
}

/// The id that the name of a test begins with: `d7_4_a_daily_job` is about D7.4.
fn id_in(function: &str) -> Option<String> {
    let mut words = function.strip_prefix('d')?.split('_');
    let is_number = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
    let (section, row) = (words.next().filter(is_number)?, words.next().filter(is_number)?);
    Some(format!("D{section}.{row}"))
}

/// The functions of a file that take nothing, tests among them.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ")
        .skip(1)
        .filter_map(|rest| rest.split_once("()"))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/scenarios.md")).unwrap()
}

#[test]
fn every_scenario_has_its_tests_or_a_reason() {
    let page = page();
    let rows = rows(&page);
    let has = |file: &str, function: &str| {
        fs::read_to_string(root().join(file)).is_ok_and(|text| functions(&text).any(|name| name == function))
    };
    let broken: Vec<String> = rows.iter().flat_map(|row| faults(row, has)).collect();
    assert_none(&broken, "name a test as `tests/file.rs: the_test`, or say \"later: \" and why");

    let all: Vec<String> = SECTIONS
        .iter()
        .flat_map(|(section, rows)| (1..=*rows).map(move |row| format!("D{section}.{row}")))
        .collect();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), all);
}

#[test]
fn every_test_that_carries_an_id_is_on_the_page() {
    let page = page();
    let rows = rows(&page);
    let files = files_under(&root().join("tests"));
    let files = files.iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let mut broken = Vec::new();
    let mut found = 0;
    for path in files {
        let below = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(path).unwrap();
        for (function, id) in functions(&text).filter_map(|function| Some((function, id_in(function)?))) {
            found += 1;
            let row = rows.iter().find(|row| row.id == id);
            if !row.is_some_and(|row| named(row).contains(&(below.as_str(), function))) {
                broken.push(format!("{id}: `{below}: {function}`"));
            }
        }
    }
    assert!(found > 60, "only {found} tests with an id were found");
    assert_none(&broken, "these tests are not in docs/scenarios.md");
}

#[test]
fn a_row_without_a_test_and_a_test_that_is_gone_are_found() {
    let page = "| id | x | y |\n|---|---|---|\n| D1.1 | a `b` | `tests/a.rs: holds`<br>`tests/a.rs: gone` |\n| D1.2 | c | later: |\n| D1.3 | c | later: it is not built yet |\n| D1.4 | c | |";
    let rows = rows(page);
    assert_eq!(named(&rows[0]), [("tests/a.rs", "holds"), ("tests/a.rs", "gone")]);
    let faults: Vec<String> =
        rows.iter().flat_map(|row| faults(row, |_, function| function == "holds")).collect();
    let none = |id: &str| format!("{id}: names neither a test nor a reason");
    assert_eq!(faults, ["D1.1: tests/a.rs has no test gone".to_owned(), none("D1.2"), none("D1.4")]);
}

#[test]
fn an_id_is_read_from_the_name_of_a_test() {
    assert_eq!(id_in("d7_10_the_tenth_failure").as_deref(), Some("D7.10"));
    assert_eq!(id_in("drains_7_10"), None);
    assert_eq!(id_in("d7_not_a_row"), None);
    assert_eq!(functions("async fn a() {}\nfn b(x: u8) {}\nfn c() {}").collect::<Vec<_>>(), ["a", "c"]);
}
