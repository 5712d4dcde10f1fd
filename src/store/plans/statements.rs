//! Every statement of the store, read from its source files, so that a new one cannot be forgotten.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A constant that holds SQL.
#[derive(Debug)]
pub(in crate::store) struct Statement {
    /// `file.rs: NAME`, the file below `src/store`.
    pub(in crate::store) name: String,
    /// The text, as it is sent.
    pub(in crate::store) sql: String,
}

/// What the sources of the store hold.
#[derive(Debug, Default)]
pub(in crate::store) struct Found {
    pub(in crate::store) statements: Vec<Statement>,
    /// `file.rs: the text's beginning` of SQL that stands in no constant.
    pub(in crate::store) loose: Vec<String>,
}

/// Reads the sources of the store.
pub(in crate::store) fn all() -> Found {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let sources: Vec<(String, String)> = files_under(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(&path).unwrap())
        })
        .filter(|(name, _)| name.ends_with(".rs") && !is_test_file(name))
        .map(|(name, text)| (name, in_use(&text).to_owned()))
        .collect();
    let mut macros = HashMap::new();
    for (name, text) in sources.iter().flat_map(|(_, text)| macros_of(text)) {
        assert_eq!(macros.insert(name.clone(), text), None, "two macros are called {name}");
    }
    let mut found = Found::default();
    for (file, text) in &sources {
        found_in(file, text, &macros, &mut found);
    }
    found
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("tests.rs")
        || name.starts_with("plans/")
        || ["sabotage.rs", "views.rs", "year.rs"].contains(&name)
}

/// The text before its tests, which stand last in a file.
fn in_use(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// The macros that stand for a list of columns: their names and texts.
fn macros_of(text: &str) -> Vec<(String, String)> {
    let definitions = text.split("macro_rules! ").skip(1);
    definitions
        .filter_map(|rest| {
            let name = rest.split(|c: char| !is_of_a_name(c)).next()?;
            let body = rest.split_once("() => {")?.1;
            Some((name.to_owned(), literal(body.trim_start())?.0))
        })
        .collect()
}

fn found_in(file: &str, text: &str, macros: &HashMap<String, String>, found: &mut Found) {
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/', 'c']) {
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some((name, expression)) = constant(rest) {
            let (sql, after) = value(expression, macros);
            if is_sql(&sql) {
                found.statements.push(Statement { name: format!("{file}: {name}"), sql });
            }
            rest = after;
        } else if let Some((text, after)) = literal(rest) {
            if is_sql(&text) {
                let start: String = text.trim_start().chars().take(40).collect();
                found.loose.push(format!("{file}: {start}"));
            }
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
}

/// If the text begins with `const NAME: &str = `: the name, and what comes after.
fn constant(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.strip_prefix("const ")?.split_once(": &str =")?;
    name.chars().all(is_of_a_name).then_some((name, rest))
}

/// The value of a constant: a literal, or a `concat!` of literals and macros.
fn value<'t>(expression: &'t str, macros: &HashMap<String, String>) -> (String, &'t str) {
    let mut value = String::new();
    let mut rest = expression.trim_start();
    rest = rest.strip_prefix("concat!(").unwrap_or(rest);
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == ')');
        if let Some(after) = rest.strip_prefix(';') {
            return (value, after);
        }
        let (part, after) = part(rest, macros);
        value.push_str(&part);
        rest = after;
    }
}

/// A literal, a macro without arguments, or one of them so many times.
fn part<'t>(text: &'t str, macros: &HashMap<String, String>) -> (String, &'t str) {
    if let Some((text, after)) = literal(text) {
        return (text, after);
    }
    if let Some(arguments) = text.strip_prefix("times!(") {
        let (times, rest) = arguments.split_once(", ").expect("how many times");
        let (between, rest) = literal(rest).expect("what stands between");
        let (repeated, after) = part(rest.trim_start_matches([',', ' ']), macros);
        return (vec![repeated; times.parse().unwrap()].join(&between), after);
    }
    let (name, after) = text.split_once("!()").expect("a literal, or a macro without arguments");
    (macros.get(name).unwrap_or_else(|| panic!("no macro {name}")).clone(), after)
}

/// If the text begins with a string literal: what it stands for, and the text after it.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.chars();
    let mut value = String::new();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                '\n' => chars = chars.as_str().trim_start().chars(),
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

/// Whether SQLite would plan it: pragmas and transaction control have no plan.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start();
    ["SELECT ", "SELECT\n", "INSERT ", "UPDATE ", "DELETE ", "WITH "]
        .iter()
        .any(|verb| text.starts_with(verb))
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn statements_are_read_as_they_are_sent() {
    let text = r#"
// const NO: &str = "SELECT 0";
macro_rules! columns { () => { "a, \
    b" }; }
const ONE: &str = "
SELECT a";
pub(super) const TWO: &str = concat!("SELECT ", columns!(), " FROM \"c\"");
const THREE: &str = concat!("INSERT INTO e VALUES ", times!(4, ", ", columns!()));
const WORD: &str = "word";
fn f() { g("DELETE FROM d"); h("SAVEPOINT e"); }
"#;
    let mut found = Found::default();
    found_in("x.rs", text, &macros_of(text).into_iter().collect(), &mut found);
    let read: Vec<_> = found.statements.iter().map(|it| (it.name.as_str(), it.sql.as_str())).collect();
    let three = "INSERT INTO e VALUES a, b, a, b, a, b, a, b";
    let two = "SELECT a, b FROM \"c\"";
    assert_eq!(read, [("x.rs: ONE", "\nSELECT a"), ("x.rs: TWO", two), ("x.rs: THREE", three)]);
    assert_eq!(found.loose, ["x.rs: DELETE FROM d"]);
}
