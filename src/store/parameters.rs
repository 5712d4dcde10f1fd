//! Parameters by name without looking them up: their places are found when the library is compiled.
//!
//! Looking up fifty names takes as long as opening a run does. A name that the statement does not have, or one of its
//! parameters that gets no value, does not compile.

/// Binds every parameter of a prepared statement: `bind!(statement, SQL, { ":id": id, ":now_ms": now })`.
macro_rules! bind {
    ($statement:expr, $sql:expr, { $($name:literal: $value:expr),+ $(,)? }) => {{
        const {
            assert!(
                $crate::store::parameters::count($sql) == [$($name),+].len(),
                "each parameter of the statement has one value"
            );
        }
        $($statement.raw_bind_parameter(const { $crate::store::parameters::place($sql, $name) }, &$value)?;)+
    }};
}
pub(crate) use bind;

/// Binds the values of one row of a statement that has several, in the order of its question marks, and moves `place` on:
/// `bind_row!(statement, place, row!(), [id, now])`. A row with more or fewer marks does not compile.
macro_rules! bind_row {
    ($statement:expr, $place:ident, $row:expr, [$($value:expr),+ $(,)?]) => {{
        const {
            assert!(
                $crate::store::parameters::marks($row) == [$(stringify!($value)),+].len(),
                "each question mark of the row has one value"
            );
        }
        $(
            $place += 1;
            $statement.raw_bind_parameter($place, &$value)?;
        )+
    }};
}
pub(crate) use bind_row;

/// The place of a parameter, as SQLite counts them: from one, in the order in which they first appear; those without a
/// name, which are question marks, one by one.
///
/// # Panics
/// If the statement has no such parameter; it is called where that is an error of the compiler.
#[expect(clippy::panic, clippy::indexing_slicing, reason = "the compiler's, in a constant")]
pub(crate) const fn place(sql: &str, name: &str) -> usize {
    let (sql, name) = (sql.as_bytes(), name.as_bytes());
    let (mut at, mut place) = (0, 0);
    while at < sql.len() {
        let end = end_of_parameter(sql, at);
        if sql[at] == b'?' {
            place += 1;
        } else if end > at && !appears_before(sql, at, end) {
            place += 1;
            if is_same(sql, at, end, name) {
                return place;
            }
        }
        at = if end > at { end } else { at + 1 };
    }
    panic!("the statement has no such parameter")
}

/// How many parameters with names the statement has.
pub(crate) const fn count(sql: &str) -> usize {
    let sql = sql.as_bytes();
    let (mut at, mut count) = (0, 0);
    while at < sql.len() {
        let end = end_of_parameter(sql, at);
        if end > at && !appears_before(sql, at, end) {
            count += 1;
        }
        at = if end > at { end } else { at + 1 };
    }
    count
}

/// How many question marks there are.
#[expect(clippy::indexing_slicing, reason = "at compile time; each index is below the length")]
pub(crate) const fn marks(row: &str) -> usize {
    let row = row.as_bytes();
    let (mut at, mut marks) = (0, 0);
    while at < row.len() {
        if row[at] == b'?' {
            marks += 1;
        }
        at += 1;
    }
    marks
}

/// Where the parameter that begins here ends; the same place if none begins here.
#[expect(clippy::indexing_slicing, reason = "at compile time; each index is below the length")]
const fn end_of_parameter(sql: &[u8], at: usize) -> usize {
    if sql[at] != b':' {
        return at;
    }
    let mut end = at + 1;
    while end < sql.len() && (sql[end].is_ascii_alphanumeric() || sql[end] == b'_') {
        end += 1;
    }
    if end == at + 1 { at } else { end }
}

/// Whether the parameter between these places was there before.
#[expect(clippy::indexing_slicing, reason = "at compile time; each index is below the length")]
const fn appears_before(sql: &[u8], begin: usize, end: usize) -> bool {
    let mut at = 0;
    while at < begin {
        let other = end_of_parameter(sql, at);
        if other > at && other - at == end - begin {
            let mut same = 0;
            while same < end - begin && sql[at + same] == sql[begin + same] {
                same += 1;
            }
            if same == end - begin {
                return true;
            }
        }
        at = if other > at { other } else { at + 1 };
    }
    false
}

#[expect(clippy::indexing_slicing, reason = "at compile time; each index is below the length")]
const fn is_same(sql: &[u8], begin: usize, end: usize, name: &[u8]) -> bool {
    if end - begin != name.len() {
        return false;
    }
    let mut same = 0;
    while same < name.len() && sql[begin + same] == name[same] {
        same += 1;
    }
    same == name.len()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store::plans::statements;

    #[test]
    fn places_are_those_that_sqlite_gives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue.db");
        crate::store::OpenOptions::new(&path).migrate().unwrap();
        let conn = Connection::open(&path).unwrap();
        // Brings the tables of statistics, which some statements are about.
        conn.execute_batch("ANALYZE").unwrap();
        let mut parameters = 0;
        for statement in statements::all().statements {
            let prepared = conn.prepare(&statement.sql).unwrap();
            let counted = count(&statement.sql) + marks(&statement.sql);
            assert_eq!(counted, prepared.parameter_count(), "{}", statement.name);
            for index in 1..=prepared.parameter_count() {
                let Some(name) = prepared.parameter_name(index) else { continue };
                assert_eq!(place(&statement.sql, name), index, "{name} of {}", statement.name);
                parameters += 1;
            }
        }
        assert!(parameters > 200, "{parameters}");
    }
}
