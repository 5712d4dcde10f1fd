//! The words for why a run came and why an occurrence did not, as they stand in the database.

use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

/// A word that is none of those known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} \"{word}\": allowed is {allowed}")]
pub struct UnknownWord {
    /// What it should have been.
    pub what: &'static str,
    /// The word.
    pub word: String,
    /// The words that are known.
    pub allowed: &'static str,
}

/// Declares an enum whose variants are words in the database.
macro_rules! words {
    (
        $(#[$meta:meta])* $name:ident, $what:literal, $allowed:literal,
        $($(#[$doc:meta])* $variant:ident = $word:literal,)+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, word: word.to_owned(), allowed: $allowed }),
                }
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|unknown: UnknownWord| FromSqlError::other(unknown))
            }
        }
    };
}

words! {
    /// Why a run came.
    Trigger, "trigger", "schedule, catch_up, manual, retry or backfill",
    /// Its schedule, in time.
    Schedule = "schedule",
    /// Its schedule, more than a minute late.
    CatchUp = "catch_up",
    /// Someone asked for it.
    Manual = "manual",
    /// The attempt before did not succeed.
    Retry = "retry",
    /// Someone asked for a past range to be run.
    Backfill = "backfill",
}

words! {
    /// Why an occurrence was not run.
    MissReason, "reason of a miss", "downtime, overlap, paused, expired, coalesced or excluded",
    /// Nobody could claim it in time, and the catch-up policy does not reach it.
    Downtime = "downtime",
    /// The last run was still going.
    Overlap = "overlap",
    /// The job was paused.
    Paused = "paused",
    /// The job had expired.
    Expired = "expired",
    /// Another occurrence was run in its place.
    Coalesced = "coalesced",
    /// A calendar leaves it out, or the clocks jumped over it and the schedule says to skip it then.
    Excluded = "excluded",
}
