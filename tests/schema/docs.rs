//! The pages about the schema name what is there, all of it and nothing else.

use std::collections::BTreeSet;
use std::fs;

use super::{names_after, root, schema_text};

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn set(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

/// Every word in the text that begins with `mainspring_`, but file names.
fn names_of_ours(text: &str) -> BTreeSet<String> {
    let words = names_after(text, "mainspring_").into_iter().filter(|name| !name.is_empty());
    set(words.map(|name| format!("mainspring_{name}")))
}

#[test]
fn the_schema_page_names_every_table_view_and_index_and_nothing_else() {
    let schema = schema_text();
    let kinds = ["CREATE TABLE ", "CREATE VIEW ", "CREATE INDEX ", "CREATE UNIQUE INDEX "];
    let made = set(kinds.iter().flat_map(|kind| names_after(&schema, kind)));
    assert!(made.len() > 25, "{made:?}");
    assert_eq!(names_of_ours(&page("docs/schema.md")), made);
}

#[test]
fn the_page_on_states_has_every_word_of_the_types() {
    let page = page("docs/state-machine.md");
    let states = mainspring::JobState::ALL.iter().map(|state| state.as_str());
    let outcomes = mainspring::Outcome::ALL.iter().map(|outcome| outcome.as_str());
    let deliveries = mainspring::Delivery::ALL.iter().map(|delivery| delivery.as_str());
    for word in states.chain(outcomes).chain(deliveries) {
        assert!(page.contains(&format!("| `{word}` |")), "{word} has no row in docs/state-machine.md");
    }
}

#[test]
fn the_page_on_states_names_triggers_and_columns_that_exist() {
    let schema = schema_text();
    let page = page("docs/state-machine.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let columns_and_triggers =
        quoted.filter(|word| word.ends_with("_ms") || word.starts_with("an_") || word.starts_with("a_"));
    let mut found = 0;
    for word in columns_and_triggers {
        assert!(schema.contains(word), "{word} is in docs/state-machine.md and not in the schema");
        found += 1;
    }
    assert!(found >= 5, "only {found} were found");
}

#[test]
fn the_words_of_the_types_are_the_words_of_the_constraints() {
    let schema = schema_text().split_whitespace().collect::<Vec<_>>().join(" ");
    let holds = |column: &str, words: Vec<&str>| {
        let compared: Vec<_> = words.iter().map(|word| format!("{column} = '{word}'")).collect();
        let check = format!("CHECK ({})", compared.join(" OR "));
        assert!(schema.replace("( ", "(").contains(&check), "{check}");
    };
    let outcomes: Vec<_> = mainspring::Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    holds("outcome", outcomes.clone());
    holds("last_outcome", outcomes);
    holds("delivery", mainspring::Delivery::ALL.iter().map(|delivery| delivery.as_str()).collect());
    holds("on_interrupt", mainspring::OnInterrupt::ALL.iter().map(|policy| policy.as_str()).collect());
    holds("event", mainspring::EventKind::ALL.iter().map(|kind| kind.as_str()).collect());
    holds("made_by", mainspring::MadeBy::ALL.iter().map(|maker| maker.as_str()).collect());
    let unknown = mainspring::OnUnknownDelivery::ALL.iter().map(|policy| policy.as_str()).collect();
    holds("on_unknown_delivery", unknown);
}
