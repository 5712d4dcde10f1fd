//! Imports run down the floors only.

use super::{Source, assert_none, sources};

/// Each module of the crate's root and its floor, as in `docs/ARCHITECTURE.md`.
const FLOORS: &[(&str, u32)] = &[
    ("brief", 0),
    ("words", 0),
    ("error", 0),
    ("time", 0),
    ("crash", 0),
    ("sabotage", 0),
    ("event", 1),
    ("job", 1),
    ("run", 1),
    ("policy", 1),
    ("schedule", 1),
    ("plan", 1),
    ("exchange", 1),
    ("store", 2),
    ("core", 3),
    ("queue", 4),
    ("engine", 5),
    ("testing", 6),
    ("bin", 6),
];

/// The floor that sees the crate as its users do, by the names of the front page.
const OUTSIDE: u32 = 6;

/// Imports that run up and why. One that is no longer there has to go from here too.
const EXEMPT: &[(&str, &str, &str)] = &[
    ("error.rs", "job", "an error names the job by its typed id"),
    ("error.rs", "run", "an error names the run by its typed id"),
    ("error.rs", "schedule", "the schedule has an error of its own, which this one carries"),
];

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The module of the crate's root that a file belongs to; none for the root itself.
fn module_of(path: &str) -> Option<&str> {
    let first = path.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then_some(module)
}

/// The first names of all paths that begin at the crate's root, with their offsets.
fn paths_from_root(code: &str) -> Vec<(usize, String)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let name_at = |at: usize| -> String { code[at..].chars().take_while(|c| is_part(*c)).collect() };
    let mut found = Vec::new();
    for (at, word) in code.match_indices("crate::") {
        if code[..at].ends_with(is_part) {
            continue;
        }
        let next = at + word.len();
        if !code[next..].starts_with('{') {
            found.push((at, name_at(next)));
            continue;
        }
        // `use crate::{a::b, c::{d, e}}`: the names that stand right inside the outer braces.
        let mut depth = 0;
        let mut expects_a_name = true;
        for (offset, c) in code[next..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => expects_a_name = true,
                c if depth == 1 && expects_a_name && is_part(c) => {
                    found.push((next + offset, name_at(next + offset)));
                    expects_a_name = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// What is wrong with the imports of one file, and which exemptions it needed.
fn imports_that_run_up(
    source: &Source,
    exempt: &[(&str, &str, &str)],
) -> (Vec<String>, Vec<(String, String)>) {
    let mut broken = Vec::new();
    let mut used = Vec::new();
    let Some(module) = module_of(&source.path) else { return (broken, used) };
    let Some(own) = floor(module) else {
        return (
            vec![format!("src/{}: the module {module:?} has no floor: give it one here", source.path)],
            used,
        );
    };
    for (at, name) in paths_from_root(&source.code) {
        let place = source.place(at);
        match floor(&name) {
            // A name of the front page: what is outside uses nothing else, and a test may.
            _ if (own == OUTSIDE || source.is_in_tests(at)) && name.starts_with(char::is_uppercase) => {}
            Some(other) if other <= own => {}
            Some(_) if exempt.iter().any(|(file, import, _)| *file == source.path && *import == name) => {
                used.push((source.path.clone(), name));
            }
            Some(other) => {
                broken.push(format!("{place}: floor {own} imports crate::{name}, which is floor {other}"))
            }
            None => broken.push(format!(
                "{place}: crate::{name} is no module with a floor: import from the module itself"
            )),
        }
    }
    // Relative paths would go around the check above.
    if let Some(at) = source.code.find("super::super::") {
        broken.push(format!("{}: write the path from `crate::`", source.place(at)));
    }
    if !source.path.contains('/') {
        for (at, _) in source.code.match_indices("\nuse super::") {
            broken.push(format!("{}: write the path from `crate::`", source.place(at + 1)));
        }
    }
    (broken, used)
}

#[test]
fn imports_run_down_the_floors() {
    let mut broken = Vec::new();
    let mut used = Vec::new();
    for source in sources() {
        let (found, needed) = imports_that_run_up(&source, EXEMPT);
        broken.extend(found);
        used.extend(needed);
    }
    for (file, import, _) in EXEMPT {
        if !used.iter().any(|(path, name)| path == file && name == import) {
            broken.push(format!("src/{file} no longer imports crate::{import}: take its exemption away"));
        }
    }
    assert_none(&broken, "imports run down the floors of docs/ARCHITECTURE.md only");
}

#[test]
fn every_floor_of_the_architecture_page_is_checked() {
    let page = std::fs::read_to_string(super::root().join("docs/ARCHITECTURE.md")).unwrap();
    for (module, floor) in FLOORS.iter().filter(|(module, _)| *module != "bin") {
        let row =
            page.lines().find(|line| line.starts_with(&format!("| {floor} "))).expect("a row for each floor");
        assert!(row.contains(&format!("`{module}`")), "{module} is not in the row of floor {floor}");
    }
}

fn broken_by(path: &str, text: &str) -> Vec<String> {
    imports_that_run_up(&Source::read(path, text), &[("error.rs", "job", "a reason")]).0
}

#[test]
fn an_import_from_above_is_found_however_it_is_written() {
    for text in [
        "use crate::engine::Engine;",
        "use crate::{job::Job, engine::Engine};",
        "use crate::{job::{Job, JobId}, core::{self, Core}};",
        "fn f() -> crate::queue::Queue { todo() }",
        "    fn g() {\n        super::super::queue::open()\n    }",
        "use crate::Engine;",
        "use crate::engineering::Engine;",
    ] {
        assert_eq!(broken_by("store/claim.rs", text).len(), 1, "{text}");
    }
    assert_eq!(broken_by("policy.rs", "use a;\nuse super::store::Store;").len(), 1);
    assert_eq!(broken_by("orchestra.rs", "").len(), 1);
}

#[test]
fn an_import_from_below_or_beside_is_none_of_the_rules_business() {
    for text in [
        "use crate::job::Job;",
        "use crate::{job::Job, store::rows};",
        "// use crate::engine::Engine;",
        "const TEXT: &str = \"crate::engine\";",
        "use mycrate::engine;",
    ] {
        assert_eq!(broken_by("store/claim.rs", text), [""; 0], "{text}");
    }
    assert_eq!(broken_by("testing.rs", "use crate::{Engine, Queue};"), [""; 0]);
    assert_eq!(broken_by("job/new.rs", "#[cfg(test)]\nmod tests { use crate::Limits; }"), [""; 0]);
    assert_eq!(broken_by("job/new.rs", "#[cfg(test)]\nmod tests { use crate::engine; }").len(), 1);
    assert_eq!(broken_by("lib.rs", "pub use crate::engine::Engine;"), [""; 0]);
    assert_eq!(broken_by("error.rs", "use crate::job::JobId;"), [""; 0]);
}
