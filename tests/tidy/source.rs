//! Rust as far as the rules need it: code, comments and string literals told apart.

/// A text in a source file, where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    /// The offset of its opening quote in the file.
    pub(crate) at: usize,
    /// What is between the quotes, escapes as they are written.
    pub(crate) text: String,
}

/// A source file, taken apart.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below `src`, with `/`.
    pub(crate) path: String,
    /// The file with comments and the contents of literals blanked; offsets and lines stay.
    pub(crate) code: String,
    /// Its string literals.
    pub(crate) literals: Vec<Literal>,
    /// Its first line.
    pub(crate) first_line: String,
    /// Where its tests begin, which stand last in a file; its length if it has none.
    tests_at: usize,
}

impl Source {
    /// Takes `text` apart.
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let (code, literals) = take_apart(text);
        let first_line = text.lines().next().unwrap_or_default().to_owned();
        let is_test_file =
            path.ends_with("/tests.rs") || path.starts_with("store/plans/") || path == "store/views.rs";
        let tests_at = if is_test_file { 0 } else { tests_begin(&code).unwrap_or(code.len()) };
        Self { path: path.to_owned(), code, literals, first_line, tests_at }
    }

    /// The code without its tests.
    pub(crate) fn code_in_use(&self) -> &str {
        &self.code[..self.tests_at]
    }

    /// The literals outside its tests.
    pub(crate) fn literals_in_use(&self) -> impl Iterator<Item = &Literal> {
        self.literals.iter().filter(|literal| literal.at < self.tests_at)
    }

    /// Whether an offset lies in its tests.
    pub(crate) fn is_in_tests(&self, at: usize) -> bool {
        at >= self.tests_at
    }

    /// `path:line` of an offset, for messages.
    pub(crate) fn place(&self, at: usize) -> String {
        format!("src/{}:{}", self.path, self.code[..at].matches('\n').count() + 1)
    }
}

fn tests_begin(code: &str) -> Option<usize> {
    code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| {
        let item = code[at + "#[cfg(test)]".len()..].trim_start();
        item.starts_with("mod ") && item.find('{') < item.find(';').or(Some(usize::MAX)) && item.contains('{')
    })
}

fn take_apart(text: &str) -> (String, Vec<Literal>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            let end = at + rest.find('\n').unwrap_or(rest.len());
            blank(&mut code, at, end);
            end
        } else if rest.starts_with("/*") {
            let end = block_comment_end(text, at);
            blank(&mut code, at, end);
            end
        } else if let Some((open, close)) = string_at(text, at) {
            blank(&mut code, open, close);
            literals.push(Literal { at: open - 1, text: text[open..close].to_owned() });
            // Past the closing quote; the hashes of a raw string are harmless code.
            close + 1
        } else if let Some(end) = char_literal_end(bytes, at) {
            blank(&mut code, at + 1, end - 1);
            end
        } else {
            at + rest.chars().next().map_or(1, char::len_utf8)
        };
        at = end.max(at + 1);
    }
    (String::from_utf8(code).unwrap(), literals)
}

/// Blanks all but line ends.
fn blank(code: &mut [u8], from: usize, to: usize) {
    for byte in &mut code[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn block_comment_end(text: &str, from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// If a string literal, plain or raw, begins at `at`: the offsets of its contents.
fn string_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let before = text[..at].chars().next_back();
    if let Some(contents) = rest.strip_prefix('"') {
        let mut escaped = false;
        let close = contents.char_indices().find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        return Some((at + 1, close.map_or(text.len(), |(offset, _)| at + 1 + offset)));
    }
    // r"…", r#"…"#, br#"…"#; not the end of a name such as `var`.
    let is_part_of_a_name = before.is_some_and(|c| (c.is_alphanumeric() && c != 'b' && c != 'c') || c == '_');
    let hashes = rest.strip_prefix('r')?.chars().take_while(|c| *c == '#').count();
    if is_part_of_a_name || !rest[1 + hashes..].starts_with('"') {
        return None;
    }
    let open = at + 1 + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some((open, text[open..].find(&end).map_or(text.len(), |offset| open + offset)))
}

/// If a character literal (and no lifetime) begins at `at`: the offset after it.
fn char_literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes[at] != b'\'' {
        return None;
    }
    let escaped = bytes.get(at + 1) == Some(&b'\\');
    // A character is at most 4 bytes, an escape at most `\u{10ffff}`.
    let longest = if escaped { 11 } else { 5 };
    let from = if escaped { at + 3 } else { at + 2 };
    let end = (from..=at + longest).find(|end| bytes.get(*end) == Some(&b'\''))?;
    let is_one =
        escaped || std::str::from_utf8(&bytes[at + 1..end]).is_ok_and(|text| text.chars().count() == 1);
    is_one.then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::read("a.rs", text).code
    }

    fn literals(text: &str) -> Vec<String> {
        Source::read("a.rs", text).literals.into_iter().map(|literal| literal.text).collect()
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(
            code("a // b\nc /* d /* e */ f */ g").split_whitespace().collect::<Vec<_>>(),
            ["a", "c", "g"]
        );
        assert_eq!(code("/// crate::engine\nx").trim(), "x");
    }

    #[test]
    fn texts_are_no_code_and_are_kept_as_literals() {
        let text = r####"f("a \" // b", r#"c "d" e"#, br"g", 'h', '"', '\'', "i")"####;
        assert_eq!(literals(text), [r#"a \" // b"#, r#"c "d" e"#, "g", "i"]);
        assert!(!code(text).contains(|c: char| "acdeghi".contains(c)), "{}", code(text));
        assert_eq!(code(text).len(), text.len());
    }

    #[test]
    fn a_lifetime_opens_no_literal() {
        assert_eq!(
            code("fn f<'a>(x: &'a str) -> &'static str { \"b\" }"),
            "fn f<'a>(x: &'a str) -> &'static str { \" \" }"
        );
    }

    #[test]
    fn a_name_that_ends_in_r_opens_no_raw_text() {
        assert_eq!(literals("for \"a\""), ["a"]);
        assert_eq!(literals("xr\"a\""), ["a"]);
    }

    #[test]
    fn lines_are_counted_from_one() {
        let source = Source::read("store/a.rs", "a\n\"b\nc\"\nd");
        assert_eq!(source.place(source.code.find('d').unwrap()), "src/store/a.rs:4");
    }

    #[test]
    fn tests_begin_at_their_module() {
        let source = Source::read(
            "a.rs",
            "#[cfg(test)]\nmod other;\na(\"1\");\n#[cfg(test)]\nmod tests { b(\"2\"); }",
        );
        assert!(source.code_in_use().contains("a(") && !source.code_in_use().contains("b("));
        assert_eq!(source.literals_in_use().count(), 1);
        let none = Source::read("a.rs", "a(); #[cfg(test)] use b; fn c() {}");
        assert_eq!(none.code_in_use(), none.code);
        assert_eq!(Source::read("store/tests.rs", "a()").code_in_use(), "");
    }
}
