//! Hostile values in the columns of the tables, each in its turn.

use std::sync::OnceLock;

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::Verdict;
use crate::dice::Dice;
use crate::file::Copy;
use crate::hostile::{self, say};

/// A column of a table.
#[derive(Clone, Debug)]
struct Column {
    table: String,
    name: String,
    is_text: bool,
}

/// The tables of the queue. Their history is a target of its own.
pub(crate) fn tables(conn: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema
               WHERE type = 'table' AND name LIKE 'mainspring%' AND name <> 'mainspring_schema_history'
               ORDER BY name";
    let mut statement = conn.prepare(sql).expect("the schema can be read");
    let names = statement.query_map([], |row| row.get(0)).expect("the schema can be read");
    names.map(|name| name.expect("a name is text")).collect()
}

/// Every column of every table, but for those that say which file this is.
fn columns(conn: &Connection) -> &'static [Column] {
    static COLUMNS: OnceLock<Vec<Column>> = OnceLock::new();
    COLUMNS.get_or_init(|| {
        let mut columns = Vec::new();
        for table in tables(conn).into_iter().filter(|table| table != "mainspring_meta") {
            let sql = "SELECT name, type FROM pragma_table_info(?1) ORDER BY cid";
            let mut statement = conn.prepare(sql).expect("a table has columns");
            let mut rows = statement.query([&table]).expect("a table has columns");
            while let Some(row) = rows.next().expect("a table has columns") {
                let (name, kind): (String, String) =
                    (row.get(0).expect("a name"), row.get(1).expect("a type"));
                columns.push(Column { table: table.clone(), name, is_text: kind == "TEXT" });
            }
        }
        columns
    })
}

/// Puts hostile values into a few places; the number says which column must be among them.
pub(super) fn edit(copy: &Copy, checked: bool, number: u64, dice: &mut Dice) -> Verdict {
    let conn = if checked { copy.checked() } else { copy.unchecked() };
    let columns = columns(&conn);
    let first = &columns[(number % columns.len() as u64) as usize];
    put(&conn, first, dice);
    for _ in 0..dice.below(4) {
        // The jobs have the most to say about what happens.
        let jobs: Vec<&Column> = columns.iter().filter(|column| column.table == "mainspring_jobs").collect();
        let column = if dice.once_in(2) { *dice.pick(&jobs) } else { dice.pick(columns) };
        put(&conn, column, dice);
    }
    conn.close().map_err(|(_, error)| error.to_string())
}

/// The statements are ours: nothing but the names of tables and columns is put into them.
fn put(conn: &Connection, column: &Column, dice: &mut Dice) {
    let Column { table, name, .. } = column;
    let value = value(conn, column, dice);
    // Bytes that are no text stand in a column of texts all the same.
    let new = if matches!(value, Value::Blob(_)) { "CAST(?1 AS TEXT)" } else { "?1" };
    // One row, or, now and then, all of them.
    let changed = if dice.once_in(5) {
        say(|| format!("{table}.{name} of every row: {}", shown(&value)));
        conn.execute(&format!("UPDATE OR IGNORE {table} SET {name} = {new}"), [&value])
    } else {
        let key = key(table);
        let keys = keys(conn, table, key);
        let Some(row) = (!keys.is_empty()).then(|| dice.pick(&keys)) else { return };
        say(|| format!("{table}.{name} of row {row:?}: {}", shown(&value)));
        conn.execute(&format!("UPDATE OR IGNORE {table} SET {name} = {new} WHERE {key} = ?2"), [&value, row])
    };
    if let Err(error) = changed {
        say(|| format!("  which the file does not let happen: {error}"));
    }
}

fn key(table: &str) -> &'static str {
    match table {
        "mainspring_queues" | "mainspring_calendars" => "name",
        "mainspring_completions" => "run_id",
        _ => "id",
    }
}

fn keys(conn: &Connection, table: &str, key: &str) -> Vec<Value> {
    let mut statement = conn.prepare(&format!("SELECT {key} FROM {table} ORDER BY {key}")).expect("a table");
    let keys = statement.query_map([], |row| row.get(0)).expect("keys can be read");
    keys.map(|key| key.expect("any value is a value")).collect()
}

fn value(conn: &Connection, column: &Column, dice: &mut Dice) -> Value {
    if dice.once_in(8) {
        return Value::Null;
    }
    if !column.is_text {
        let number = hostile::number(dice);
        // After the greatest of all ids SQLite has none to give, and says that the disk is full.
        return Value::Integer(if column.name == "id" { number.min(i64::MAX / 2) } else { number });
    }
    match dice.below(4) {
        // What stands there, slightly changed.
        0 => {
            let sql = format!("SELECT {0} FROM {1} WHERE {0} IS NOT NULL LIMIT 1", column.name, column.table);
            let found: Option<String> = conn.query_row(&sql, [], |row| row.get(0)).ok();
            Value::Text(hostile::mutated(dice, &found.unwrap_or_default()))
        }
        1 => Value::Blob(hostile::bytes(dice)),
        _ => Value::Text(hostile::text(dice)),
    }
}

fn shown(value: &Value) -> String {
    format!("{value:?}").chars().take(200).collect()
}
