//! The recipes of `docs/schema.md`, each run as it is printed, by the program that a reader would use.

use super::{File, root};

/// What must be true after a recipe, in words that the reader of the page would use.
enum Shows {
    /// The output has this text.
    Prints(&'static str),
    /// The query, run afterwards, gives this value.
    Leaves(&'static str, &'static str),
}
use Shows::{Leaves, Prints};

const RECIPES: &[(&str, &[Shows])] = &[
    ("Is all well?", &[Prints("oldest_due_at = 2026-01-05T07:43:20.000Z"), Prints("deliveries_unknown = 1")]),
    ("What is due?", &[Prints("default|4||resize|5|2026-01-05T07:59:50.000Z|"), Prints("mail|11")]),
    (
        "What runs, and whose is it?",
        &[Prints("20|2|health-check|health|2026-01-05T08:00:00.007Z|process 103 on desk")],
    ),
    ("Why is it not running?", &[Prints("scheduled|waits until 2100-01-01T00:00:00.000Z")]),
    (
        "What did one job do?",
        &[
            Prints("4|2026-01-05T07:00:00.000Z|2|retry|succeeded|894|unknown|"),
            Prints("3|2026-01-05T07:00:00.000Z|1|schedule|failed|1|not_requested|no agenda"),
        ],
    ),
    (
        "What was not delivered?",
        &[
            Prints("delivery to begin|8||2026-01-04T09:46:40.300Z|on_unknown_delivery resend|"),
            Prints("unknown delivery|4|morning-briefing"),
            Prints("9|3|no such address"),
        ],
    ),
    (
        "What was missed?",
        &[Prints("morning-briefing|downtime|8|2026-01-03T06:00:00.000Z|2026-01-03T06:58:20.000Z")],
    ),
    (
        "Who changed it?",
        &[
            Prints(
                "2026-01-04T07:00:00.000Z|rescheduled|sql|{\"schedule_text\":[\"0 7 * * *\",\"0 8 * * *\"]}",
            ),
            Prints("2026-01-04T04:13:20.000Z|added|library|"),
        ],
    ),
    (
        "Pause one by hand",
        &[
            Leaves("SELECT state FROM mainspring_job_view WHERE job_id = 1", "paused"),
            Leaves("SELECT claimable FROM mainspring_jobs WHERE id = 1", "0"),
            Leaves(
                "SELECT abs(paused_at_ms / 1000 - strftime('%s', 'now')) < 60 FROM mainspring_jobs WHERE id = 1",
                "1",
            ),
        ],
    ),
    (
        "Resume it",
        &[
            Leaves("SELECT state FROM mainspring_job_view WHERE job_id = 1", "scheduled"),
            Leaves("SELECT claimable FROM mainspring_jobs WHERE id = 1", "1"),
        ],
    ),
    (
        "Move its next time",
        &[
            Leaves(
                "SELECT next_run_at FROM mainspring_job_view WHERE job_id = 1",
                "2099-12-31T08:00:00.000Z",
            ),
            Leaves(
                "SELECT scheduled_for FROM mainspring_job_view WHERE job_id = 1",
                "2100-01-01T00:00:00.000Z",
            ),
        ],
    ),
    (
        "Cancel a run",
        &[
            Leaves("SELECT cancel_requested_at_ms IS NOT NULL FROM mainspring_runs WHERE id = 20", "1"),
            Leaves("SELECT why LIKE '%asked to stop at%' FROM mainspring_why_view WHERE job_id = 2", "1"),
        ],
    ),
    (
        "Take back a job that waits",
        &[
            Leaves("SELECT state FROM mainspring_job_view WHERE job_id = 4", "finished"),
            Leaves("SELECT count(*) FROM mainspring_due_view WHERE job_id = 4", "0"),
        ],
    ),
    ("How large is it?", &[Prints("15|17|6")]),
    ("Back it up while it runs", &[Prints("ok")]),
];

/// A fenced block of the page, with the heading that it stands under.
struct Recipe {
    title: String,
    language: String,
    text: String,
}

/// Every fenced `sql` and `sh` block after the heading "Recipes".
fn recipes_of(page: &str) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    let mut title = String::new();
    let mut open: Option<Recipe> = None;
    for line in page.lines().skip_while(|line| *line != "## Recipes") {
        match (&mut open, line.strip_prefix("```")) {
            (Some(recipe), None) => {
                recipe.text.push_str(line);
                recipe.text.push('\n');
            }
            (Some(_), Some(_)) => recipes.extend(open.take()),
            (None, Some(language)) => {
                open =
                    Some(Recipe { title: title.clone(), language: language.to_owned(), text: String::new() });
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("### ") {
                    heading.clone_into(&mut title);
                }
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    recipes
}

#[test]
fn every_recipe_of_the_schema_page_does_what_its_title_says() {
    let page = std::fs::read_to_string(root().join("docs/schema.md")).unwrap();
    let recipes = recipes_of(&page);
    let titles: Vec<&str> = recipes.iter().map(|recipe| recipe.title.as_str()).collect();
    let known: Vec<&str> = RECIPES.iter().map(|(title, _)| *title).collect();
    assert_eq!(titles, known, "a recipe without a check here, or a check without its recipe");

    // One file for all, in the order of the page, so that "resume it" resumes what was paused above it.
    let file = File::representative();
    // Somebody else has the file open meanwhile, as an engine would.
    let engine = file.open();
    assert_eq!(
        engine.query_row("SELECT count(*) FROM mainspring_jobs", [], |row| row.get::<_, i64>(0)),
        Ok(15)
    );
    for (recipe, (title, shows)) in recipes.iter().zip(RECIPES) {
        let printed = match recipe.language.as_str() {
            "sql" => file.shell(&recipe.text),
            "sh" => file.run("sh", &["-eu"], &recipe.text),
            other => panic!("{title}: a block of {other:?} is not run by this test"),
        };
        assert!(printed.ok && printed.err.is_empty(), "{title}: {}", printed.err);
        for show in *shows {
            match show {
                Prints(text) => {
                    assert!(printed.out.contains(text), "{title}: {text:?} is not in\n{}", printed.out)
                }
                Leaves(query, value) => assert_eq!(file.value(query), *value, "{title}: {query}"),
            }
        }
    }
}

#[test]
fn a_backup_made_by_the_recipe_holds_the_same_rows() {
    let page = std::fs::read_to_string(root().join("docs/schema.md")).unwrap();
    let recipes = recipes_of(&page);
    let backup = recipes.iter().find(|recipe| recipe.title.starts_with("Back it up")).unwrap();
    let file = File::representative();
    let writer = file.open();
    writer.execute_batch("BEGIN IMMEDIATE; UPDATE mainspring_jobs SET priority = 7 WHERE id = 1").unwrap();
    let printed = file.run("sh", &["-eu"], &backup.text);
    assert!(printed.ok, "{}", printed.err);
    writer.execute_batch("COMMIT").unwrap();
    let count = |name: &str| {
        let sql = "SELECT (SELECT count(*) FROM mainspring_runs) || ' ' || (SELECT priority FROM mainspring_jobs WHERE id = 1)";
        file.run("sqlite3", &[name, sql], "").out
    };
    assert_eq!(count("copy.db"), "17 0\n", "the copy is a moment at which the writer had not committed");
    assert_eq!(count("app.db"), "17 7\n");
}

#[test]
fn blocks_are_found_with_their_headings() {
    let page = "```sql\nnot a recipe\n```\n## Recipes\n### One\ntext\n```sql\nSELECT 1;\nSELECT 2;\n```\n### Two\n```sh\nls\n```\n";
    let found: Vec<(String, String, String)> =
        recipes_of(page).into_iter().map(|recipe| (recipe.title, recipe.language, recipe.text)).collect();
    let wanted = [("One", "sql", "SELECT 1;\nSELECT 2;\n"), ("Two", "sh", "ls\n")]
        .map(|(title, language, text)| (title.to_owned(), language.to_owned(), text.to_owned()));
    assert_eq!(found, wanted);
}
