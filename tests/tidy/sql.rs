//! SQL stands in the store, whole.

use super::source::Literal;
use super::{Source, assert_none, root, sources};

/// How SQL begins, in the capitals that it is written in here.
const SQL: &[&str] = &[
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE FROM",
    "CREATE ",
    "DROP ",
    "ALTER ",
    "PRAGMA ",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE ",
    "ATTACH ",
    "VACUUM",
    "WITH RECURSIVE",
    " WHERE ",
    "EXPLAIN ",
];

fn is_sql(text: &str) -> bool {
    let text = text.trim_start();
    SQL.iter().any(|word| if word.starts_with(' ') { text.contains(word) } else { text.starts_with(word) })
}

/// The tables and views of the migrations.
fn tables() -> Vec<String> {
    let migrations = super::files_under(&root().join("migrations"));
    let text: String = migrations.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE TABLE ").or_else(|| line.strip_prefix("CREATE VIEW ")));
    let names: Vec<String> =
        lines.map(|rest| rest.split([' ', '(']).next().unwrap_or_default().to_owned()).collect();
    assert!(names.len() > 15, "{names:?}");
    names
}

fn sql_outside_the_store(source: &Source, tables: &[String]) -> Vec<String> {
    if source.path.starts_with("store/") {
        return Vec::new();
    }
    let speaks_sql = |literal: &&Literal| {
        is_sql(&literal.text) || tables.iter().any(|table| literal.text.contains(table.as_str()))
    };
    let found = source.literals_in_use().filter(speaks_sql);
    found.map(|literal| format!("{}: {:?}", source.place(literal.at), literal.text)).collect()
}

/// SQL in a text that is put together, or a text put together where SQL is expected.
fn sql_put_together(source: &Source) -> Vec<String> {
    let code = source.code_in_use();
    let mut broken = Vec::new();
    for word in ["format!(", "write!(", "writeln!(", "push_str(", "format_args!("] {
        for (at, _) in code.match_indices(word) {
            let literal = source.literals_in_use().find(|literal| literal.at > at);
            if literal.is_some_and(|literal| is_sql(&literal.text) && is_an_argument(code, at, literal.at)) {
                broken.push(format!("{}: SQL in {word}…)", source.place(at)));
            }
        }
    }
    for call in ["execute(", "execute_batch(", "prepare(", "prepare_cached(", "query_row(", "query_one("] {
        for (at, _) in code.match_indices(call) {
            let argument = code[at + call.len()..].trim_start();
            if ["format!", "&format!", "&(", "&["].iter().any(|start| argument.starts_with(start)) {
                broken.push(format!("{}: {call}…) is given a text that is put together", source.place(at)));
            }
        }
    }
    broken
}

/// Whether nothing between the two places ends the call that begins at the first.
fn is_an_argument(code: &str, call: usize, literal: usize) -> bool {
    !code[call..literal].contains(';')
        && code[call..literal].matches('(').count() > code[call..literal].matches(')').count()
}

#[test]
fn sql_is_written_in_the_store_only() {
    let tables = tables();
    let broken: Vec<String> =
        sources().iter().flat_map(|source| sql_outside_the_store(source, &tables)).collect();
    assert_none(&broken, "SQL and the names of tables stand in src/store only");
}

#[test]
fn no_sql_is_put_together_with_format() {
    let broken: Vec<String> = sources().iter().flat_map(sql_put_together).collect();
    assert_none(&broken, "SQL is one literal with bound parameters; a pragma is set with pragma_update");
}

#[test]
fn sql_outside_the_store_is_found() {
    let tables = [String::from("mainspring_jobs")];
    let found = |path: &str, text: &str| sql_outside_the_store(&Source::read(path, text), &tables).len();
    assert_eq!(found("queue.rs", "conn.execute(\"DELETE FROM x\", [])"), 1);
    assert_eq!(found("engine/mod.rs", "let table = \"mainspring_jobs\";"), 1);
    assert_eq!(found("core/mod.rs", "let sql = \"\n    SELECT a\n    FROM b\";"), 1);
    assert_eq!(found("store/claim.rs", "conn.execute(\"DELETE FROM x\", [])"), 0);
    assert_eq!(found("queue.rs", "// SELECT a FROM mainspring_jobs\nlet a = \"Select one\";"), 0);
    assert_eq!(found("queue.rs", "#[cfg(test)]\nmod tests { const A: &str = \"SELECT 1\"; }"), 0);
}

#[test]
fn sql_that_is_put_together_is_found() {
    let found = |text: &str| sql_put_together(&Source::read("store/claim.rs", text)).len();
    assert_eq!(found("let sql = format!(\"SELECT {column} FROM t\");"), 1);
    assert_eq!(found("sql.push_str(\"UPDATE t SET a = 1\");"), 1);
    assert_eq!(found("conn.execute_batch(&format!(\"{verb} TABLE t\"))?;"), 1);
    assert_eq!(found("conn.prepare(&[a, b].concat())?;"), 1);
    assert_eq!(found("let why = format!(\"is {}\", n); conn.execute(\"UPDATE t SET a = ?1\", [why])?;"), 0);
    assert_eq!(found("let why = format!(\"{n} rows\");"), 0);
    assert_eq!(found("conn.prepare_cached(CLAIM)?; conn.execute(\"SELECT 1\", [])?;"), 0);
}
